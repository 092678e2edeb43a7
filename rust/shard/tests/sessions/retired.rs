//! Links that a session has left for the next.

use super::*;

/// The code of the last close frame that a link has taken.
fn close_code(link: &Fake) -> Option<u16> {
    let (opcode, payload) = link.frames().pop()?;
    (opcode == 8).then(|| u16::from_be_bytes([payload[0], payload[1]]))
}

#[test]
fn a_link_that_is_taken_over_finishes_its_frame_and_then_says_why() {
    let size = {
        let mut harness = Harness::new();
        let (_, link) = harness.session(UNLIMITED);
        harness.publish(1, 1);
        harness.turn();
        link.0.borrow().taken.len()
    };
    for cut in 0..size {
        let mut harness = Harness::new();
        let (conn, first) = harness.session(size + cut);
        harness.publish(1, 1);
        harness.publish(1, 2);
        harness.turn();
        let (link, second) = harness.resume(conn, 1, UNLIMITED);
        assert_eq!(harness.events(), [Event::Resumed { conn, link }]);
        assert_eq!((greeting(&second), numbers(&second)), (b"yes".to_vec(), vec![2]));
        // The old link takes more only now. It is written to by its new id.
        first.give(UNLIMITED);
        let all: Vec<_> = harness.shard.slots.iter_mut(SHARD).map(|(conn, _)| conn).collect();
        all.into_iter().for_each(|conn| harness.shard.writable(conn));
        harness.turn();
        let expected = if cut > 0 { vec![1, 2] } else { vec![1] };
        assert_eq!((numbers(&first), close_code(&first)), (expected, Some(4503)), "cut at {cut}");
        assert_eq!(first.calls().last(), Some(&"finish"));
        assert_eq!((harness.events(), numbers(&second)), (vec![], vec![2]));
        harness.apply(Command::Gone { conn });
        harness.assert_empty();
    }
}

#[test]
fn a_retired_link_that_takes_nothing_is_cut_off_in_time_and_only_its_end_is_told() {
    let mut harness = Harness::new();
    let (conn, first) = harness.session(0);
    harness.publish(1, 1);
    harness.turn();
    let (link, second) = harness.resume(conn, 0, UNLIMITED);
    assert_eq!((harness.events(), numbers(&second)), (vec![Event::Resumed { conn, link }], vec![1]));
    harness.now_us += 5 * SECOND - 1;
    harness.turn();
    assert!(!first.calls().contains(&"abort"));
    harness.now_us += 1;
    harness.turn();
    assert_eq!(first.calls().last(), Some(&"abort"));
    assert_eq!(harness.events(), [Event::Closed { conn, cause: Cause::CloseTimeout }]);
    // A retired link whose peer is gone ends at once.
    second.reset();
    let third = harness.resume(conn, 1, UNLIMITED).0;
    harness.turn();
    let closed = Event::Closed { conn: link, cause: Cause::Reset };
    assert_eq!(harness.events(), [Event::Resumed { conn, link: third }, closed]);
    harness.apply(Command::Gone { conn });
    harness.assert_empty();
}

#[test]
fn a_link_that_is_taken_over_before_it_has_begun_gets_its_handshake_first() {
    let mut harness = Harness::new();
    let (conn, _) = harness.session(UNLIMITED);
    harness.park(conn, conn);
    let (_, second) = harness.resume(conn, 0, 0);
    let (_, third) = harness.resume(conn, 0, UNLIMITED);
    second.give(UNLIMITED);
    let all: Vec<_> = harness.shard.slots.iter_mut(SHARD).map(|(conn, _)| conn).collect();
    all.into_iter().for_each(|conn| harness.shard.writable(conn));
    harness.turn();
    assert_eq!((greeting(&second), close_code(&second)), (b"yes".to_vec(), Some(4503)));
    assert_eq!((greeting(&third), close_code(&third)), (b"yes".to_vec(), None));
}

