//! Event streams and polls over real sockets.

use std::io::Write;
use std::net::TcpStream;

use super::accepting::{dial, head, listen, request, take};
use super::*;
use crate::queues::command::{Cause, Unresumed};

const JSON: &str = "&protocol=fanwire.v1.json";

fn get(stream: &mut TcpStream, target: &str, lines: &str) {
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n").as_bytes()).unwrap();
}

/// Reads one event of a stream.
fn event(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\n\n") {
        bytes.extend(take(stream, 1));
    }
    String::from_utf8(bytes).unwrap()
}

fn rest(stream: &mut impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Waits for the answer to a poll.
fn data(engine: &Engine, link: ConnId) -> String {
    let bytes = wait_event(engine, |event| match event {
        Event::Data { conn, bytes } if conn == link => Some(bytes),
        _ => None,
    });
    String::from_utf8(bytes.into()).unwrap()
}

fn join(engine: &Engine, conn: ConnId, room: &str) {
    engine.join(conn, room, JoinOptions::default(), None).unwrap();
}

#[test]
fn a_room_is_a_stream_of_numbered_events() {
    let engine = start(2);
    let mut stream = dial(listen(&engine));
    get(&mut stream, "/rooms/news", "Accept: text/event-stream\r\n");
    let (id, request) = request(&engine);
    assert_eq!((request.transport, request.subprotocol), ("sse", Some("fanwire.v1.raw")));
    let conn = engine.accept(id, None, b"", 1.0, false, false).unwrap().unwrap();
    assert!(head(&mut stream).contains("\r\nContent-Type: text/event-stream; charset=utf-8\r\n"));
    join(&engine, conn, "news");
    engine.publish("news", draft(b"a"), &[]).unwrap();
    let position = engine.position("news").unwrap();
    assert_eq!(event(&mut stream), format!("id: {:x}-1\nevent: binary\ndata: YQ==\n\n", position.epoch));
    engine.send(conn, draft(b"b")).unwrap();
    assert_eq!(event(&mut stream), "event: binary\ndata: Yg==\n\n");
    engine.close(conn, Some(1001), "bye", true).unwrap();
    assert_eq!(rest(&mut stream), "event: close\ndata: {\"code\":1001,\"reason\":\"bye\"}\n\n");
    wait_event(&engine, |event| (event == Event::Closed { conn, cause: Cause::Over }).then_some(()));
    assert_eq!((engine.connections(), engine.handshakes()), (0, vec![(200, 1)]));
}

#[test]
fn a_session_moves_from_a_stream_to_polls_and_back() {
    let engine = start(1);
    let address = listen(&engine);
    let mut stream = dial(address);
    get(&mut stream, &format!("/?transport=sse{JSON}"), "");
    let id = request(&engine).0;
    let conn = engine.accept(id, Some(Codec::Json), b"\"welcome\"", 1.0, false, false).unwrap().unwrap();
    head(&mut stream);
    assert_eq!(event(&mut stream), "data: \"welcome\"\n\n");
    join(&engine, conn, "r");
    engine.publish("r", draft(b"1"), &[]).unwrap();
    assert!(event(&mut stream).contains(r#""seq":1"#));

    let size = engine.post(conn, conn, b"{\"type\":\"a\"}\n{\"type\":\"b\"}", false, None).unwrap();
    let (mut read, mut messages) = (0, 0);
    wait_event(&engine, |event| {
        match event {
            Event::Read { conn: link, bytes } if link == conn => read += bytes,
            Event::Messages { messages: more, .. } => messages += more.len(),
            _ => {}
        }
        ((read, messages) == (size, 2)).then_some(())
    });
    assert!(matches!(engine.post(conn, conn, b"\xFF", false, None), Err(Error::Invalid(_))));

    let resume = |id, received| {
        let refused = UNRESUMED.map(|(_, reason)| format!("\"{reason}\"").into_bytes().into());
        let close = CloseReason::new(4503, "moved").unwrap();
        engine
            .accept_again(conn, id, Codec::Json, [received, 0], b"\"resumed\"", refused, close, 1.0, false, false)
            .unwrap()
            .unwrap()
    };
    let mut opening = dial(address);
    get(&mut opening, &format!("/?transport=long-poll{JSON}"), "");
    let link = resume(request(&engine).0, 0);
    assert!(head(&mut opening).contains("\r\nConnection: close\r\nContent-Length: 17\r\n"));
    assert_eq!(rest(&mut opening), "data: \"resumed\"\n\n");
    assert_eq!(rest(&mut stream), "event: close\ndata: {\"code\":4503,\"reason\":\"moved\"}\n\n");
    drop((opening, stream));
    wait_event(&engine, |event| (event == Event::Closed { conn, cause: Cause::Over }).then_some(()));
    // The link counts as a connection although it has no socket.
    assert_eq!(engine.connections(), 1);

    engine.poll(conn, link, 0).unwrap();
    assert!(data(&engine, link).contains(r#""seq":1"#));
    engine.poll(conn, link, 1).unwrap();
    engine.poll(conn, link, 1).unwrap();
    assert_eq!(data(&engine, link), "");
    engine.publish("r", draft(b"2"), &[]).unwrap();
    let text = data(&engine, link);
    assert!(text.contains(r#""seq":2"#) && !text.contains(r#""seq":1"#), "{text}");

    let mut stream = dial(address);
    get(&mut stream, &format!("/?transport=sse{JSON}"), "");
    resume(request(&engine).0, 1);
    head(&mut stream);
    assert_eq!(event(&mut stream), "data: \"resumed\"\n\n");
    assert!(event(&mut stream).contains(r#""seq":2"#));
    drop(stream);
    let parked = |event| matches!(event, Event::Parked { cause: Cause::Eof, .. }).then_some(());
    wait_event(&engine, parked);
    engine.gone(conn).unwrap();
}

#[test]
fn a_session_that_cannot_be_resumed_says_so_in_the_answer_to_the_request() {
    let engine = start(1);
    let address = listen(&engine);
    let mut stream = dial(address);
    get(&mut stream, &format!("/?transport=sse{JSON}"), "");
    let conn = engine.accept(request(&engine).0, Some(Codec::Json), b"", 1.0, false, false).unwrap().unwrap();
    let mut opening = dial(address);
    get(&mut opening, "/?transport=long-poll&protocol=fanwire.v1.msgpack", "");
    let id = request(&engine).0;
    let refused = UNRESUMED.map(|(_, reason)| reason.as_bytes().into());
    let close = CloseReason::new(4503, "").unwrap();
    let link =
        engine.accept_again(conn, id, Codec::Msgpack, [0, 0], b"", refused, close, 1.0, false, false).unwrap().unwrap();
    let why = Unresumed::Codec;
    wait_event(&engine, |event| (event == Event::Refused { conn, link, why }).then_some(()));
    head(&mut opening);
    assert_eq!(rest(&mut opening), "event: binary\ndata: Y29kZWM=\n\n");
    engine.send(link, draft(b"x")).unwrap();
    engine.poll(link, link, 0).unwrap();
    assert!(data(&engine, link).starts_with("event: binary\ndata: "));
}
