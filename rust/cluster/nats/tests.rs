use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use super::*;

const ECHO: &str = "echo";

/// Serves one connection like NATS until it is told to stop, and no other after that.
fn serve(listener: TcpListener, stop: &AtomicBool) {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let mut answers = stream.try_clone().unwrap();
    answers.write_all(b"INFO {\"max_payload\":1048576}\r\n").unwrap();
    let (mut lines, mut line, mut sid) = (BufReader::new(stream), String::new(), String::new());
    while !stop.load(Relaxed) {
        // What was read of a line stays in it.
        if lines.read_line(&mut line).is_err() {
            continue;
        }
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["PING"] => answers.write_all(b"PONG\r\n").unwrap(),
            ["SUB", ECHO, number] => sid = number.to_owned(),
            ["PUB", ECHO, len] => {
                let mut payload = vec![0; len.parse::<usize>().unwrap() + 2];
                let (mut rest, mut tries) = (&mut payload[..], 0..1_000);
                while !rest.is_empty() {
                    // It may come later than the line.
                    if let Ok(read @ 1..) = lines.read(rest) {
                        rest = &mut rest[read..];
                    }
                    tries.next().expect("the payload comes");
                }
                answers.write_all(format!("MSG {ECHO} {sid} {len}\r\n").as_bytes()).unwrap();
                answers.write_all(&payload).unwrap();
            }
            _ => {}
        }
        line.clear();
    }
}

/// Takes events until one is wanted.
fn wait(connection: &NatsConnection, mut is_wanted: impl FnMut(&NatsEvent) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !connection.take(64).iter().any(&mut is_wanted) {
        assert!(Instant::now() < deadline, "the event comes");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_request_behind_commands_that_nats_does_not_take_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = NatsSettings {
        servers: vec![format!("nats://{}", listener.local_addr().unwrap())],
        node: "node".into(),
        echo: ECHO.into(),
        // The connection has to be made within this time, too.
        timeout: Duration::from_secs(2),
        retry: Duration::from_millis(10),
        ping: Duration::from_secs(600),
        max_bytes: 1 << 20,
        ..NatsSettings::default()
    };
    let stop = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&stop);
    let server = thread::spawn(move || serve(listener, &theirs));
    let connection = NatsConnection::open(settings).unwrap();
    wait(&connection, |event| *event == NatsEvent::Up);
    stop.store(true, Relaxed);
    server.join().unwrap();
    wait(&connection, |event| *event == NatsEvent::Down);
    // More than the client accepts without a connection.
    for ticket in 0..1000 {
        connection.sync(ticket);
    }
    connection.ask(Question {
        ticket: 7,
        subject: "a".into(),
        headers: Vec::new(),
        payload: Bytes::new(),
        is_batch: false,
    });
    connection.flush();
    wait(&connection, |event| matches!(event, NatsEvent::Answered(7, Err(_))));
    assert!(connection.close(Duration::from_secs(20)));
}
