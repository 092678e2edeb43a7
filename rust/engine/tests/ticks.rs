//! Rooms with a tick: what leaves at an edge, in which order, with which numbers. Without the thread that waits for edges,
//! except in the tests that are about it.

use super::*;

const TICK: RoomSettings = RoomSettings { tick: 10, max_keys: 4, ..LATEST };

const LATEST: RoomSettings = RoomSettings {
    delivery: Delivery::Latest,
    max_keys: 100,
    max_members: usize::MAX,
    history: 0,
    history_bytes: usize::MAX,
    history_age_us: u64::MAX,
    compress: false,
    priority: crate::message::Priority::Normal,
    tick: 0,
    interest: false,
    delta: false,
    rule: crate::stats::rules::RuleId::OTHERS,
};

fn with_tick(settings: RoomSettings) -> Engine {
    let engine = start(1);
    engine.add_rule("t*", settings).unwrap();
    engine
}

fn value<'a>(key: &'a str, payload: &'a [u8]) -> Draft<'a> {
    Draft { key: Some(key), ..draft(payload) }
}

fn texts(client: &mut Client, count: usize) -> Vec<String> {
    (0..count).map(|_| String::from_utf8(client.frame().1).unwrap()).collect()
}

fn numbered(engine: &Engine) -> Vec<(u64, u64)> {
    wait_event(engine, |event| match event {
        Event::Numbered { numbers } => Some(numbers),
        _ => None,
    })
}

#[test]
fn the_newest_value_of_each_key_leaves_with_one_number() {
    let engine = with_tick(TICK);
    let mut client = member(&engine, "t");
    for (key, payload) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("b", "b2"), ("a", "a3")] {
        assert_eq!(engine.publish("t", value(key, payload.as_bytes()), &[]).unwrap(), 0);
    }
    assert_eq!((engine.position("t").unwrap().seq, engine.snapshot("t").len(), engine.published().0), (0, 0, 5));
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 2);
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 0);
    assert_eq!(texts(&mut client, 2), ["a3", "b2"]);
    // Replaced values leave no hole in the numbers.
    assert_eq!((engine.position("t").unwrap().seq, engine.snapshot("t").len()), (2, 2));
    engine.publish("t", value("a", b"a4"), &[]).unwrap();
    engine.flush_tick(10, &[], &[]).unwrap();
    assert_eq!((texts(&mut client, 1), engine.position("t").unwrap().seq), (vec!["a4".into()], 3));
}

#[test]
fn messages_without_a_key_all_leave_in_their_order() {
    let engine = with_tick(RoomSettings { delivery: Delivery::Reliable, max_keys: 1000, ..TICK });
    let mut clients = [member(&engine, "t"), member(&engine, "t")];
    for number in 0..100u64 {
        let except = if number == 50 { vec![clients[0].conn] } else { vec![] };
        engine.publish("t", draft(&number.to_be_bytes()), &except).unwrap();
    }
    // A room of another rate does not leave.
    engine.add_rule("u", RoomSettings { tick: 20, ..TICK }).unwrap();
    engine.publish("u", draft(b"x"), &[]).unwrap();
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 100);
    let [first, second] = &mut clients;
    assert!((0..100).filter(|&number| number != 50).all(|number| first.number() == number));
    assert!((0..100).all(|number| second.number() == number));
    assert_eq!((engine.flush_tick(20, &[], &[]).unwrap(), engine.snapshot("u").len()), (1, 1));
}

#[test]
fn tickets_tell_the_numbers_and_a_replaced_value_has_that_of_the_newer_one() {
    let engine = with_tick(TICK);
    let publish = |key, ticket| engine.publish_for("t", value(key, b"x"), &[], ticket).unwrap();
    assert_eq!([publish("a", 7), publish("b", 8), publish("a", 9), publish("c", 0)], [0; 4]);
    engine.flush_tick(10, &[], &[]).unwrap();
    assert_eq!(numbered(&engine), [(7, 1), (9, 1), (8, 2)]);
    publish("a", 10);
    assert!(engine.forget("t", "a").unwrap().0);
    assert_eq!(numbered(&engine), [(10, 4)]);
    // A room without a tick numbers at once, and tells nothing.
    assert_eq!(engine.publish_for("plain", draft(b"x"), &[], 11).unwrap(), 1);
}

