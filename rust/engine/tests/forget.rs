//! Forgetting keys: which clients are told, in which order, and what does not come back.

use super::*;

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

fn with_rooms() -> Engine {
    let engine = start(1);
    engine.add_rule("v", LATEST).unwrap();
    engine.add_rule("h", RoomSettings { history: 10, ..LATEST }).unwrap();
    engine
}

fn publish(engine: &Engine, room: &str, key: &'static str, payload: &[u8]) -> u64 {
    engine.publish(room, Draft { key: Some(key), ..draft(payload) }, &[]).unwrap()
}

/// The type, number and key of the next messages of a session.
fn told(client: &mut Client, count: usize) -> Vec<(String, u64, Option<String>)> {
    (0..count)
        .map(|_| {
            let envelope = client.envelope();
            assert_eq!(envelope.get("payload").is_some(), envelope["type"] != "forgotten");
            let text = |name| envelope.get(name).and_then(serde_json::Value::as_str).map(String::from);
            (text("type").unwrap(), envelope["seq"].as_u64().unwrap(), text("key"))
        })
        .collect()
}

fn of(kind: &str, seq: u64, key: &str) -> (String, u64, Option<String>) {
    (kind.into(), seq, Some(key.into()))
}

#[test]
fn sessions_are_told_in_the_order_of_the_values_and_joiners_do_not_get_it() {
    let engine = with_rooms();
    let (mut client, mut raw) = (session(&engine), member(&engine, "v"));
    join(&engine, client.conn, "v").unwrap();
    publish(&engine, "v", "k", b"1");
    assert_eq!(told(&mut client, 1), [of("message", 1, "k")]);
    assert!(engine.forget("v", "k").unwrap().0);
    assert!(!engine.forget("v", "k").unwrap().0, "it is gone");
    assert_eq!(told(&mut client, 1), [of("forgotten", 2, "k")]);
    assert_eq!((engine.snapshot("v").len(), engine.kept().used()), (0, 0));
    assert_eq!(publish(&engine, "v", "k", b"2"), 3);
    assert_eq!(told(&mut client, 1), [of("message", 3, "k")]);
    assert_eq!((raw.frame().1, raw.frame().1), (b"1".to_vec(), b"2".to_vec()));
}

#[test]
fn a_waiting_value_gives_its_place_to_the_forgetting() {
    let engine = with_rooms();
    let mut client = session(&engine);
    join(&engine, client.conn, "v").unwrap();
    let barrier = stall(&engine, 0);
    publish(&engine, "v", "a", b"1");
    publish(&engine, "v", "b", b"1");
    engine.forget("v", "a").unwrap();
    barrier.wait();
    assert_eq!(told(&mut client, 2), [of("forgotten", 3, "a"), of("message", 2, "b")]);
    assert_eq!(client.envelope()["payload"]["reason"], "replaced");
}

#[test]
fn what_comes_back_is_told_from_the_history() {
    let engine = with_rooms();
    publish(&engine, "h", "k", b"1");
    let from = engine.position("h").unwrap();
    publish(&engine, "h", "k", b"2");
    engine.forget("h", "k").unwrap();
    let since = |encoding: Client| {
        let entrance = JoinOptions { since: Some(from), ..JoinOptions::default() };
        engine.join(encoding.conn, "h", entrance, None).unwrap();
        encoding
    };
    let mut client = since(session(&engine));
    // The forgetting has replaced the waiting value, and the client is told that a value was skipped.
    assert_eq!(told(&mut client, 1), [of("forgotten", 3, "k")]);
    let mut raw = since(connect(&engine));
    publish(&engine, "h", "k", b"3");
    assert_eq!((raw.frame().1, raw.frame().1), (b"2".to_vec(), b"3".to_vec()), "no envelope for who speaks none");
}