#[test]
fn a_session_whose_link_is_retired_waits_for_the_next() {
    let mut harness = Harness::new();
    let (conn, first) = harness.session(UNLIMITED);
    harness.publish(1, 1);
    harness.turn();
    harness.retire(conn, conn, false);
    assert_eq!((close_code(&first), first.calls().last()), (Some(4503), Some(&"finish")));
    harness.publish(1, 2);
    harness.turn();
    let (link, second) = harness.resume(conn, 1, UNLIMITED);
    assert_eq!((harness.events(), numbers(&second)), (vec![Event::Resumed { conn, link }], vec![2]));
    // A late command for the first link does not affect the second.
    harness.retire(conn, conn, false);
    harness.publish(1, 3);
    harness.turn();
    assert_eq!((numbers(&second), close_code(&second)), (vec![2, 3], None));
    // It ends with its session, and its room sends it nothing more.
    harness.retire(conn, link, true);
    assert_eq!((harness.headcount(1), close_code(&second)), (0, Some(4503)));
    harness.assert_empty();
}

#[test]
fn a_session_that_is_closing_keeps_its_link() {
    let mut harness = Harness::new();
    let (conn, first) = harness.session(UNLIMITED);
    harness.apply(Command::Close { conn, code: Some(1000), reason: "".into(), flush: true });
    let (link, _) = harness.resume(conn, 0, UNLIMITED);
    assert_eq!(harness.events(), [Event::Refused { conn, link, why: Unresumed::Closed }]);
    assert_eq!((close_code(&first), first.calls()), (Some(1000), vec!["finish"]));
    harness.apply(Command::Gone { conn });
    harness.apply(Command::Gone { conn: link });
    harness.assert_empty();
}

impl Harness {
    /// Lets all links take what waits for them.
    fn let_go_on(&mut self) {
        let all: Vec<_> = self.shard.slots.iter_mut(SHARD).map(|(conn, _)| conn).collect();
        all.into_iter().for_each(|conn| self.shard.writable(conn));
        self.turn();
    }
}

/// The numbers of all messages that a client of batches got over one link.
fn batched_numbers(link: &Fake) -> Vec<u64> {
    let after = |text: &str| text.split(r#""seq":"#).skip(1).map(|rest| number(rest, "")).collect::<Vec<_>>();
    texts(link).iter().flat_map(|text| after(text)).collect()
}

#[test]
fn a_session_whose_link_was_retired_in_a_message_goes_on_before_or_after_it() {
    for (form, most) in [(JSON, 2), (Form { is_batched: true, ..JSON }, 3)] {
        let sizes = {
            let mut harness = Harness::new();
            let (conn, link) = harness.open_as(UNLIMITED, form, true);
            harness.join(conn, 1);
            let size = |link: &Fake| link.0.borrow().taken.len();
            harness.publish(1, 1);
            harness.turn();
            let first = size(&link);
            (2..=most).for_each(|seq| assert!(harness.publish(1, seq) > 0));
            harness.turn();
            first..size(&link)
        };
        for (cut, received) in sizes.skip(1).flat_map(|cut| [(cut, 1), (cut, most)]) {
            let mut harness = Harness::new();
            let (conn, first) = harness.open_as(cut, form, true);
            harness.join(conn, 1);
            harness.publish(1, 1);
            harness.turn();
            (2..=most).for_each(|seq| assert!(harness.publish(1, seq) > 0));
            harness.turn();
            harness.retire(conn, conn, false);
            harness.publish(1, most + 1);
            first.give(UNLIMITED);
            harness.let_go_on();
            assert_eq!(batched_numbers(&first), (1..=most).collect::<Vec<_>>(), "cut at {cut}");
            // The link that takes over is retired while it sends again.
            let (link, second) = harness.resume_as(conn, received, form, 20);
            assert_eq!(harness.events(), [Event::Resumed { conn, link }], "cut at {cut}, {received} received");
            harness.retire(conn, link, false);
            second.give(UNLIMITED);
            harness.let_go_on();
            let all = received + batched_numbers(&second).len() as u64;
            assert_eq!(batched_numbers(&second), (received + 1..=all).collect::<Vec<_>>());
            for received in [received, all] {
                let (_, third) = harness.resume_as(conn, received, form, UNLIMITED);
                assert_eq!(batched_numbers(&third), (received + 1..=most + 1).collect::<Vec<_>>(), "cut at {cut}");
            }
            harness.apply(Command::Gone { conn });
            harness.now_us += 5 * SECOND;
            harness.turn();
            harness.assert_empty();
        }
    }
}
