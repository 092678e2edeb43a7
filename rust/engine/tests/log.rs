//! Rooms that are numbered from outside: positions, holes, duplicates, older messages, and numbers that never come.

use super::*;

const EPOCH: u64 = 0xE;
const TS_MS: u64 = 1_700_000_000_000;

fn place(engine: &Engine, seq: u64) {
    engine.place("h.a", Position { epoch: EPOCH, seq }).unwrap();
}

fn deliver(engine: &Engine, seq: u64) -> bool {
    engine.deliver("h.a", Stamp::new(seq, TS_MS), draft(&seq.to_be_bytes()), &[]).unwrap()
}

/// Adds messages that are a minute old.
fn extend(engine: &Engine, epoch: u64, floor: u64, seqs: &[u64]) {
    let ts_ms = engine.builder.started_ms() - 60_000;
    let messages: Vec<_> = seqs.iter().map(|&seq| (Stamp::new(seq, ts_ms), draft(b"12345678"))).collect();
    engine.extend("h.a", Position { epoch, seq: floor }, &messages).unwrap();
}

fn floor(engine: &Engine) -> u64 {
    engine.floor("h.a").unwrap().seq
}

/// The number, and the number before it, of each message that a session gets when it joins from `seq`.
fn since(engine: &Engine, seq: u64) -> Result<Vec<(u64, Option<u64>)>, Unrecovered> {
    let mut client = session(engine);
    let since = Some(Position { epoch: EPOCH, seq });
    let joined = engine.join(client.conn, "h.a", JoinOptions { since, ..JoinOptions::default() }, None).unwrap();
    engine.close(client.conn, None, "", true).unwrap();
    let mut found = Vec::new();
    while let (1, payload) = client.frame() {
        let envelope: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        found.push((envelope["seq"].as_u64().unwrap(), envelope.get("prev").and_then(serde_json::Value::as_u64)));
    }
    engine.gone(client.conn).unwrap();
    joined.recovered.map(|()| found)
}

/// What one message of these tests takes in a history.
const SIZE: usize = 2 * 10 + OVERHEAD;

#[test]
fn a_message_keeps_its_number_and_time_and_says_what_came_before() {
    let engine = start(2);
    place(&engine, 10);
    let (mut client, mut raw) = (session(&engine), member(&engine, "h.a"));
    assert_eq!(join(&engine, client.conn, "h.a").unwrap(), 10);
    for (seq, is_new) in [(10, false), (11, true), (11, false), (15, true), (12, false)] {
        assert_eq!(deliver(&engine, seq), is_new, "{seq}");
    }
    for (seq, prev) in [(11, None), (15, Some(11))] {
        let envelope = client.envelope();
        assert_eq!((&envelope["id"], &envelope["ts"]), (&format!("e-{seq}").into(), &TS_MS.into()));
        assert_eq!((envelope["seq"].as_u64(), envelope.get("prev")), (Some(seq), prev.map(Into::into).as_ref()));
        assert_eq!(raw.number(), seq);
    }
    assert_eq!(engine.position("h.a").unwrap(), Position { epoch: EPOCH, seq: 15 });
    assert_eq!(engine.published().0, 2);
    // Publishing here takes the next number.
    assert_eq!(engine.publish("h.a", draft(b""), &[]).unwrap(), 16);
    assert_eq!(client.envelope().get("prev"), None);
}

#[test]
fn a_message_says_what_came_before_it_in_its_room_and_not_where_the_node_has_begun() {
    let engine = start(2);
    with_history(&engine, 9);
    place(&engine, 10);
    let mut client = session(&engine);
    join(&engine, client.conn, "h.a").unwrap();
    // Where it is not known, or is above all that came here, it is the room's position.
    for (seq, prev, said) in
        [(11, Some(4), Some(4)), (13, Some(11), Some(11)), (14, Some(0), Some(0)), (16, None, Some(14))]
            .into_iter()
            .chain([(19, Some(18), Some(16))])
    {
        let stamp = Stamp { seq, ts_ms: TS_MS, prev };
        assert!(engine.deliver("h.a", stamp, draft(b""), &[]).unwrap());
        let envelope = client.envelope();
        assert_eq!(envelope.get("prev").and_then(serde_json::Value::as_u64), said, "{seq}");
    }
    // The history says the same.
    assert_eq!(since(&engine, 10).unwrap()[..2], [(11, Some(4)), (13, Some(11))]);
}

