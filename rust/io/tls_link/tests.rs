//! Links with TLS over real sockets, with rustls as the client.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mio::{Poll, Registry};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::Socket;

use super::*;
use crate::io::link::AnyLink;
use crate::newcomers::Stream;
use crate::outbox::Sink;
use crate::shard::Link;
use crate::tls::tests::{Authority, client, config};

type Client = StreamOwned<ClientConnection, UnixStream>;

/// A link whose handshake is over, and its client, which blocks.
fn link() -> (AnyLink, Client) {
    let authority = Authority::new();
    let issued = authority.issue(&["a.example"]);
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let socket = SocketLink::accepted(Socket::from(std::os::fd::OwnedFd::from(ours)), registry());
    let mut link = TlsLink::new(socket, config(&[&issued]).server).unwrap();
    let client_config: Arc<ClientConfig> = Arc::new(authority.client_config());
    let mut client = StreamOwned::new(client(&client_config, "a.example"), theirs);
    client.conn.write_tls(&mut client.sock).unwrap();
    assert_eq!(link.shake_hands().unwrap(), None);
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock).unwrap();
    }
    assert!(link.shake_hands().unwrap().is_some());
    (AnyLink::Tls(Box::new(link)), client)
}

fn registry() -> Arc<Registry> {
    Arc::new(Poll::new().unwrap().registry().try_clone().unwrap())
}

fn is_blocked<T>(result: io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Reads all that is there, in reads of this size. Returns it, and whether the end has come.
fn read_all(link: &mut AnyLink, size: usize) -> (Vec<u8>, bool) {
    let (mut all, mut buffer) = (Vec::new(), vec![0; size]);
    loop {
        match Link::read(link, &mut buffer) {
            Ok(0) => return (all, true),
            Ok(read) => {
                all.extend_from_slice(&buffer[..read]);
                // A short read has emptied it, unless it says otherwise.
                if read < size && !link.has_more() {
                    assert!(is_blocked(Link::read(link, &mut buffer)));
                    return (all, false);
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return (all, false);
            }
        }
    }
}

#[test]
fn a_read_fills_its_buffer_or_has_emptied_the_link() {
    for size in [1, 100, 1_000, 12 << 10, 64 << 10, 1 << 20] {
        let (mut link, mut client) = link();
        let mut sent = Vec::new();
        for (number, len) in [10, 1, 16_384, 20_000, 100, 4_000].into_iter().enumerate() {
            client.write_all(&vec![number as u8; len]).unwrap();
            sent.extend(vec![number as u8; len]);
        }
        assert_eq!(read_all(&mut link, size), (sent, false), "{size}");
        // The beginning of a record is nothing to read.
        client.conn.writer().write_all(b"more").unwrap();
        let mut record = Vec::new();
        client.conn.write_tls(&mut record).unwrap();
        for byte in &record[..record.len() - 1] {
            client.sock.write_all(&[*byte]).unwrap();
            assert_eq!(read_all(&mut link, size), (Vec::new(), false));
        }
        client.sock.write_all(&record[record.len() - 1..]).unwrap();
        client.conn.send_close_notify();
        client.conn.write_tls(&mut client.sock).unwrap();
        assert_eq!(read_all(&mut link, size), (b"more".to_vec(), true));
        assert!(matches!(Link::read(&mut link, &mut [0]), Ok(0)));
    }
}

#[test]
fn many_small_records_are_not_read_for_ever() {
    let (mut link, mut client) = link();
    let mut records = Vec::new();
    for number in 0..1_000u32 {
        client.conn.writer().write_all(&[number as u8]).unwrap();
        client.conn.write_tls(&mut records).unwrap();
    }
    client.sock.write_all(&records).unwrap();
    let mut buffer = [0; 1_000];
    let read = Link::read(&mut link, &mut buffer).unwrap();
    // A record of one byte is 23 bytes longer.
    assert!((1..400).contains(&read) && link.has_more(), "{read}");
    assert_eq!(read_all(&mut link, 1_000).0.len(), 1_000 - read);
}

#[test]
fn peeking_leaves_what_there_is() {
    let (mut link, mut client) = link();
    assert!(is_blocked(Stream::peek(&mut link, &mut [0])));
    client.write_all(b"hi").unwrap();
    for _ in 0..2 {
        assert_eq!(Stream::peek(&mut link, &mut [0]).unwrap(), 1);
    }
    assert!(link.has_more());
    assert_eq!(read_all(&mut link, 100).0, b"hi");
    client.sock.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(Stream::peek(&mut link, &mut [0]).unwrap(), 0);
}

#[test]
fn a_client_that_takes_nothing_has_one_record_waiting() {
    let (mut link, mut client) = link();
    let mut sent: Vec<u8> = Vec::new();
    for number in 0..200 {
        let bytes = [number; 50_000];
        match link.write(&[IoSlice::new(&bytes[..1]), IoSlice::new(&bytes[1..])]) {
            Ok(written) => {
                sent.extend_from_slice(&bytes[..written]);
                assert!(written == bytes.len() || link.has_unsent());
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                assert!(link.has_unsent() && !link.ends_when_dropped());
                let mut buffer = [0; 7_000];
                client.read_exact(&mut buffer).unwrap();
                assert_eq!(buffer[..], sent[..7_000]);
                sent.drain(..7_000);
            }
        }
    }
    link.finish();
    let left = std::thread::spawn(move || {
        let mut left = Vec::new();
        client.read_to_end(&mut left).map(|_| left)
    });
    while !link.ends_when_dropped() {
        let _ = link.flush().unwrap();
        std::thread::yield_now();
    }
    assert!(left.join().unwrap().unwrap() == sent, "all has come, and the end");
}

#[test]
fn an_answer_is_followed_by_the_end() {
    let (mut link, mut client) = link();
    let answer = vec![b'x'; 1 << 20];
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        client.read_to_end(&mut all).map(|_| all)
    });
    Stream::answer(&mut link, &answer[..100_000]);
    while link.has_unsent() {
        let _ = link.flush();
    }
    let got = reader.join().unwrap().unwrap();
    assert!(!got.is_empty() && answer.starts_with(&got), "{}", got.len());
}

#[test]
fn a_client_that_breaks_a_rule_is_an_error_after_what_came_before() {
    let (mut link, mut client) = link();
    client.write_all(b"fine").unwrap();
    client.sock.write_all(&[23, 3, 3, 0, 20]).unwrap();
    let mut buffer = [0; 100];
    assert_eq!(Link::read(&mut link, &mut buffer[..2]).unwrap(), 2);
    assert_eq!(Link::read(&mut link, &mut buffer).unwrap(), 2);
    client.sock.write_all(&[0; 20]).unwrap();
    for _ in 0..2 {
        assert_eq!(Link::read(&mut link, &mut buffer).unwrap_err().kind(), ErrorKind::InvalidData);
    }
    assert!(client.read(&mut [0]).unwrap_err().to_string().contains("alert"));
}
