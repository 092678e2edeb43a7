//! TLS over real sockets, with rustls as the client.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::accepting::{HI, UPGRADE, accept, dial, head, news, request, take};
use super::*;
use crate::newcomers::{ListenerOptions, NewcomerEvent, TlsHandshakes};
use crate::queues::command::Cause;
use crate::tls::tests::{Authority, client, settings as tls_settings};

type Client = StreamOwned<ClientConnection, TcpStream>;

/// An engine that listens with TLS.
struct Site {
    engine: Engine,
    address: SocketAddr,
    of_client: Arc<ClientConfig>,
}

fn site() -> Site {
    site_with(|_| {})
}

fn site_with(edit: impl FnOnce(&mut TlsSettings<'_>)) -> Site {
    let (engine, authority) = (start(1), Authority::new());
    let issued = authority.issue(&["a.example"]);
    let mut settings = tls_settings(&[&issued]);
    edit(&mut settings);
    engine.set_tls(&settings).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    engine.listen(listener.into(), ListenerOptions { is_tls: true, has_proxy_header: false }).unwrap();
    Site { engine, address, of_client: Arc::new(authority.client_config()) }
}

impl Site {
    fn dial(&self) -> Client {
        StreamOwned::new(client(&self.of_client, "a.example"), dial(self.address))
    }

    /// A client whose connection is open.
    fn open(&self) -> (Client, ConnId) {
        let mut client = self.dial();
        client.write_all(UPGRADE).unwrap();
        let conn = accept(&self.engine, request(&self.engine).0).unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 101 "));
        (client, conn)
    }

    /// A client whose plain HTTP request the host has, with the host's end.
    fn ask(&self, says: &[u8]) -> (Client, ConnId, UnixStream) {
        let mut client = self.dial();
        client.write_all(says).unwrap();
        let (id, NewcomerEvent::Http { stream, data, is_secure, tls, .. }) = news(&self.engine) else { panic!() };
        assert!(data == says && is_secure && tls.is_some());
        let host = UnixStream::from(stream);
        // A host's end does not block.
        host.set_nonblocking(false).unwrap();
        host.set_read_timeout(Some(DEADLINE)).unwrap();
        (client, id, host)
    }

    fn refusal(&self) -> (u16, String) {
        wait_event(&self.engine, |event| match event {
            Event::TurnedAway { status, reason, .. } => Some((status, reason.into_owned())),
            other => panic!("{other:?}"),
        })
    }
}

#[test]
fn a_client_with_tls_speaks_and_closes() {
    let site = site();
    let mut client = site.dial();
    // A message comes together with the request, perhaps in the same record.
    client.write_all(&[UPGRADE, HI].concat()).unwrap();
    let (id, request) = request(&site.engine);
    let tls = request.tls.unwrap();
    assert_eq!((tls.version, tls.server_name.as_deref(), request.is_secure), ("TLSv1.3", Some("a.example"), true));
    let conn = accept(&site.engine, id).unwrap();
    assert!(head(&mut client).starts_with("HTTP/1.1 101 "));
    let messages = |event| match event {
        Event::Messages { messages, .. } => Some(messages.size()),
        _ => None,
    };
    assert_eq!(wait_event(&site.engine, messages), 2);
    client.write_all(HI).unwrap();
    assert_eq!(wait_event(&site.engine, messages), 2);
    let large = vec![7; 300_000];
    site.engine.send(conn, draft(&large)).unwrap();
    let frame = take(&mut client, 10 + large.len());
    assert!(frame[10..] == large);
    client.write_all(b"\x88\x82\0\0\0\0\x03\xe8").unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"\x88\x02\x03\xe8");
    wait_event(&site.engine, |event| (event == Event::Closed { conn, cause: Cause::Over }).then_some(()));
    assert_eq!(site.engine.tls_handshakes(), TlsHandshakes { full: 1, resumed: 0, failed: 0 });
    // The ticket of the first connection is good for another.
    drop(site.open());
    assert_eq!(site.engine.tls_handshakes(), TlsHandshakes { full: 1, resumed: 1, failed: 0 });
}

