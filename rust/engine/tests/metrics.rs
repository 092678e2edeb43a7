//! What is counted by the rules of rooms, and traces of messages.

use super::*;
use crate::stats::rules::RuleStats;

/// The published messages, the delivered ones and the bytes of their payloads, by pattern.
fn counts(engine: &Engine) -> Vec<(String, [u64; 3])> {
    let sum = |shards: &[&RuleStats], count: fn(&RuleStats) -> u64| shards.iter().map(|stats| count(stats)).sum();
    let rules = engine.rules().map(|(pattern, published, shards)| {
        let delivered = sum(&shards, |stats| stats.delivered.value());
        let latencies = sum(&shards, |stats| stats.latency.buckets().map(|(_, count)| count).sum());
        assert_eq!(delivered, latencies);
        (pattern.into(), [published, delivered, sum(&shards, |stats| stats.bytes.value())])
    });
    rules.collect()
}

#[test]
fn messages_count_for_the_rule_of_their_room() {
    let engine = start(2);
    engine.add_rule("a.*", RoomSettings::default()).unwrap();
    engine.add_rule("b.*", RoomSettings { delivery: Delivery::DropOldest, ..RoomSettings::default() }).unwrap();
    let mut clients = [member(&engine, "a.1"), member(&engine, "a.1"), member(&engine, "b.1"), member(&engine, "c")];
    for (room, payload) in [("a.1", &b"12345678"[..]), ("b.1", b"1234567890"), ("c", b"12345678"), ("a.2", b"x")] {
        engine.publish(room, draft(payload), &[]).unwrap();
    }
    engine.broadcast(draft(b"to all..."), &[]).unwrap();
    engine.send(clients[0].conn, draft(b"to one..")).unwrap();
    for (client, count) in clients.iter_mut().zip([3, 2, 2, 2]) {
        (0..count).for_each(|_| drop(client.frame()));
    }
    wait_until("all is counted", || counts(&engine).iter().map(|(_, [_, delivered, _])| delivered).sum::<u64>() == 9);
    let expected = [("", [1, 5, 4 * 9 + 8]), ("*", [1, 1, 8]), ("a.*", [2, 2, 16]), ("b.*", [1, 1, 10])]
        .map(|(pattern, counts)| (pattern.to_owned(), counts));
    assert_eq!(counts(&engine), expected);
    assert_eq!(engine.published().0, 5);
}

#[test]
fn a_trace_tells_how_many_connections_got_a_message_and_when() {
    let engine = start(2);
    let mut clients: Vec<_> = (0..5).map(|_| member(&engine, "a")).collect();
    engine.publish("a", draft(b"12345678"), &[]).unwrap();
    assert!(engine.traces().want("a"));
    engine.publish("b", draft(b"12345678"), &[]).unwrap();
    let seq = engine.publish("a", draft(b"12345678"), &[]).unwrap();
    assert!(engine.traces().unwant("a"));
    engine.publish("a", draft(b"12345678"), &[]).unwrap();
    for client in &mut clients {
        (0..3).for_each(|_| drop(client.frame()));
    }
    let mut finished = Vec::new();
    wait_until("the message was let go", || {
        finished.extend(engine.finished_traces());
        !finished.is_empty()
    });
    let [(room, traced, published_us, written, last_us)] = &finished[..] else { panic!("{finished:?}") };
    assert_eq!((&**room, *traced, *written), ("a", seq, 5));
    assert!(last_us >= published_us);
}

#[test]
fn a_message_without_readers_is_not_traced() {
    let engine = start(1);
    engine.traces().want("a");
    engine.publish("a", draft(b"x"), &[]).unwrap();
    assert!(!engine.traces().unwant("a"));
    assert!(engine.finished_traces().is_empty());
}

#[test]
fn what_clients_send_is_counted() {
    use std::io::Write;

    let engine = start(1);
    let mut client = connect(&engine);
    // A masked binary frame with four bytes.
    client.stream.get_mut().write_all(b"\x82\x84\0\0\0\0abcd").unwrap();
    wait_until("it was read", || engine.stats().map(|stats| stats.received.value()).sum::<u64>() == 1);
    assert_eq!(engine.stats().map(|stats| stats.received_bytes.value()).sum::<u64>(), 10);
}

#[test]
fn the_spread_is_measured_by_rule_in_all_shards_and_not_for_one_member() {
    let engine = start(2);
    for pattern in ["a.*", "b.*", "c.*"] {
        let settings = RoomSettings { history: 4, ..RoomSettings::default() };
        engine.add_rule(pattern, settings).unwrap();
    }
    let mut clients = [member(&engine, "a.1"), member(&engine, "a.1"), member(&engine, "a.1"), member(&engine, "b.1")];
    for room in ["a.1", "b.1", "c.1"] {
        engine.publish(room, draft(b"12345678"), &[]).unwrap();
    }
    clients.iter_mut().for_each(|client| drop(client.frame()));
    // What a history keeps is measured, too.
    let counts = || -> Vec<u64> {
        let rules = engine.spreads().into_iter().take(5);
        rules.map(|(buckets, _)| buckets.iter().map(|&(_, count)| count).sum()).collect()
    };
    wait_until("the spread is counted", || counts() == [0, 0, 1, 0, 0]);
}
