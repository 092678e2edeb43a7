//! Rooms with a history: joining from a position, snapshots, events, and many joins during publishing.

use super::*;

const REPLY: JoinReply<'_> = JoinReply { re: Some("c1"), extra: "", is_state: false };

#[test]
fn a_join_with_a_position_gets_what_came_after_it_and_then_the_stream() {
    let engine = start(2);
    with_history(&engine, 3);
    for number in 0..5 {
        engine.publish("h.a", draft(&[number]), &[]).unwrap();
    }
    let position = engine.position("h.a").unwrap();
    assert_eq!(position.seq, 5);
    let at = |seq| Some(Position { seq, ..position });
    for (since, expected, seqs) in [
        (at(5), Ok(()), vec![]),
        (at(2), Ok(()), vec![3, 4, 5]),
        (at(1), Err(Unrecovered::History), vec![]),
        (at(6), Err(Unrecovered::Position), vec![]),
        (Some(Position { epoch: 1, seq: 5 }), Err(Unrecovered::Epoch), vec![]),
        (None, Err(Unrecovered::History), vec![]),
    ] {
        let mut client = session(&engine);
        let joined =
            engine.join(client.conn, "h.a", JoinOptions { since, ..JoinOptions::default() }, Some(REPLY)).unwrap();
        assert_eq!(joined.recovered, expected);
        let reply = client.envelope();
        assert_eq!((&reply["type"], &reply["re"], &reply["seq"]), (&"joined".into(), &"c1".into(), &5.into()));
        assert_eq!(reply["payload"]["epoch"], format!("{:x}", position.epoch));
        assert_eq!(reply["payload"]["recovered"], expected.is_ok());
        assert_eq!(reply["payload"].get("reason").is_some(), expected.is_err() && since.is_some());
        for seq in seqs {
            assert_eq!(client.envelope()["seq"], seq);
        }
    }
}

#[test]
fn a_join_from_a_state_needs_what_came_after_it() {
    let engine = start(1);
    with_history(&engine, 2);
    for number in 0..5 {
        engine.publish("h.a", draft(&[number]), &[]).unwrap();
    }
    let Position { epoch, .. } = engine.position("h.a").unwrap();
    let mut client = session(&engine);
    let reply = JoinReply { extra: r#","snapshot":[1]"#, is_state: true, ..REPLY };
    let at = |seq| JoinOptions { since: Some(Position { epoch, seq }), only_whole: true, ..JoinOptions::default() };
    let joined = engine.join(client.conn, "h.a", at(2), Some(reply)).unwrap();
    assert_eq!((joined.recovered, engine.members("h.a")), (Err(Unrecovered::History), 0));
    engine.join(client.conn, "h.a", at(3), Some(reply)).unwrap();
    let reply = client.envelope();
    assert_eq!((&reply["seq"], &reply["payload"]["recovered"]), (&3.into(), &false.into()));
    assert_eq!(reply["payload"]["snapshot"], serde_json::json!([1]));
    assert_eq!((client.envelope()["seq"].clone(), client.envelope()["seq"].clone()), (4.into(), 5.into()));
}

#[test]
fn a_full_room_takes_nobody_but_those_who_are_in_it() {
    let engine = start(2);
    engine.add_rule("small", RoomSettings { max_members: 2, ..RoomSettings::default() }).unwrap();
    let clients: Vec<_> = (0..3).map(|_| connect(&engine)).collect();
    join(&engine, clients[0].conn, "small").unwrap();
    join(&engine, clients[1].conn, "small").unwrap();
    assert!(matches!(join(&engine, clients[2].conn, "small"), Err(Error::Full { limit: 2, .. })));
    engine.join(clients[1].conn, "small", JoinOptions { again: true, ..JoinOptions::default() }, None).unwrap();
    engine.leave(clients[0].conn, "small").unwrap();
    wait_until("there is room", || join(&engine, clients[2].conn, "small").is_ok());
}

#[test]
fn an_event_reaches_sessions_and_takes_no_number() {
    let engine = start(1);
    let mut client = session(&engine);
    join(&engine, client.conn, "r").unwrap();
    let mut raw = member(&engine, "r");
    engine.notify("r", "member_joined", r#"{"id":"7"}"#, &[]).unwrap();
    engine.publish("r", draft(&1u64.to_be_bytes()), &[]).unwrap();
    let event = client.envelope();
    assert_eq!((&event["type"], &event["payload"]["id"]), (&"member_joined".into(), &"7".into()));
    assert_eq!(client.envelope()["seq"], 1);
    assert_eq!(raw.number(), 1);
}

#[test]
fn joiners_with_a_position_miss_nothing_while_two_threads_publish() {
    let engine = Arc::new(start(2));
    with_history(&engine, 100_000);
    for _ in 0..3 {
        engine.publish("h.a", draft(b"0"), &[]).unwrap();
    }
    let Position { epoch, .. } = engine.position("h.a").unwrap();
    const EACH: u64 = 5_000;
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..EACH).for_each(|_| assert!(engine.publish("h.a", draft(b"x"), &[]).is_ok())));
        }
        for reader in 0..20 {
            let engine = &engine;
            scope.spawn(move || {
                let mut client = session(engine);
                let from = reader % 3;
                let since = Some(Position { epoch, seq: from });
                engine.join(client.conn, "h.a", JoinOptions { since, ..JoinOptions::default() }, Some(REPLY)).unwrap();
                assert_eq!(client.envelope()["payload"]["recovered"], true);
                for expected in from + 1..=2 * EACH + 3 {
                    assert_eq!(client.envelope()["seq"], expected);
                }
            });
        }
    });
}