#[test]
fn what_another_node_has_forgotten_is_not_newer_than_what_was_published_since() {
    let engine = with_rooms();
    publish(&engine, "v", "k", b"1");
    let (_, early) = engine.forget("v", "other").unwrap();
    thread::sleep(Duration::from_millis(2));
    publish(&engine, "v", "other", b"1");
    // The value was published later than the order to forget it.
    assert!(!engine.forget_older("v", "other", early, true).unwrap());
    assert!(!engine.forget_quietly("v", "other", early, 9, &mut Vec::new()).unwrap());
    assert_eq!(engine.snapshot("v").len(), 2);
    let (_, late) = engine.forget("v", "third").unwrap();
    assert!(engine.forget_older("v", "other", late, true).unwrap());
    assert!(engine.forget_quietly("v", "k", late, 9, &mut Vec::new()).unwrap());
    assert!(engine.snapshot("v").is_empty());
    // The same again after a new value was published.
    publish(&engine, "v", "k", b"2");
    assert!(!engine.forget_older("v", "k", late, true).unwrap());
}

#[test]
fn a_value_that_is_older_than_its_forgetting_is_not_copied_from_another_node() {
    let (here, there) = (with_rooms(), with_rooms());
    publish(&there, "v", "k", b"1");
    let values = there.values("v").unwrap();
    thread::sleep(Duration::from_millis(2));
    // No client has it here, and the answer of the other node is still on its way.
    let (_, ts_us) = there.forget("v", "k").unwrap();
    here.forget_quietly("v", "k", ts_us, 9, &mut Vec::new()).unwrap();
    let copy = |values: &[Vec<u8>]| {
        let values: Vec<_> = values.iter().map(Vec::as_slice).collect();
        here.take_values("v", u64::MAX, &values).unwrap()
    };
    assert_eq!(copy(&values), 0);
    publish(&there, "v", "k", b"2");
    assert_eq!(copy(&there.values("v").unwrap()), 1);
}

#[test]
fn a_log_that_is_read_back_does_not_bring_back_what_was_forgotten() {
    let engine = with_rooms();
    let at = |seq, draft| (Stamp::new(seq, engine.now_ms()), draft);
    let value = |key| Draft { key: Some(key), ..draft(b"1") };
    // The node did not follow the log for a while.
    engine.place("h", Position { epoch: 7, seq: 0 }).unwrap();
    engine.deliver("h", at(1, value("a")).0, value("a"), &[]).unwrap();
    engine.place("h", Position { epoch: 7, seq: 9 }).unwrap();
    let log = [at(1, value("a")), at(2, value("b")), at(3, forgetting("a")), at(4, forgetting("b")), at(5, value("b"))];
    // In two parts, the newer one first.
    engine.extend("h", Position { epoch: 7, seq: 2 }, &log[2..]).unwrap();
    engine.extend("h", Position { epoch: 7, seq: 0 }, &log[..2]).unwrap();
    let newest: Vec<_> = engine.snapshot("h").iter().map(|message| message.seq()).collect();
    assert_eq!(newest, [5]);
    let mut client = session(&engine);
    let since = Some(Position { epoch: 7, seq: 0 });
    engine.join(client.conn, "h", JoinOptions { since, ..JoinOptions::default() }, None).unwrap();
    let got = told(&mut client, 4);
    assert_eq!(got.iter().filter(|(kind, ..)| kind == "forgotten").count(), 2, "{got:?}");
}

#[test]
fn a_forgetting_takes_its_number_in_a_log_though_there_is_no_value() {
    let engine = with_rooms();
    let mut client = session(&engine);
    engine.place("h", Position { epoch: 7, seq: 4 }).unwrap();
    join(&engine, client.conn, "h").unwrap();
    let stamp = Stamp::new(6, 5);
    assert!(engine.deliver("h", stamp, forgetting("k"), &[]).unwrap());
    assert!(!engine.deliver("h", stamp, forgetting("k"), &[]).unwrap());
    assert_eq!(told(&mut client, 1), [of("forgotten", 6, "k")]);
    // A room that is numbered by a log takes no number from an order.
    engine.deliver("h", Stamp::new(7, 5), Draft { key: Some("k"), ..draft(b"1") }, &[]).unwrap();
    assert_eq!(told(&mut client, 1), [of("message", 7, "k")]);
    assert!(engine.forget_older("h", "k", 6_000_000, false).unwrap());
    assert_eq!(told(&mut client, 1), [of("forgotten", 7, "k")]);
}
