//! What is refused, and that a refusal changes nothing.

use super::*;

#[test]
fn a_publish_to_a_full_queue_is_refused_and_takes_no_number() {
    let bytes = 10 * (8 + OVERHEAD);
    for (queue_items, queue_bytes, full) in
        [(10, usize::MAX, (10, "queue_items")), (usize::MAX, bytes, (bytes, "queue_bytes"))]
    {
        let engine = Engine::start(EngineSettings { queue_items, queue_bytes, ..settings(1) }).unwrap();
        let mut client = member(&engine, "room");
        let barrier = stall(&engine, 0);
        for seq in 1..=10u64 {
            assert_eq!(engine.publish("room", draft(&seq.to_be_bytes()), &[]).unwrap(), seq);
        }
        let overloaded =
            |result| matches!(result, Err(Error::Overloaded { limit, field, .. }) if (limit, field) == full);
        for _ in 0..3 {
            assert!(overloaded(engine.publish("room", draft(&[0; 8]), &[])));
        }
        assert!(overloaded(engine.send(client.conn, draft(&[0; 8])).map(|()| 0)));
        assert!(overloaded(engine.broadcast(draft(&[0; 8]), &[]).map(|()| 0)));
        assert!(overloaded(join(&engine, client.conn, "other")));
        assert_eq!((engine.published(), engine.members("other")), ((10, 6), 0));
        // The room has no members, so the full queue does not matter.
        assert_eq!(engine.publish("empty", draft(b""), &[]).unwrap(), 1);
        // What must not be lost is accepted even so.
        engine.send_raw(client.conn, b"").unwrap();
        engine.hold(client.conn, false).unwrap();

        barrier.wait();
        for seq in 1..=10 {
            assert_eq!(client.number(), seq);
        }
        assert_eq!(engine.publish("room", draft(&11u64.to_be_bytes()), &[]).unwrap(), 11);
        assert_eq!(client.number(), 11);
    }
}

#[test]
fn rooms_are_limited_and_those_without_members_make_way() {
    let engine = Engine::start(EngineSettings { max_rooms: 1, ..settings(1) }).unwrap();
    engine
        .add_rule("values", RoomSettings { delivery: Delivery::Latest, max_keys: 1, ..RoomSettings::default() })
        .unwrap();
    let client = member(&engine, "held");
    let publish = |name| engine.publish(name, draft(b"x"), &[]);
    for _ in 0..100 {
        assert!(matches!(publish("other"), Err(Error::Overloaded { limit: 1, field: "max_rooms", .. })));
    }
    assert!(matches!(join(&engine, client.conn, "other"), Err(Error::Overloaded { .. })));
    assert_eq!((engine.members("other"), engine.rooms()), (0, 1));
    publish("held").unwrap();

    // One call looks through only a part of the table.
    engine.leave(client.conn, "held").unwrap();
    wait_until("a room without members has made way", || publish("values").is_ok());
    for _ in 0..100 {
        assert!(publish("other").is_err(), "a room that holds values does not make way");
    }
    assert!(engine.forget("values", "").unwrap().0);
    wait_until("a room without values has made way", || publish("other").is_ok());
    assert_eq!(engine.rooms(), 1);
}

#[test]
fn keys_are_limited_and_a_refused_one_takes_no_number() {
    let engine = start(1);
    engine.add_rule("q", RoomSettings { delivery: Delivery::Latest, max_keys: 2, ..RoomSettings::default() }).unwrap();
    let publish = |key| engine.publish("q", Draft { key, ..draft(b"x") }, &[]);
    assert_eq!((publish(Some("a")).unwrap(), publish(None).unwrap()), (1, 2));
    assert!(matches!(publish(Some("b")), Err(Error::Overloaded { limit: 2, field: "max_keys", .. })));
    assert!(engine.forget("q", "a").unwrap().0);
    // The forgetting has a number of its own.
    assert_eq!(publish(Some("b")).unwrap(), 4);
}

#[test]
fn what_can_never_be_accepted_is_invalid() {
    let engine = start(1);
    let conn = member(&engine, "room").conn;
    let invalid = |result| matches!(result, Err(Error::Invalid(_)));
    let huge = vec![0; 64 << 20];
    assert!(invalid(engine.publish("room", draft(&huge), &[]).map(drop)));
    assert!(invalid(engine.send(conn, draft(&huge))));
    assert!(invalid(engine.broadcast(draft(&huge), &[])));
    assert!(invalid(engine.publish("room", Draft { key: Some("k"), ..draft(b"") }, &[]).map(drop)));
    assert!(invalid(engine.publish("", draft(b""), &[]).map(drop)));
    assert!(invalid(join(&engine, conn, &"x".repeat(256)).map(drop)));
    assert!(invalid(engine.close(conn, Some(1005), "", true)));
    assert!(invalid(Engine::start(settings(0)).map(drop)));
    assert!(invalid(Engine::start(settings(MAX_SHARDS)).map(drop)));
    assert_eq!(engine.publish("room", draft(b""), &[]).unwrap(), 1, "none of them took a number");
}

#[test]
fn stale_ids_are_no_ops() {
    let engine = start(2);
    let old = member(&engine, "room");
    engine.gone(old.conn).unwrap();
    wait_event(&engine, |event| matches!(event, Event::Ended { .. }).then_some(()));
    wait_until("it has ended", || engine.members("room") == 0 && engine.stats().all(|s| s.connections.value() == 0));
    wait_until("its place is free", || engine.shards.iter().all(|shard| lock(&shard.ids).is_empty()));
    let mut new: Vec<_> = (0..2).map(|_| connect(&engine)).collect();
    for conn in [old.conn, ConnId::from_u64(0), ConnId::from_u64(u64::MAX)] {
        join(&engine, conn, "room").unwrap();
        engine.leave(conn, "room").unwrap();
        engine.send_raw(conn, b"raw").unwrap();
        engine.send(conn, draft(b"message")).unwrap();
        engine.hold(conn, false).unwrap();
        engine.close(conn, None, "", false).unwrap();
        engine.gone(conn).unwrap();
    }
    engine.broadcast(draft(&7u64.to_be_bytes()), &[]).unwrap();
    for client in &mut new {
        assert_eq!(client.number(), 7, "the first and only thing it hears");
    }
    wait_until("no join has stuck", || engine.members("room") == 0);
    assert_eq!(engine.events(1000, 0), []);
}