#[test]
fn a_slow_client_gets_all_in_order() {
    let site = site();
    let (mut client, conn) = site.open();
    join(&site.engine, conn, "room").unwrap();
    for number in 0..2_000u64 {
        let payload = [&number.to_be_bytes()[..], &[0; 4_000]].concat();
        site.engine.publish("room", draft(&payload), &[]).unwrap();
    }
    wait_until("the socket is full", || site.engine.stats().any(|stats| stats.blocked.value() > 0));
    for number in 0..2_000u64 {
        let frame = take(&mut client, 4 + 8 + 4_000);
        assert_eq!(frame[4..12], number.to_be_bytes());
    }
    client.sock.shutdown(Shutdown::Both).unwrap();
    wait_event(&site.engine, |event| matches!(event, Event::Closed { .. }).then_some(()));
}

#[test]
fn certificates_are_replaced_while_connections_are_open() {
    let site = site();
    let (mut old, conn) = site.open();
    let authority = Authority::new();
    let issued = authority.issue(&["a.example"]);
    let mut broken = tls_settings(&[&issued]);
    broken.certificates[0].key.text = b"";
    assert!(matches!(site.engine.set_tls(&broken), Err(Error::Invalid(_))));
    drop(site.open());
    site.engine.set_tls(&tls_settings(&[&issued])).unwrap();
    let refused = site.dial().write_all(UPGRADE).unwrap_err();
    assert!(refused.to_string().contains("invalid peer certificate"), "{refused}");
    let (status, reason) = site.refusal_after_ends();
    assert_eq!(status, 0);
    assert!(reason.contains("the client does not accept the server's certificate"), "{reason}");
    let of_client = Arc::new(authority.client_config());
    let mut new = StreamOwned::new(client(&of_client, "a.example"), dial(site.address));
    new.write_all(UPGRADE).unwrap();
    request(&site.engine);
    // The first connection is still there.
    site.engine.send(conn, draft(b"hi")).unwrap();
    assert_eq!(take(&mut old, 4), b"\x82\x02hi");
}

impl Site {
    /// As [`Site::refusal`], but other connections may end meanwhile.
    fn refusal_after_ends(&self) -> (u16, String) {
        wait_event(&self.engine, |event| match event {
            Event::TurnedAway { status, reason, .. } => Some((status, reason.into_owned())),
            _ => None,
        })
    }
}

#[test]
fn what_is_no_tls_is_told() {
    let site = site();
    let mut plain = dial(site.address);
    plain.write_all(UPGRADE).unwrap();
    assert!(head(&mut plain).starts_with("HTTP/1.1 400 "));
    let (status, reason) = site.refusal();
    assert!(status == 400 && reason.starts_with("the client speaks plain HTTP to a port with TLS"), "{reason}");

    let mut garbage = dial(site.address);
    garbage.write_all(b"\0\x01garbage").unwrap();
    let (status, reason) = site.refusal();
    assert_eq!((status, &*reason), (0, "the TLS handshake with 127.0.0.1 failed: what the client sends is not TLS"));
    assert!(matches!(garbage.read(&mut [0]), Ok(0) | Err(_)));

    let mut half = dial(site.address);
    half.write_all(b"\x16\x03\x01\0\x40\x01").unwrap();
    drop(half);
    assert!(site.refusal().1.ends_with("failed: the client has ended the connection"));

    let mut wrong = dial(site.address);
    wrong.write_all(b"\x16\x03\x01\0\x04\x01\0\0\0").unwrap();
    assert!(site.refusal().1.contains("failed: received corrupt message"));
    // The alert says to the client that it is wrong.
    assert_eq!(take(&mut wrong, 6)[..3], [21, 3, 3]);
    assert_eq!(site.engine.tls_handshakes(), TlsHandshakes { full: 0, resumed: 0, failed: 4 });

    // A connection without a word is none worth telling, as health checks open them.
    drop(dial(site.address));
    wait_until("it has gone", || site.engine.connections() == 0);
    assert_eq!((site.engine.tls_handshakes().failed, site.engine.events(9, 0)), (4, vec![]));
}

