//! Compression from the request to the messages, over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use flate2::{Compress, FlushCompress};

use super::accepting::{dial, head, listen, request, take};
use super::*;
use crate::protocol::compression::Compressed;
use crate::wire::deflate::inflate;

fn upgrade(offer: &str) -> String {
    format!(
        "GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: fanwire.v1.json\r\n\
         Sec-WebSocket-Extensions: {offer}\r\n\r\n"
    )
}

/// Asks for a connection. Returns its stream, its id, and whether compression was agreed to.
fn ask(engine: &Engine, address: SocketAddr, offer: &str) -> (TcpStream, ConnId, bool) {
    let mut stream = dial(address);
    stream.write_all(upgrade(offer).as_bytes()).unwrap();
    let (id, request) = request(engine);
    (stream, id, request.compression)
}

fn open(engine: &Engine, address: SocketAddr, offer: &str) -> (TcpStream, ConnId, bool) {
    let (mut stream, id, is_compressed) = ask(engine, address, offer);
    let conn = engine.accept(id, Some(Codec::Json), b"{}", 1.0, false, false).unwrap().unwrap();
    let head = head(&mut stream);
    assert_eq!(head.contains("\r\nSec-WebSocket-Extensions: permessage-deflate; "), is_compressed, "{head}");
    assert_eq!(take(&mut stream, 4), b"\x81\x02{}");
    (stream, conn, is_compressed)
}

/// Reads a frame: its first byte, its length on the wire, and its text.
fn message(stream: &mut impl Read) -> (u8, usize, String) {
    let [first, short] = take(stream, 2)[..] else { panic!() };
    let len = match short {
        126 => take(stream, 2).into_iter().fold(0, |len, byte| len << 8 | usize::from(byte)),
        127 => panic!("too large"),
        len => usize::from(len),
    };
    let payload = take(stream, len);
    let text = if first & 0x40 == 0 { payload } else { inflate(&payload, 1 << 20, <[u8]>::to_vec).unwrap() };
    (first, len, String::from_utf8(text).unwrap())
}

