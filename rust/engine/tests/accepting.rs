//! Connections accepted from real listeners.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use super::*;
use crate::newcomers::{ListenerOptions, NewcomerEvent, Request};
use crate::queues::command::Cause;
use crate::wire::refusal::Refusal;

pub(super) fn listen(engine: &Engine) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    engine.listen(listener.into(), ListenerOptions::default()).unwrap();
    address
}

pub(super) fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub(super) const UPGRADE: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A masked message with the text "hi".
pub(super) const HI: &[u8] = b"\x82\x82\0\0\0\0hi";

pub(super) fn news(engine: &Engine) -> (ConnId, NewcomerEvent<OwnedFd>) {
    wait_event(engine, |event| match event {
        Event::Newcomer { conn } => engine.news(conn).map(|news| (conn, news)),
        _ => None,
    })
}

pub(super) fn request(engine: &Engine) -> (ConnId, Box<Request>) {
    match news(engine) {
        (conn, NewcomerEvent::Request(request)) => (conn, request),
        other => panic!("{other:?}"),
    }
}

pub(super) fn accept(engine: &Engine, request: ConnId) -> Option<ConnId> {
    engine.accept(request, None, b"", 1.0, false, false).unwrap()
}

/// Reads the head of a response.
pub(super) fn head(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&byte);
    }
    String::from_utf8(bytes).unwrap()
}