#[test]
fn a_raised_position_leaves_the_history_as_it_is() {
    let engine = start(1);
    with_history(&engine, 9);
    place(&engine, 10);
    deliver(&engine, 12);
    assert_eq!(since(&engine, 20), Err(Unrecovered::Position));
    for position in
        [Position { epoch: EPOCH, seq: 20 }, Position { epoch: EPOCH, seq: 3 }, Position { epoch: 1, seq: 30 }]
    {
        engine.raise("h.a", position).unwrap();
    }
    engine.raise("nowhere", Position { epoch: EPOCH, seq: 3 }).unwrap();
    assert_eq!(engine.position("h.a").unwrap().seq, 20);
    assert_eq!((since(&engine, 10), since(&engine, 20)), (Ok(vec![(12, Some(10))]), Ok(vec![])));
    assert_eq!(floor(&engine), 10);
}

#[test]
fn a_message_with_a_number_is_refused_like_any_and_then_comes_again() {
    let engine = Engine::start(EngineSettings { queue_items: 10, ..settings(1) }).unwrap();
    let mut client = member(&engine, "h.a");
    let barrier = stall(&engine, 0);
    assert!((1..=10).all(|seq| deliver(&engine, seq)));
    let stamp = Stamp::new(15, TS_MS);
    let overloaded = engine.deliver("h.a", stamp, draft(b""), &[]);
    assert!(matches!(overloaded, Err(Error::Overloaded { field: "queue_items", .. })));
    assert!(matches!(
        engine.deliver("h.a", stamp, Draft { key: Some("k"), ..draft(b"") }, &[]),
        Err(Error::Invalid(_))
    ));
    assert_eq!((engine.position("h.a").unwrap().seq, engine.published().0), (10, 10));
    barrier.wait();
    assert!((1..=10).all(|seq| client.number() == seq));
    assert!(deliver(&engine, 15));
    assert_eq!(client.number(), 15);
}

#[test]
fn those_left_out_do_not_get_it() {
    let engine = start(1);
    let (mut one, mut other) = (member(&engine, "h.a"), member(&engine, "h.a"));
    engine.deliver("h.a", Stamp::new(3, TS_MS), draft(&3u64.to_be_bytes()), &[one.conn]).unwrap();
    assert!(deliver(&engine, 7));
    assert_eq!((one.number(), other.number(), other.number()), (7, 3, 7));
}

#[test]
fn a_place_empties_the_history_and_keeps_the_newest_values() {
    let engine = start(1);
    let latest = RoomSettings { delivery: Delivery::Latest, history: 10, ..RoomSettings::default() };
    engine.add_rule("h.*", latest).unwrap();
    assert!(deliver(&engine, 4));
    assert_eq!(engine.kept().used(), 2 * SIZE);
    place(&engine, 20);
    assert_eq!((floor(&engine), engine.kept().used()), (20, SIZE));
    let mut client = member(&engine, "h.a");
    assert_eq!(client.number(), 4);
    assert!(engine.forget("h.a", "").unwrap().0);
    // The message that forgets the key is kept in the history.
    assert_eq!(engine.kept().used(), OVERHEAD + 2 * 2);
}

#[test]
fn what_was_before_can_be_had_together_with_what_came_since() {
    let engine = start(1);
    with_history(&engine, 10);
    place(&engine, 20);
    assert!(deliver(&engine, 21) && deliver(&engine, 25));
    assert_eq!(since(&engine, 15), Err(Unrecovered::History));
    // 21 is there already, and no message is known at 7 or before.
    extend(&engine, EPOCH, 7, &[5, 7, 8, 12, 20, 21]);
    assert_eq!(floor(&engine), 7);
    let all = [(8, None), (12, Some(8)), (20, Some(12)), (21, None), (25, Some(21))];
    for (from, skipped) in [(7, 0), (8, 1), (10, 1), (20, 3), (22, 4), (25, 5)] {
        assert_eq!(since(&engine, from).as_deref(), Ok(&all[skipped..]), "{from}");
    }
    assert_eq!((since(&engine, 6), since(&engine, 26)), (Err(Unrecovered::History), Err(Unrecovered::Position)));
    // Now a message from before that.
    extend(&engine, EPOCH, 2, &[6]);
    assert_eq!(since(&engine, 2).unwrap()[..2], [(6, Some(2)), (8, None)]);
    // There was no message before.
    extend(&engine, EPOCH, 0, &[]);
    assert_eq!((floor(&engine), engine.kept().used()), (0, 6 * SIZE));
    assert!(deliver(&engine, 26));
    assert_eq!(since(&engine, 0).unwrap().len(), 7);
    place(&engine, 26);
    assert_eq!(engine.kept().used(), 0);
    wait_until("all memory is given back", || engine.budget().used() == 0);
}