#[test]
fn members_get_the_form_that_they_have_agreed_to() {
    let engine = start(2);
    let address = listen(&engine);
    let (_, id, is_compressed) = ask(&engine, address, "permessage-deflate");
    assert!(!is_compressed, "not before it is switched on");
    engine.left(id);
    engine.set_compression(6, 200).unwrap();
    engine.add_rule("q.*", RoomSettings { compress: true, ..RoomSettings::default() }).unwrap();
    let offers = ["x", "permessage-deflate", "permessage-deflate; server_max_window_bits=9", "permessage-deflate"];
    let mut clients: Vec<_> = offers.iter().map(|offer| open(&engine, address, offer)).collect();
    assert_eq!(clients.iter().map(|client| client.2).collect::<Vec<_>>(), [false, true, true, true]);
    let payload = format!(r#"{{"text":"{}"}}"#, "price ".repeat(100));
    let small = Draft { kind: Kind::Json, ..draft(b"{}") };
    let large = Draft { payload: payload.as_bytes(), ..small };
    for room in ["q.a", "plain"] {
        for (_, conn, _) in &clients {
            engine.join(*conn, room, JoinOptions::default(), None).unwrap();
        }
        engine.publish(room, small, &[]).unwrap();
        engine.publish(room, large, &[]).unwrap();
        let mut lens = Vec::new();
        for (stream, _, is_compressed) in &mut clients {
            let (first, _, text) = message(stream);
            assert_eq!((first, text.contains(r#""payload":{}"#)), (0x81, true));
            let (first, len, text) = message(stream);
            assert!(text.contains(&payload), "{text}");
            assert_eq!(first, if *is_compressed && room == "q.a" { 0xC1 } else { 0x81 });
            lens.push(len);
        }
        assert_eq!(lens.iter().all(|&len| len == lens[0]), room == "plain", "{lens:?}");
        assert_eq!(lens[1], lens[3]);
        assert!(room == "plain" || 4 * lens[1] < lens[0], "{lens:?}");
    }
    // Once for each window, and nothing for what is small or in another room.
    let Compressed { messages, bytes_before, bytes_after, not_smaller } = engine.compressed();
    assert_eq!((messages, not_smaller), (2, 0));
    assert!(4 * bytes_after < bytes_before);
}

#[test]
fn clients_compress_too_and_a_bomb_is_failed() {
    let engine = start(1);
    let address = listen(&engine);
    engine.set_compression(6, 200).unwrap();
    let (mut stream, conn, _) = open(&engine, address, "permessage-deflate");
    let send = |stream: &mut TcpStream, payload: &[u8]| {
        let mut data = Vec::with_capacity(payload.len() + 100);
        Compress::new(flate2::Compression::new(6), false)
            .compress_vec(payload, &mut data, FlushCompress::Sync)
            .unwrap();
        data.truncate(data.len() - 4);
        let len = (data.len() as u16).to_be_bytes();
        let header = if data.len() < 126 { vec![0xC1, 0x80 | len[1]] } else { vec![0xC1, 0xFE, len[0], len[1]] };
        stream.write_all(&[&header[..], &[0; 4], &data].concat()).unwrap();
    };
    send(&mut stream, b"hello hello hello");
    let messages = wait_event(&engine, |event| match event {
        Event::Messages { messages, .. } => Some(messages),
        _ => None,
    });
    assert_eq!(messages, crate::queues::batch::tests::messages_of(["hello hello hello"]));
    send(&mut stream, &vec![b'x'; 16 << 20]);
    let (of, code) = wait_event(&engine, |event| match event {
        Event::Broke { conn, code, .. } => Some((conn, code)),
        _ => None,
    });
    assert_eq!((of, code), (conn, 1009));
    // Under load a pong may come first, because the host has not handled the message yet.
    let close = loop {
        let [first, len] = take(&mut stream, 2)[..] else { panic!() };
        let payload = take(&mut stream, usize::from(len));
        if first == 0x88 {
            break payload;
        }
    };
    assert_eq!(close[..2], 1009u16.to_be_bytes());
}

#[test]
fn a_session_moves_between_links_that_compress_and_that_do_not() {
    let engine = start(1);
    let address = listen(&engine);
    engine.set_compression(6, 200).unwrap();
    engine.add_rule("q.*", RoomSettings { compress: true, ..RoomSettings::default() }).unwrap();
    let (mut stream, conn, _) = open(&engine, address, "permessage-deflate");
    engine.join(conn, "q.a", JoinOptions::default(), None).unwrap();
    let payload = "price ".repeat(100);
    let draft = Draft { kind: Kind::Text, ..draft(payload.as_bytes()) };
    let mut link = conn;
    for (received, offer, first) in
        [(0, "", 0xC1), (1, "none", 0x81), (2, "permessage-deflate; server_max_window_bits=12", 0xC1), (2, "", 0x81)]
    {
        if received > 0 {
            drop(stream);
            wait_event(&engine, |event| matches!(event, Event::Parked { conn, .. } if conn == link).then_some(()));
            let (next, id, is_compressed) = ask(&engine, address, offer);
            assert_eq!(is_compressed, first == 0xC1);
            let (refused, close) = (UNRESUMED.map(|_| (*b"no").into()), CloseReason::new(4503, "").unwrap());
            let again =
                engine.accept_again(conn, id, Codec::Json, [received, 0], b"{}", refused, close, 1.0, false, false);
            stream = next;
            link = again.unwrap().unwrap();
            head(&mut stream);
            assert_eq!(take(&mut stream, 4), b"\x81\x02{}");
        }
        let seq = engine.publish("q.a", draft, &[]).unwrap();
        for expected in received + 1..=seq {
            let (byte, _, text) = message(&mut stream);
            assert_eq!(byte, first);
            assert!(text.contains(&format!(r#""seq":{expected},"#)) && text.contains(&payload), "{text}");
        }
    }
}

#[test]
fn levels_that_do_not_exist() {
    let engine = start(1);
    for level in [0, 10] {
        assert!(matches!(engine.set_compression(level, 0), Err(Error::Invalid(_))));
    }
    let address = listen(&engine);
    assert!(!ask(&engine, address, "permessage-deflate").2);
}