#[test]
fn forgetting_goes_before_what_waits_and_takes_the_waiting_value_with_it() {
    let engine = with_tick(TICK);
    let mut client = session(&engine);
    join(&engine, client.conn, "t").unwrap();
    engine.publish("t", value("a", b"1"), &[]).unwrap();
    engine.flush_tick(10, &[], &[]).unwrap();
    let mut told = || {
        let envelope = client.envelope();
        (envelope["type"].clone(), envelope["seq"].as_u64())
    };
    assert_eq!(told(), ("message".into(), Some(1)));
    engine.publish("t", value("a", b"2"), &[]).unwrap();
    engine.publish("t", value("b", b"3"), &[]).unwrap();
    assert!(engine.forget("t", "a").unwrap().0);
    assert_eq!(told(), ("forgotten".into(), Some(2)));
    // A value that nobody has seen is forgotten in silence, and its key has made way.
    assert!(engine.forget("t", "b").unwrap().0);
    assert!(!engine.forget("t", "b").unwrap().0);
    engine.publish("t", value("a", b"4"), &[]).unwrap();
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 1);
    assert_eq!((told(), engine.snapshot("t").len()), (("message".into(), Some(3)), 1));
    // Another node forgets what was published before only.
    engine.publish("t", value("a", b"5"), &[]).unwrap();
    assert!(engine.forget_older("t", "a", 1, true).is_ok_and(|was_there| !was_there));
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 1);
    engine.publish("t", value("c", b"6"), &[]).unwrap();
    assert!(engine.forget_older("t", "c", u64::MAX / 2, true).unwrap());
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 0);
}

#[test]
fn what_waits_is_bounded() {
    let engine = Engine::start(EngineSettings { queue_bytes: 2000, ..settings(1) }).unwrap();
    engine.add_rule("t*", TICK).unwrap();
    engine.add_rule("r", RoomSettings { delivery: Delivery::Reliable, ..TICK }).unwrap();
    let full = |result| matches!(result, Err(Error::Overloaded { field, .. }) if field == "max_keys");
    for key in ["a", "b", "c", "d"] {
        engine.publish("t", value(key, b""), &[]).unwrap();
        engine.publish("r", draft(b""), &[]).unwrap();
    }
    // A value that replaces another takes no more place.
    engine.publish("t", value("a", b""), &[]).unwrap();
    assert!(full(engine.publish("t", value("e", b""), &[])) && full(engine.publish("r", draft(b""), &[])));
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 8);
    // The keys of a room are bounded whether or not they wait.
    assert!(full(engine.publish("t", value("e", b""), &[])));
    let large = vec![0; 1900];
    engine.publish("t", value("a", &large), &[]).unwrap();
    let refused = engine.publish("t2", value("a", b""), &[]);
    assert!(matches!(refused, Err(Error::Overloaded { field: "queue_bytes", limit: 2000, .. })));
    engine.flush_tick(10, &[], &[]).unwrap();
    engine.publish("t2", value("a", b""), &[]).unwrap();
}

#[test]
fn nothing_is_lost_while_a_shard_is_full() {
    let engine = Engine::start(EngineSettings { queue_items: 1, ..settings(1) }).unwrap();
    engine.add_rule("t", TICK).unwrap();
    let mut client = connect(&engine);
    wait_until("the client is a member", || join(&engine, client.conn, "t").is_ok());
    let barrier = stall(&engine, 0);
    engine.publish("plain", draft(b"x"), &[]).unwrap();
    engine.send(client.conn, draft(b"first")).unwrap();
    engine.publish("t", value("a", b"1"), &[]).unwrap();
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 0);
    engine.publish("t", value("a", b"2"), &[]).unwrap();
    barrier.wait();
    assert_eq!(texts(&mut client, 1), ["first"]);
    wait_until("the shard takes more", || engine.flush_tick(10, &[], &[]).unwrap() == 1);
    assert_eq!((texts(&mut client, 1), engine.position("t").unwrap().seq), (vec!["2".into()], 1));
}

#[test]
fn a_room_with_something_waiting_is_not_swept() {
    let engine = Engine::start(EngineSettings { max_rooms: 1, ..settings(1) }).unwrap();
    engine.add_rule("t", RoomSettings { delivery: Delivery::Reliable, ..TICK }).unwrap();
    engine.publish("t", draft(b"x"), &[]).unwrap();
    for _ in 0..100 {
        assert!(engine.publish("other", draft(b"x"), &[]).is_err());
    }
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 1);
    wait_until("the room has made way", || engine.publish("other", draft(b"x"), &[]).is_ok());
}

