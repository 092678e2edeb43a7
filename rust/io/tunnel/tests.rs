use std::io::{Read, Write};

use mio::Poll;

use super::*;

#[test]
fn what_a_host_has_written_before_it_closes_reaches_a_client_that_still_sends() {
    let poll = Poll::new().unwrap();
    let registry = Arc::new(poll.registry().try_clone().unwrap());
    let (mut client, ours) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let link = AnyLink::Socket(SocketLink::accepted(Socket::from(OwnedFd::from(ours)), Arc::clone(&registry)));
    let (mut tunnel, host) = Tunnel::new(link, &registry).unwrap();
    let mut host = UnixStream::from(host);
    let mut buffer = [0; 1024];
    client.write_all(b"the beginning of a request").unwrap();
    assert_eq!(tunnel.go_on(&mut buffer).unwrap(), TunnelProgress::Waits);
    assert_eq!(host.read(&mut [0; 1024]).unwrap(), 26);
    host.write_all(b"an answer").unwrap();
    drop(host);
    // The poll has not told yet that the host has closed its end.
    client.write_all(b"more of the request").unwrap();
    assert_eq!(tunnel.go_on(&mut buffer).unwrap(), TunnelProgress::Over);
    drop(tunnel);
    let mut answer = [0; 9];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"an answer");
}

#[test]
fn a_host_that_closes_before_it_has_read_all_ends_its_answer() {
    // Also if the poll has not told yet.
    for is_told in [true, false] {
        ends_its_answer(is_told);
    }
}

fn ends_its_answer(is_told: bool) {
    let poll = Poll::new().unwrap();
    let registry = Arc::new(poll.registry().try_clone().unwrap());
    let (mut client, ours) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let link = AnyLink::Socket(SocketLink::accepted(Socket::from(OwnedFd::from(ours)), Arc::clone(&registry)));
    let (mut tunnel, host) = Tunnel::new(link, &registry).unwrap();
    let mut host = UnixStream::from(host);
    let mut buffer = [0; 1024];
    client.write_all(b"a request").unwrap();
    assert_eq!(tunnel.go_on(&mut buffer).unwrap(), TunnelProgress::Waits);
    host.write_all(b"an answer").unwrap();
    // The kernel takes it for a reset, because the request is unread.
    drop(host);
    if is_told {
        tunnel.leave();
    }
    assert_eq!(tunnel.go_on(&mut buffer).unwrap(), TunnelProgress::Over);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"an answer");
}

#[test]
fn a_client_that_is_gone_ends_its_tunnel() {
    let poll = Poll::new().unwrap();
    let registry = Arc::new(poll.registry().try_clone().unwrap());
    let (client, ours) = UnixStream::pair().unwrap();
    let link = AnyLink::Socket(SocketLink::accepted(Socket::from(OwnedFd::from(ours)), Arc::clone(&registry)));
    let (mut tunnel, host) = Tunnel::new(link, &registry).unwrap();
    let mut host = UnixStream::from(host);
    drop(client);
    host.write_all(b"an answer").unwrap();
    assert!(tunnel.go_on(&mut [0; 1024]).is_err());
}