#[test]
fn a_handshake_has_its_time() {
    let site = site_with(|settings| settings.handshake_timeout_us = 50_000);
    let mut silent = dial(site.address);
    let mut slow = dial(site.address);
    slow.write_all(b"\x16\x03\x01\0\x40\x01").unwrap();
    let mut count = 0;
    wait_event(&site.engine, |event| match event {
        Event::TurnedAway { reason, .. } => {
            assert_eq!(reason, "the TLS handshake with 127.0.0.1 failed: it was not over in time");
            count += 1;
            (count == 2).then_some(())
        }
        other => panic!("{other:?}"),
    });
    for stream in [&mut silent, &mut slow] {
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    }
    assert_eq!(site.engine.connections(), 0);
}

#[test]
fn there_is_no_listener_with_tls_before_a_certificate() {
    let engine = start(1);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let options = ListenerOptions { is_tls: true, has_proxy_header: false };
    let error = engine.listen(listener.into(), options).unwrap_err().to_string();
    assert!(error.contains("set_tls"), "{error}");
}

#[test]
fn a_refusal_and_a_health_check_come_by_tls() {
    let site = site();
    let mut client = site.dial();
    client.write_all(UPGRADE).unwrap();
    let (id, _) = request(&site.engine);
    site.engine.refuse(id, crate::wire::refusal::Refusal::new(403, "no")).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 403 ") && answer.ends_with(b"Forbidden\n"));
    drop(client);
    wait_until("it has gone", || site.engine.connections() == 0);
}