#[test]
fn envelopes_for_some_sessions_go_before_what_leaves() {
    let engine = with_tick(TICK);
    let mut client = session(&engine);
    join(&engine, client.conn, "t").unwrap();
    assert_eq!(engine.next_in_tick("t").unwrap(), 0);
    engine.publish("t", value("a", b"1"), &[]).unwrap();
    assert_eq!((engine.next_in_tick("t").unwrap(), engine.next_in_tick("other").unwrap()), (1, 0));
    engine.flush_tick(10, &[(client.conn, Codec::Json, br#"{"type":"inputs"}"#)], &[]).unwrap();
    assert_eq!(client.envelope()["type"], "inputs");
    assert_eq!((client.envelope()["seq"].clone(), engine.next_in_tick("t").unwrap()), (1.into(), 1));
}

#[test]
fn a_stopped_room_stays_at_its_edges_until_the_application_lets_it_leave() {
    let engine = with_tick(TICK);
    engine.publish("t", value("a", b"1"), &[]).unwrap();
    engine.stop_in_tick("t", true).unwrap();
    for _ in 0..2 {
        assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 0);
    }
    // What comes meanwhile waits with it, and one without a room or a tick is nothing.
    engine.publish("t", value("b", b"2"), &[]).unwrap();
    engine.stop_in_tick("nowhere", true).unwrap();
    assert_eq!((engine.next_in_tick("t").unwrap(), engine.position("t").unwrap().seq), (1, 0));
    assert_eq!(engine.flush_tick(10, &[], &["t".to_owned()]).unwrap(), 2);
    // The next stop begins anew.
    engine.publish("t", value("a", b"3"), &[]).unwrap();
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 1);
}

#[test]
fn the_history_has_what_has_left() {
    let engine = with_tick(RoomSettings { history: 10, ..TICK });
    for payload in [b"1", b"2", b"3"] {
        engine.publish("t", value("a", payload), &[]).unwrap();
    }
    assert!(engine.history("t", None, None, 10).unwrap().1.is_empty());
    engine.flush_tick(10, &[], &[]).unwrap();
    let kept = engine.history("t", None, None, 10).unwrap().1;
    assert_eq!(kept.iter().map(|message| (message.seq(), message.payload())).collect::<Vec<_>>(), [(1, &b"3"[..])]);
}

#[test]
fn the_thread_lets_rooms_leave_at_each_edge_and_tells_a_loop_of_the_host() {
    let engine = Arc::new(with_tick(RoomSettings { tick: 1000, ..TICK }));
    engine.begin_ticks().unwrap();
    engine.begin_ticks().unwrap();
    let mut client = member(&engine, "t");
    for number in 1..=20u64 {
        engine.publish("t", value("a", &number.to_be_bytes()), &[]).unwrap();
        assert_eq!(client.number(), number);
    }
    engine.lead_tick(500, true).unwrap();
    let edge = |engine: &Engine| {
        wait_event(engine, |event| match event {
            Event::Tick { hz: 500, number } => Some(number),
            _ => None,
        })
    };
    let first = edge(&engine);
    engine.flush_tick(500, &[], &[]).unwrap();
    assert!(edge(&engine) > first);
    let mut counts = Vec::new();
    engine.tick_stats(|hz, stats| counts.push((hz, stats.messages, stats.edges >= 2)));
    assert_eq!(counts, [(1000, 20, true), (500, 0, true)]);
    assert!(engine.shutdown(DEADLINE), "the thread ends");
}

#[test]
fn what_waits_for_a_tick_is_for_whom_it_was_published() {
    let engine = with_tick(RoomSettings { interest: true, ..TICK });
    let [mut red, mut blue] = [member(&engine, "t"), member(&engine, "t")];
    for (client, team) in [(&red, "red"), (&blue, "blue")] {
        let change = crate::interest::values(format!(r#"{{"team":"{team}"}}"#).as_bytes()).unwrap();
        engine.change_attributes(client.conn, "t", change).unwrap();
    }
    let audience = crate::interest::Audience::parse(br#"{"where":{"team":"red"}}"#).unwrap();
    engine.publish("t", Draft { audience: Some(&audience), ..value("a", b"for red") }, &[]).unwrap();
    engine.publish("t", value("b", b"for all"), &[]).unwrap();
    assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 2);
    assert_eq!(
        (texts(&mut red, 2), texts(&mut blue, 1)),
        (["for red", "for all"].map(String::from).into(), vec!["for all".to_owned()])
    );
}

#[test]
fn a_tick_hands_out_deltas_to_what_has_left_before() {
    let engine = with_tick(RoomSettings { delta: true, ..TICK });
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(DEADLINE)).unwrap();
    let form = Form { has_deltas: true, ..Form::JSON };
    let conn = engine.open(ours.into(), form, true, [b""; 2], source()).unwrap();
    let mut client = Client { conn, stream: std::io::BufReader::new(theirs) };
    join(&engine, conn, "t").unwrap();
    let still = "x".repeat(80);
    for (tick, numbers) in [(1, [1, 2]), (2, [3, 4]), (3, [5, 6])] {
        for n in numbers {
            let payload = format!(r#"{{"still":"{still}","n":{n}}}"#);
            let draft = Draft { kind: Kind::Json, ..value("a", payload.as_bytes()) };
            engine.publish("t", draft, &[]).unwrap();
        }
        assert_eq!(engine.flush_tick(10, &[], &[]).unwrap(), 1);
        let envelope = client.envelope();
        assert_eq!((envelope["seq"].as_u64(), envelope["payload"]["n"].as_u64()), (Some(tick), Some(numbers[1])));
        assert_eq!(envelope.get("base").and_then(|base| base.as_u64()), (tick > 1).then(|| tick - 1));
    }
}