#[test]
fn of_what_was_before_the_newest_is_kept_that_there_is_space_for() {
    let history = RoomSettings { history: 4, ..RoomSettings::default() };
    for (rule, history_bytes) in [
        (history, usize::MAX),
        (RoomSettings { history: 10, history_bytes: 4 * SIZE, ..history }, usize::MAX),
        (RoomSettings { history: 10, ..history }, 4 * SIZE),
    ] {
        let engine = Engine::start(EngineSettings { history_bytes, ..settings(1) }).unwrap();
        engine.add_rule("h.*", rule).unwrap();
        place(&engine, 20);
        assert!(deliver(&engine, 21) && deliver(&engine, 22));
        extend(&engine, EPOCH, 1, &[5, 8, 12, 15]);
        assert_eq!((floor(&engine), engine.kept().used()), (8, 4 * SIZE));
        assert_eq!(since(&engine, 8).unwrap(), [(12, Some(8)), (15, Some(12)), (21, None), (22, None)]);
        // There is no space for 7, but the hole before it is known.
        extend(&engine, EPOCH, 1, &[5, 7]);
        assert_eq!(floor(&engine), 7);
        // A new message replaces the oldest.
        assert!(deliver(&engine, 23));
        assert_eq!((floor(&engine), engine.kept().used()), (12, 4 * SIZE));
        place(&engine, 23);
        assert_eq!(engine.kept().used(), 0);
    }
}

#[test]
fn what_is_too_old_is_not_put_before_and_ages_there() {
    let engine = start(1);
    let history_age_us = 3_600_000_000;
    engine.add_rule("h.*", RoomSettings { history: 10, history_age_us, ..RoomSettings::default() }).unwrap();
    place(&engine, 20);
    let now_ms = engine.builder.started_ms() + engine.builder.now_us() / 1000;
    let at = |seq, minutes: u64| (Stamp::new(seq, now_ms - 60_000 * minutes), draft(b"x"));
    let from = Position { epoch: EPOCH, seq: 0 };
    engine.extend("h.a", from, &[at(4, 90), at(5, 61), at(9, 59), at(12, 5)]).unwrap();
    assert_eq!(floor(&engine), 5);
    assert_eq!(since(&engine, 5).unwrap(), [(9, Some(5)), (12, Some(9))]);
}