const GET: &[u8] = b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn a_plain_request_goes_through_a_tunnel_in_both_directions_at_once() {
    let site = site();
    let (mut client, id, mut host) = site.ask(GET);
    let much: Vec<u8> = (0..5u32 << 20).map(|number| (number / 1000) as u8).collect();
    client.sock.set_nonblocking(true).unwrap();
    let (mut sent, mut got) = (0, Vec::new());
    std::thread::scope(|scope| {
        let (mut reader, mut writer) = (host.try_clone().unwrap(), host.try_clone().unwrap());
        let half = much.len() / 2;
        let read = scope.spawn(move || {
            let mut all = vec![0; half];
            reader.read_exact(&mut all).map(|()| all)
        });
        let all = &much;
        scope.spawn(move || writer.write_all(all).unwrap());
        // One thread for both directions of the client: each waits when the other end is slow.
        while sent < half || got.len() < much.len() || client.conn.wants_write() {
            if sent < half && !client.conn.wants_write() {
                sent += client.conn.writer().write(&much[sent..half]).unwrap();
            }
            match client.conn.write_tls(&mut client.sock) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            match client.conn.read_tls(&mut client.sock) {
                Ok(_) => drop(client.conn.process_new_packets().unwrap()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            let mut buffer = [0; 10_000];
            while let Ok(read) = client.conn.reader().read(&mut buffer) {
                got.extend_from_slice(&buffer[..read]);
            }
            std::thread::yield_now();
        }
        assert!(read.join().unwrap().unwrap() == much[..half]);
    });
    assert!(got == much);
    client.sock.set_nonblocking(false).unwrap();
    // Half an end is passed on, too.
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(host.read(&mut [0]).unwrap(), 0);
    host.write_all(b"answer").unwrap();
    assert_eq!(take(&mut client, 6), b"answer");
    host.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    site.engine.left(id);
    wait_until("its place is free", || site.engine.connections() == 0);
}

#[test]
fn a_tunnel_ends_with_either_end() {
    let site = site();
    // The host closes: what it has written still comes, and then the end.
    let (mut client, _, mut host) = site.ask(GET);
    let much = vec![7; 1 << 20];
    let writer = std::thread::spawn(move || host.write_all(&much).map(|()| drop(host)));
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_eq!(got, vec![7; 1 << 20]);
    writer.join().unwrap().unwrap();
    // The client has gone, with or without a word.
    for says_so in [true, false] {
        let (mut client, _, mut host) = site.ask(GET);
        if says_so {
            client.conn.send_close_notify();
            client.flush().unwrap();
        }
        drop(client);
        assert!(matches!(host.read(&mut [0]), Ok(0) | Err(_)));
    }
    // The host closes, and its client stays: the tunnel does not.
    let (mut client, _, host) = site.ask(GET);
    drop(host);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    wait_until("the tunnel has gone", || client.sock.write_all(&[0]).is_err());
    // The engine ends.
    let (mut client, _, mut host) = site.ask(GET);
    assert!(site.engine.shutdown(DEADLINE));
    assert!(matches!(host.read(&mut [0]), Ok(0) | Err(_)));
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn a_connection_counts_until_its_client_has_all_that_its_host_has_left_for_it() {
    let mut site = site();
    // The kernel holds little of the answer.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket2::SockRef::from(&listener).set_send_buffer_size(4096).unwrap();
    site.address = listener.local_addr().unwrap();
    site.engine.listen(listener.into(), ListenerOptions { is_tls: true, has_proxy_header: false }).unwrap();
    let mut client = site.dial();
    socket2::SockRef::from(&client.sock).set_recv_buffer_size(4096).unwrap();
    client.write_all(GET).unwrap();
    let (id, NewcomerEvent::Http { stream, .. }) = news(&site.engine) else { panic!() };
    let mut host = UnixStream::from(stream);
    host.set_nonblocking(false).unwrap();
    host.write_all(&[7; 1 << 17]).unwrap();
    drop(host);
    site.engine.left(id);
    assert_eq!(site.engine.connections(), 1);
    assert_eq!(take(&mut client, 1 << 17), [7; 1 << 17]);
    drop(client);
    wait_until("its place is free", || site.engine.connections() == 0);
}

#[test]
fn the_host_gives_a_connection_back_through_its_tunnel() {
    let site = site();
    for is_slow in [false, true] {
        let (mut client, id, mut host) = site.ask(GET);
        // What the slow client leaves must fit between it and the host, however small the kernel keeps its buffers.
        let size = if is_slow { 1 << 17 } else { 100 };
        let writer = std::thread::spawn({
            let mut host = host.try_clone().unwrap();
            move || host.write_all(&vec![7; size])
        });
        // A slow client sends its next request before it has read all of the answer to the first.
        let before = if is_slow { size / 2 } else { size };
        assert_eq!(take(&mut client, before), vec![7; before]);
        client.write_all(&[UPGRADE, HI].concat()).unwrap();
        writer.join().unwrap().unwrap();
        let mut received = [0; 20];
        host.read_exact(&mut received).unwrap();
        let theirs: OwnedFd = host.into();
        site.engine.take_back(id, theirs, &received).unwrap();
        let left = size - before;
        assert_eq!(take(&mut client, left), vec![7; left]);
        let (again, request) = request(&site.engine);
        assert_eq!((again, request.is_secure, request.tls.is_some()), (id, true, true));
        let conn = accept(&site.engine, id).unwrap();
        assert!(head(&mut client).starts_with("HTTP/1.1 101 "));
        wait_event(&site.engine, |event| matches!(event, Event::Messages { .. }).then_some(()));
        site.engine.send(conn, draft(b"hi")).unwrap();
        assert_eq!(take(&mut client, 4), b"\x82\x02hi");
        drop(client);
        wait_event(&site.engine, |event| matches!(event, Event::Closed { .. }).then_some(()));
        assert_eq!(site.engine.connections(), 0);
    }
    // One whose client has gone meanwhile is forgotten.
    let (client, id, mut host) = site.ask(GET);
    drop(client);
    let _ = host.read(&mut [0]);
    let _ = site.engine.take_back(id, host.into(), b"");
    wait_until("its place is free", || site.engine.connections() == 0);
}
