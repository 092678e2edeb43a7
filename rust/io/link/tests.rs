//! Links of polls, and the answer to the request that opens one.

use std::io::Read;
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::io::socket_link::SocketLink;
use crate::outbox::Sink;
use crate::queues::command::Event;
use crate::queues::events::Events;
use crate::queues::fair_queue::Credit;
use crate::shard::Link;
use mio::Poll;

fn link() -> (AnyLink, Arc<Events>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let socket = socket2::Socket::from(listener.accept().unwrap().0);
    socket.set_nonblocking(true).unwrap();
    let registry = Arc::new(Poll::new().unwrap().registry().try_clone().unwrap());
    let events = Arc::new(Events::new(Credit { messages: 1, bytes: 1, total: 1 }).unwrap());
    let opening = AnyLink::Socket(SocketLink::accepted(socket, registry));
    let link = PollLink::new(ConnId::from_u64(7), Arc::clone(&events), opening);
    (AnyLink::Poll(link), events, client)
}

fn writes(events: &Events) -> Vec<Vec<u8>> {
    let bytes = |event| match event {
        Event::Data { conn, bytes } if conn == ConnId::from_u64(7) => bytes.into_vec(),
        other => panic!("{other:?}"),
    };
    events.take(100, 0, &mut Vec::new()).into_iter().map(bytes).collect()
}

#[test]
fn a_poll_gets_one_write() {
    let (mut link, events, _client) = link();
    let write = |link: &mut AnyLink| link.write(&[IoSlice::new(b"ab"), IoSlice::new(b"c")]);
    let blocked = |result: io::Result<usize>| result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    assert!(blocked(write(&mut link)));
    link.poll();
    assert_eq!(write(&mut link).unwrap(), 3);
    assert!(blocked(write(&mut link)));
    assert_eq!(writes(&events), [b"abc"]);
    link.poll();
    link.poll();
    link.grant();
    assert_eq!(write(&mut link).unwrap(), 3);
    assert_eq!(writes(&events), [&b""[..], b"abc"]);
    assert!(blocked(Link::read(&mut link, &mut [0])) && link.ends_when_dropped() && link.tcp_info().is_none());
}

#[test]
fn the_request_that_opens_it_gets_its_own_answer_however_long() {
    let (mut link, events, mut client) = link();
    let response = vec![b'x'; 1 << 20];
    Link::answer(&mut link, &response);
    Link::answer(&mut link, b"nothing more");
    let mut come = Vec::new();
    client.read_to_end(&mut come).unwrap();
    assert!(come == response, "{} bytes", come.len());
    assert!(writes(&events).is_empty());
}