#[test]
fn nothing_is_put_before_where_it_does_not_belong() {
    let engine = start(1);
    with_history(&engine, 10);
    extend(&engine, EPOCH, 0, &[1]);
    assert_eq!(engine.rooms(), 0);
    place(&engine, 20);
    extend(&engine, EPOCH + 1, 1, &[5]);
    extend(&engine, EPOCH, 20, &[]);
    extend(&engine, EPOCH, 30, &[31]);
    assert_eq!((floor(&engine), engine.kept().used()), (20, 0));

    let without = Position { epoch: EPOCH, seq: 20 };
    engine.place("other", without).unwrap();
    let stamp = |seq| Stamp::new(seq, 0);
    engine.extend("other", Position { seq: 1, ..without }, &[(stamp(5), draft(b"x"))]).unwrap();
    assert_eq!(engine.floor("other").unwrap(), without);

    let invalid = |messages: &[(Stamp, Draft<'_>)]| {
        matches!(engine.extend("h.a", Position { epoch: EPOCH, seq: 1 }, messages), Err(Error::Invalid(_)))
    };
    assert!(invalid(&[(stamp(5), draft(b"x")), (stamp(5), draft(b"x"))]));
    assert!(invalid(&[(stamp(5), Draft { key: Some("k"), ..draft(b"x") }), (stamp(6), draft(b"x"))]));
    assert!(invalid(&[(stamp(5), draft(&vec![0; 64 << 20]))]));
    assert_eq!((floor(&engine), engine.kept().used()), (20, 0));
}

#[test]
fn what_was_before_begins_after_what_is_no_document() {
    let engine = start(1);
    with_history(&engine, 10);
    place(&engine, 20);
    let json = |seq, payload| (Stamp::new(seq, TS_MS), Draft { kind: Kind::Json, ..draft(payload) });
    let from = Position { epoch: EPOCH, seq: 1 };
    engine.extend("h.a", from, &[json(5, b"[1]"), json(6, b"[NaN]"), json(7, b"[2]")]).unwrap();
    assert_eq!(floor(&engine), 6);
}

#[test]
fn what_was_before_may_have_the_newest_value_of_a_key() {
    let engine = start(1);
    let settings = RoomSettings { delivery: Delivery::Latest, max_keys: 2, history: 10, ..RoomSettings::default() };
    engine.add_rule("h.*", settings).unwrap();
    place(&engine, 20);
    let at = |seq, key, payload| (Stamp::new(seq, TS_MS), Draft { key: Some(key), ..draft(payload) });
    let (stamp, newest) = at(21, "a", b"00000021");
    engine.deliver("h.a", stamp, newest, &[]).unwrap();
    let older = [at(4, "a", b"00000004"), at(5, "c", b"00000005"), at(6, "b", b"00000006"), at(8, "b", b"00000008")];
    engine.extend("h.a", Position { epoch: EPOCH, seq: 0 }, &older).unwrap();
    // There is no space for the third key.
    assert_eq!((floor(&engine), engine.kept().used()), (5, 5 * SIZE));
    let mut client = member(&engine, "h.a");
    assert_eq!((client.frame().1, client.frame().1), (b"00000008".to_vec(), b"00000021".to_vec()));
    // A message of another epoch counts as older than all messages of this one.
    engine.place("h.a", Position { epoch: EPOCH + 1, seq: 2 }).unwrap();
    engine.extend("h.a", Position { epoch: EPOCH + 1, seq: 0 }, &[at(1, "a", b"00000001")]).unwrap();
    let mut client = member(&engine, "h.a");
    assert_eq!((client.frame().1, client.frame().1), (b"00000001".to_vec(), b"00000008".to_vec()));
    assert!(engine.forget("h.a", "a").unwrap().0 && engine.forget("h.a", "b").unwrap().0);
    place(&engine, 0);
    assert_eq!(engine.kept().used(), 0);
}

#[test]
fn what_will_not_come_is_told_and_cannot_be_had() {
    let engine = start(1);
    with_history(&engine, 10);
    engine.skip("h.a", 5, "backplane").unwrap();
    assert_eq!(engine.rooms(), 0);
    place(&engine, 20);
    let (mut client, mut raw) = (session(&engine), member(&engine, "h.a"));
    join(&engine, client.conn, "h.a").unwrap();
    assert!(deliver(&engine, 22));
    engine.skip("h.a", 0, "backplane").unwrap();
    engine.skip("h.a", 3, "backplane").unwrap();
    assert_eq!((floor(&engine), engine.kept().used()), (25, 0));
    assert!(!deliver(&engine, 25) && deliver(&engine, 27));
    assert_eq!(client.envelope()["seq"], 22);
    let event = client.envelope();
    assert_eq!((&event["type"], &event["seq"], &event["room"]), (&"skipped".into(), &25.into(), &"h.a".into()));
    assert_eq!(event["payload"], serde_json::json!({"reason": "backplane", "count": 3, "first": 23, "last": 25}));
    let after = client.envelope();
    assert_eq!((&after["seq"], &after["prev"]), (&27.into(), &25.into()));
    assert_eq!((raw.number(), raw.number()), (22, 27));
    assert_eq!((since(&engine, 24), since(&engine, 25)), (Err(Unrecovered::History), Ok(vec![(27, Some(25))])));
}

#[test]
fn two_that_deliver_the_same_deliver_it_once_and_in_order() {
    let engine = start(2);
    with_history(&engine, 100_000);
    place(&engine, 0);
    let mut client = session(&engine);
    join(&engine, client.conn, "h.a").unwrap();
    const COUNT: u64 = 2_000;
    let new = thread::scope(|scope| {
        let deliver_all = || (1..=COUNT).filter(|number| deliver(&engine, 3 * number)).count();
        let threads = [scope.spawn(deliver_all), scope.spawn(deliver_all)];
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    let mut last = 0;
    for _ in 0..COUNT {
        let envelope = client.envelope();
        assert_eq!(envelope["prev"], last);
        last = envelope["seq"].as_u64().unwrap();
    }
    assert_eq!((last, new as u64, engine.published().0), (3 * COUNT, COUNT, COUNT));
    assert_eq!(since(&engine, 0).unwrap().len(), new);
}