pub(super) fn take(stream: &mut impl Read, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_request_is_let_in_and_speaks() {
    let engine = start(2);
    let mut stream = dial(listen(&engine));
    stream.write_all(&[UPGRADE, HI].concat()).unwrap();
    let (id, request) = request(&engine);
    assert_eq!((&*request.target, &*request.remote), (&b"/a"[..], "127.0.0.1"));
    assert_eq!(engine.waiting(), 1);
    let conn = engine.accept(id, None, b"", 1.0, false, false).unwrap().unwrap();
    assert!(head(&mut stream).starts_with("HTTP/1.1 101 "));
    // The bytes after the request head are its first message.
    wait_event(&engine, |event| matches!(event, Event::Messages { conn: of, .. } if of == conn).then_some(()));
    engine.send(conn, draft(b"hello")).unwrap();
    assert_eq!(take(&mut stream, 7), b"\x82\x05hello");
    assert_eq!((engine.waiting(), engine.handshakes()), (0, vec![(101, 1)]));
    drop(stream);
    wait_event(&engine, |event| matches!(event, Event::Closed { conn: of, .. } if of == conn).then_some(()));
}

#[test]
fn a_session_begins_with_its_first_envelope() {
    let engine = start(1);
    let mut stream = dial(listen(&engine));
    stream.write_all(UPGRADE).unwrap();
    let (id, _) = request(&engine);
    let conn = engine.accept(id, Some(Codec::Json), b"{}", 1.0, false, false).unwrap().unwrap();
    head(&mut stream);
    assert_eq!(take(&mut stream, 4), b"\x81\x02{}");
    // The session is resumed over another connection.
    let mut second = dial(listen(&engine));
    second.write_all(UPGRADE).unwrap();
    let (id, _) = request(&engine);
    let refused = UNRESUMED.map(|_| Box::from(&b"[]"[..]));
    let close = CloseReason::new(4000, "").unwrap();
    let link =
        engine.accept_again(conn, id, Codec::Json, [0, 0], b"{1}", refused, close, 1.0, false, false).unwrap().unwrap();
    wait_event(&engine, |event| (event == Event::Resumed { conn, link }).then_some(()));
    head(&mut second);
    assert_eq!(take(&mut second, 5), b"\x81\x03{1}");
    assert_eq!(take(&mut stream, 4), b"\x88\x02\x0f\xa0");
    // A newcomer that has gone does not affect the session.
    let refused = UNRESUMED.map(|_| Box::default());
    let close = CloseReason::new(4000, "").unwrap();
    assert_eq!(
        engine.accept_again(conn, id, Codec::Json, [0, 0], b"", refused, close, 1.0, false, false).unwrap(),
        None
    );
    engine.send(conn, draft(b"x")).unwrap();
    assert!(second.read(&mut [0; 100]).unwrap() > 0);
}

#[test]
fn one_byte_at_a_time() {
    let engine = start(1);
    let mut stream = dial(listen(&engine));
    for byte in UPGRADE {
        stream.write_all(&[*byte]).unwrap();
    }
    let (id, _) = request(&engine);
    assert!(accept(&engine, id).is_some());
    assert!(head(&mut stream).starts_with("HTTP/1.1 101 "));
}

#[test]
fn a_refusal_arrives_though_the_peer_goes_on() {
    let engine = start(1);
    let address = listen(&engine);
    for _ in 0..20 {
        let mut stream = dial(address);
        stream.write_all(UPGRADE).unwrap();
        let (id, _) = request(&engine);
        // More than the socket takes at once; these bytes come after the head.
        stream.write_all(&[0; 20_000]).unwrap();
        engine.refuse(id, Refusal::new(401, "no token")).unwrap();
        assert!(head(&mut stream).starts_with("HTTP/1.1 401 "));
        assert_eq!(take(&mut stream, 13), b"Unauthorized\n");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    assert_eq!(engine.handshakes(), [(401, 20)]);
}

#[test]
fn a_socket_is_given_to_the_host() {
    let engine = start(1);
    let mut stream = dial(listen(&engine));
    stream.write_all(b"GET / HTTP/1.1\r\n\r\nab").unwrap();
    let (id, NewcomerEvent::Http { stream: fd, data, .. }) = news(&engine) else { panic!() };
    assert_eq!(data, b"GET / HTTP/1.1\r\n\r\nab");
    let mut ours = TcpStream::from(fd);
    ours.set_nonblocking(false).unwrap();
    stream.write_all(b"c").unwrap();
    assert_eq!(take(&mut ours, 1), b"c");
    ours.write_all(b"d").unwrap();
    assert_eq!(take(&mut stream, 1), b"d");
    drop(ours);
    engine.left(id);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn unix_sockets_have_no_address() {
    let engine = start(1);
    let folder = std::env::temp_dir().join(format!("fanwire-{}-{:?}", std::process::id(), thread::current().id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("socket");
    engine.listen(UnixListener::bind(&path).unwrap().into(), ListenerOptions::default()).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(UPGRADE).unwrap();
    let (id, request) = request(&engine);
    assert_eq!(request.remote, "");
    assert!(accept(&engine, id).is_some());
    assert!(head(&mut stream).starts_with("HTTP/1.1 101 "));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_peer_that_goes_while_the_host_thinks_is_told_of() {
    let engine = start(1);
    let path = std::env::temp_dir().join(format!("fanwire-gone-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    engine.listen(UnixListener::bind(&path).unwrap().into(), ListenerOptions::default()).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(UPGRADE).unwrap();
    let (id, _) = request(&engine);
    drop(stream);
    wait_event(&engine, |event| (event == Event::NewcomerGone { conn: id }).then_some(()));
    assert_eq!(accept(&engine, id), None);
    assert_eq!(engine.waiting(), 0);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn options_are_inherited() {
    let engine = start(1);
    let mut stream = dial(listen(&engine));
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let (_, NewcomerEvent::Http { stream: fd, .. }) = news(&engine) else { panic!() };
    let socket = socket2::Socket::from(fd);
    assert!(socket.tcp_nodelay().unwrap());
    #[cfg(target_os = "linux")]
    {
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 16 << 10);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(DEADLINE));
    }
}

#[test]
fn those_that_wait_in_the_kernel_are_told_that_it_ends() {
    let engine = start(1);
    let address = listen(&engine);
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = dial(address);
            stream.write_all(UPGRADE).unwrap();
            stream
        })
        .collect();
    engine.stop_listening().unwrap();
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    // The host is given only a few at a time.
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_until("all are decided", || {
                for event in engine.events(1000, 0) {
                    if let Event::Newcomer { conn } = event {
                        engine.refuse(conn, Refusal::new(503, "")).unwrap();
                    }
                }
                engine.waiting() == 0
            });
        });
        for mut stream in asked {
            assert!(head(&mut stream).starts_with("HTTP/1.1 503 "));
        }
    });
}

#[test]
fn shutdown_ends_newcomers() {
    let engine = start(1);
    let address = listen(&engine);
    let (mut silent, mut asking) = (dial(address), dial(address));
    silent.write_all(b"GET /").unwrap();
    asking.write_all(UPGRADE).unwrap();
    let (id, _) = request(&engine);
    wait_until("both are known", || engine.waiting() == 2);
    assert!(engine.shutdown(DEADLINE));
    for stream in [&mut silent, &mut asking] {
        assert!(!stream.read(&mut [0]).is_ok_and(|read| read > 0));
    }
    assert!(matches!(engine.accept(id, None, b"", 1.0, false, false), Err(Error::ShutDown)));
    assert!(matches!(engine.refuse(id, Refusal::new(401, "")), Err(Error::ShutDown)));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    assert!(matches!(engine.listen(listener.into(), ListenerOptions::default()), Err(Error::ShutDown)));
    engine.left(id);
    assert_eq!(engine.waiting(), 0);
    TcpStream::connect(address).unwrap_err();
}

#[test]
fn what_does_not_listen_is_refused() {
    let engine = start(1);
    let (ours, _theirs) = UnixStream::pair().unwrap();
    assert!(matches!(engine.listen(ours.into(), ListenerOptions::default()), Err(Error::Invalid(_))));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(matches!(engine.listen(file.into(), ListenerOptions::default()), Err(Error::Io(_))));
}

/// Peers reset, leave or stay while several threads answer them. Each ends once, and no place stays taken.
#[test]
fn answers_race_with_the_peers_ends() {
    let engine = Engine::start(EngineSettings {
        admission: AdmissionSettings { max_connections: 1000, ..AdmissionSettings::default() },
        ..settings(2)
    })
    .unwrap();
    let address = listen(&engine);
    let rounds: usize = std::env::var("FANWIRE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(300);
    let is_over = AtomicBool::new(false);
    let open = Mutex::new(HashMap::new());
    thread::scope(|scope| {
        let peers: Vec<_> = (0..4)
            .map(|peer| {
                scope.spawn(move || {
                    for round in 0..rounds {
                        let mut stream = dial(address);
                        let _ = stream.write_all(if round % 7 == 0 { &UPGRADE[..30] } else { UPGRADE });
                        match (round + peer) % 4 {
                            0 => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
                            1 => stream.shutdown(std::net::Shutdown::Write).unwrap(),
                            2 => drop(stream.write_all(HI)),
                            _ if round % 7 > 0 => drop(stream.read(&mut [0; 500])),
                            _ => {}
                        }
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    for event in engine.events(100, 0) {
                        match event {
                            Event::Newcomer { conn } if engine.news(conn).is_some() => {
                                if conn.as_u64() % 3 == 0 {
                                    engine.refuse(conn, Refusal::new(401, "")).unwrap();
                                } else if let Some(conn) = accept(&engine, conn) {
                                    *open.lock().unwrap().entry(conn).or_insert(0) += 1;
                                }
                            }
                            Event::Closed { conn, cause } => {
                                assert_ne!(cause, Cause::Unanswered);
                                *open.lock().unwrap().entry(conn).or_insert(0) -= 1;
                            }
                            _ => {}
                        }
                    }
                    thread::yield_now();
                }
            });
        }
        for peer in peers {
            peer.join().unwrap();
        }
        wait_until("all have ended", || {
            engine.waiting() == 0 && open.lock().unwrap().values().all(|&count| count == 0) && engine.connections() == 0
        });
        is_over.store(true, Relaxed);
    });
}