#[test]
fn a_session_resumes_over_another_socket() {
    let engine = start(2);
    let mut first = session(&engine);
    join(&engine, first.conn, "r").unwrap();
    for _ in 0..3 {
        engine.publish("r", draft(b"x"), &[]).unwrap();
    }
    assert_eq!(first.envelope()["seq"], 1);
    engine.cut(first.conn, first.conn).unwrap();
    engine.publish("r", draft(b"x"), &[]).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(DEADLINE)).unwrap();
    let (hello, refused) = ([&b""[..], br#"{"type":"welcome"}"#], Default::default());
    let close = CloseReason::new(4503, "").unwrap();
    let link = engine.resume(first.conn, ours.into(), Form::JSON, [1, 0], hello, refused, close, source()).unwrap();
    let mut second = Client { conn: link, stream: std::io::BufReader::new(theirs) };
    assert_eq!(second.envelope()["type"], "welcome");
    for seq in 2..=4 {
        assert_eq!(second.envelope()["seq"], seq);
    }
    wait_event(&engine, |event| (event == Event::Resumed { conn: first.conn, link }).then_some(()));
}

#[test]
fn the_application_reads_what_is_kept_and_which_rooms_there_are() {
    let engine = start(2);
    with_history(&engine, 2);
    assert_eq!(engine.history("h.a", None, None, 9).unwrap().0, 0);
    assert_eq!(engine.room_sizes().unwrap(), []);
    for number in 0..3 {
        engine.publish("h.a", draft(&[number]), &[]).unwrap();
    }
    let client = session(&engine);
    engine.join(client.conn, "other", JoinOptions::default(), None).unwrap();
    let (epoch, messages) = engine.history("h.a", None, None, 9).unwrap();
    assert_eq!(epoch, engine.position("h.a").unwrap().epoch);
    assert_eq!(messages.iter().map(|message| message.payload()).collect::<Vec<_>>(), [&[1], &[2]]);
    let mut rooms = engine.room_sizes().unwrap();
    rooms.sort();
    assert_eq!(rooms, [("h.a".into(), 0), ("other".into(), 1)]);
}

#[test]
fn a_join_begins_with_the_last_messages_in_one_step_with_the_stream() {
    let engine = start(1);
    let client = session(&engine);
    with_history(&engine, 5);
    for number in 1..=8u8 {
        engine.publish("h.a", draft(&[number]), &[]).unwrap();
    }
    for (last, first) in [(2, 6), (5, 3), (100, 3)] {
        let options = JoinOptions { last: Some(last), again: true, ..JoinOptions::default() };
        let joined = engine.join(client.conn, "h.a", options, None).unwrap();
        assert_eq!(joined.kept, Some((first, (8 - first) as usize)));
        assert!(joined.recovered.is_ok());
    }
    let position = |seq| Position { epoch: engine.position("h.a").unwrap().epoch, seq };
    assert_eq!(engine.bytes_since("h.a", position(8)).unwrap(), Ok(0));
    assert!(engine.bytes_since("h.a", position(6)).unwrap().unwrap() > 0);
    assert_eq!(engine.bytes_since("h.a", position(1)).unwrap(), Err(Unrecovered::History));
}

#[test]
fn a_new_room_that_matches_keeps_its_first_messages_until_it_is_settled() {
    let engine = start(1);
    engine.publish("w.before", draft(b"x"), &[]).unwrap();
    engine.watch_rooms("w.*").unwrap();
    assert_eq!(engine.matching_rooms("w.*", 0).unwrap(), (vec!["w.before".into()], None));
    for number in 0..2000u16 {
        engine.publish("w.new", draft(&number.to_be_bytes()), &[]).unwrap();
        engine.publish("other", draft(&number.to_be_bytes()), &[]).unwrap();
    }
    let names: Vec<_> = engine
        .events(1, 0)
        .into_iter()
        .filter_map(|event| match event {
            Event::Room { name } => Some(name),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["w.new".into()]);
    assert_eq!(engine.history("w.new", None, None, 9999).unwrap().1.len(), 1024);
    assert!(engine.history("other", None, None, 9999).unwrap().1.is_empty());
    assert_eq!(
        ["w.before", "w.new", "other", "w.none"].map(|name| engine.is_new_room(name)),
        [false, true, false, false]
    );
    engine.settle_room("w.new");
    assert!(!engine.is_new_room("w.new"));
    assert!(engine.history("w.new", None, None, 9999).unwrap().1.is_empty());
    let Position { epoch, seq } = engine.position("w.new").unwrap();
    assert_eq!(engine.bytes_since("w.new", Position { epoch, seq }).unwrap(), Ok(0));
    engine.unwatch_rooms("w.*");
    engine.publish("w.later", draft(b"x"), &[]).unwrap();
    assert!(engine.history("w.later", None, None, 9).unwrap().1.is_empty());
}

#[test]
fn many_names_are_looked_at_in_several_calls() {
    let engine = start(1);
    for number in 0..5000 {
        engine.position(&format!("{}.{number}", if number % 2 == 0 { "a" } else { "b" })).unwrap();
    }
    let (mut found, mut part, mut calls) = (Vec::new(), Some(0), 0);
    while let Some(from) = part {
        let (names, next) = engine.matching_rooms("a.*", from).unwrap();
        assert!(names.len() < 2000 && next.is_none_or(|next| next > from));
        found.extend(names);
        (part, calls) = (next, calls + 1);
    }
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), 2500);
    assert!(calls > 2, "{calls}");
    assert_eq!(engine.matching_rooms("a.*", usize::MAX).unwrap(), (Vec::new(), None));
}

#[test]
fn a_room_is_new_also_if_its_rule_keeps_as_much_as_a_new_room() {
    let engine = start(1);
    with_history(&engine, 5000);
    engine.watch_rooms("h.*").unwrap();
    for number in 0..2000u16 {
        engine.publish("h.a", draft(&number.to_be_bytes()), &[]).unwrap();
    }
    assert!(engine.is_new_room("h.a"));
    engine.settle_room("h.a");
    assert!(!engine.is_new_room("h.a"));
    assert_eq!(engine.history("h.a", None, None, 9999).unwrap().1.len(), 2000);
}
