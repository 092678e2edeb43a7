//! How connections, threads and the engine end.

use std::collections::HashSet;
use std::fs;
use std::os::fd::AsRawFd;

use super::*;
use crate::queues::command::Cause;

#[test]
fn close_sends_what_waits_then_the_frame_then_fin() {
    let engine = start(1);
    let mut client = member(&engine, "room");
    engine.publish("room", draft(b"last"), &[]).unwrap();
    engine.close(client.conn, Some(1001), "bye", true).unwrap();
    assert_eq!(client.frame(), (2, b"last".to_vec()));
    assert_eq!(client.frame(), (8, b"\x03\xE9bye".to_vec()));
    client.end();
    engine.gone(client.conn).unwrap();
    wait_until("it has left", || engine.members("room") == 0 && engine.budget().used() == 0);
}

#[test]
fn a_peer_that_went_is_noticed() {
    let engine = start(1);
    let client = member(&engine, "room");
    let conn = client.conn;
    drop(client);
    engine.publish("room", draft(b"x"), &[]).unwrap();
    let closed = wait_event(&engine, |event| Some(event).filter(|event| !matches!(event, Event::Ended { .. })));
    // The end is seen by reading, or earlier by a failing write.
    assert!(matches!(closed, Event::Closed { conn: of, cause: Cause::Eof | Cause::Reset } if of == conn));
    assert_eq!(engine.members("room"), 0);
}

#[test]
fn shutdown_in_the_middle_of_a_burst_ends_in_time() {
    let engine = start(2);
    let mut clients: Vec<_> = (0..20).map(|_| member(&engine, "room")).collect();
    let conn = clients[0].conn;
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    match engine.publish("room", draft(&[0; 100]), &[]) {
                        Ok(_) | Err(Error::Overloaded { .. }) => {}
                        Err(Error::ShutDown) => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        wait_until("the burst is on", || engine.published().0 > 1_000);
        assert!(engine.shutdown(DEADLINE));
    });
    for client in &mut clients {
        client.end();
    }
    assert!(engine.shutdown(DEADLINE), "a second time does nothing");
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let settings = RoomSettings::default();
    for result in [
        engine.check(),
        engine.add_rule("*", settings),
        engine.open(ours.into(), Form::RAW, false, [b""; 2], source()).map(drop),
        engine.gone(conn),
        engine.send_raw(conn, b""),
        engine.send(conn, draft(b"")),
        engine.broadcast(draft(b""), &[]),
        engine.publish("room", draft(b""), &[]).map(drop),
        join(&engine, conn, "room").map(drop),
        engine.leave(conn, "room"),
        engine.forget("room", "").map(drop),
        engine.hold(conn, false),
        engine.close(conn, None, "", false),
    ] {
        assert!(matches!(result, Err(Error::ShutDown)), "{result:?}");
    }
}

#[test]
fn shutdown_does_not_wait_for_what_was_not_yet_queued() {
    // Twenty thousand messages for each of two hundred connections that read nothing.
    let engine = start(1);
    let _members: Vec<_> = (0..200).map(|_| member(&engine, "room")).collect();
    let barrier = stall(&engine, 0);
    for number in 0..20_000 {
        engine.publish("room", Draft { delivery: Some(Delivery::DropOldest), ..draft(b"") }, &[]).unwrap();
        if number == 1_000 {
            // In the middle of what it has taken, the end comes.
            let queue = Arc::clone(&engine.shards[0].queue);
            let until_the_end = move || wait_until("it is told to stop", || queue.is_stopped());
            assert!(!on_thread(&engine.shards[0].queue, until_the_end), "the thread is awake");
        }
    }
    barrier.wait();
    assert!(engine.shutdown(DEADLINE));
    assert!(engine.stats().all(|stats| stats.connections.value() == 0));
    let dropped = engine.stats().next().unwrap().drops(crate::stats::Drop::Closed);
    assert!(dropped < 20_000 * 200, "all was queued first");
}

#[test]
fn shutdown_that_is_not_done_in_time_says_so() {
    let engine = start(1);
    let barrier = stall(&engine, 0);
    assert!(!engine.shutdown(Duration::ZERO));
    barrier.wait();
    assert!(engine.shutdown(DEADLINE));
}

#[test]
fn a_panic_is_told_and_every_later_call_says_so() {
    let engine = start(2);
    let mut client = member(&engine, "room");
    let conn = client.conn;
    let shard = &engine.shards[conn.shard()];
    if on_thread(&shard.queue, || panic!("as a test asked")) {
        shard.wake();
    }
    let what = wait_event(&engine, |event| match event {
        Event::Failed { what } => Some(what),
        _ => None,
    });
    assert_eq!(what, format!("panic in fanwire-{}: as a test asked", conn.shard()));
    // The connections end instead of hanging.
    client.end();
    for result in [engine.check(), engine.gone(conn), engine.publish("room", draft(b""), &[]).map(drop)] {
        assert!(matches!(&result, Err(Error::Failed(said)) if *said == what), "{result:?}");
    }
    assert!(engine.shutdown(DEADLINE));
}

#[test]
fn connections_give_their_descriptors_back() {
    let engine = start(2);
    let mut sockets = HashSet::new();
    for round in 0..2_000 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        sockets.insert(fs::read_link(format!("/proc/self/fd/{}", ours.as_raw_fd())).unwrap());
        let conn = engine.open(ours.into(), Form::RAW, false, [b""; 2], source()).unwrap();
        join(&engine, conn, "room").unwrap();
        if round % 10 == 0 {
            // More than the socket takes, so that it is also registered for writing.
            engine.send(conn, draft(&vec![0; 1 << 20])).unwrap();
        }
        if round % 3 == 0 {
            drop(theirs);
        }
        engine.gone(conn).unwrap();
    }
    assert_eq!(sockets.len(), 2_000);
    // Compares inodes, because other tests open and close descriptors at the same time.
    wait_until("all are closed", || {
        let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        open.filter(|target| sockets.contains(target)).count() == 0
    });
    wait_until("all is forgotten", || engine.members("room") == 0 && engine.budget().used() == 0);
    assert!(engine.shards.iter().all(|shard| lock(&shard.ids).is_empty()));
}
