//! Sessions that cannot be resumed.

use super::*;

#[test]
fn what_was_acknowledged_is_not_kept() {
    let mut harness = Harness::new();
    let (conn, _) = harness.session(UNLIMITED);
    for seq in 1..=5 {
        harness.publish(1, seq);
    }
    harness.turn();
    assert_eq!(harness.shard.references, 5);
    harness.report(conn, 4, None);
    assert_eq!(harness.shard.references, 1);
    let (link, refused) = harness.resume(conn, 3, UNLIMITED);
    assert_eq!(harness.events(), [Event::Refused { conn, link, why: Unresumed::Overflow }]);
    assert_eq!(greeting(&refused), b"overflow");
    // The link is a connection of its own, and the host has to end the old one.
    harness.apply(Command::Send { conn: link, message: harness.message(0, 9, Delivery::Reliable, None, 8) });
    harness.turn();
    assert_eq!(texts(&refused).len(), 2);
    harness.apply(Command::Gone { conn });
    harness.apply(Command::Gone { conn: link });
    harness.assert_empty();
}

#[test]
fn sessions_that_are_not_there_any_more_are_refused() {
    let mut harness = Harness::new();
    let (conn, _) = harness.session(UNLIMITED);
    harness.apply(Command::Gone { conn });
    harness.events();
    let (link, _) = harness.resume(conn, 0, UNLIMITED);
    assert_eq!(harness.events(), [Event::Refused { conn, link, why: Unresumed::Closed }]);
    let (raw, _) = harness.open(UNLIMITED);
    let (other, _) = harness.resume(raw, 0, UNLIMITED);
    assert_eq!(harness.events(), [Event::Refused { conn: raw, link: other, why: Unresumed::Closed }]);
}

#[test]
fn a_session_that_was_closed_for_being_slow_is_not_resumed() {
    let mut harness = Harness::new();
    let (conn, _) = harness.session(0);
    for seq in 1..=100 {
        harness.publish(1, seq);
    }
    harness.turn();
    assert_eq!(harness.events(), [Event::Closing { conn, cause: Cause::Slow }]);
    let (link, _) = harness.resume(conn, 0, UNLIMITED);
    assert_eq!(harness.events(), [Event::Refused { conn, link, why: Unresumed::Overflow }]);
}

#[test]
fn one_that_ended_of_being_slow_is_remembered_until_the_host_knows() {
    let mut harness = Harness::new();
    for is_parked in [true, false] {
        let (conn, first) = harness.session(0);
        if is_parked {
            harness.park(conn, conn);
        }
        for seq in 1..=100 {
            harness.publish(1, seq);
        }
        harness.turn();
        if !is_parked {
            harness.apply(Command::Cut { conn, link: conn });
            assert!(first.calls().contains(&"abort"));
        }
        harness.events();
        let (link, second) = harness.resume(conn, 0, UNLIMITED);
        assert_eq!(harness.events(), [Event::Refused { conn, link, why: Unresumed::Overflow }]);
        assert_eq!(greeting(&second), b"overflow");
        harness.apply(Command::Gone { conn });
        let (again, third) = harness.resume(conn, 0, UNLIMITED);
        assert_eq!(harness.events(), [Event::Refused { conn, link: again, why: Unresumed::Closed }]);
        assert_eq!(greeting(&third), b"closed");
        harness.apply(Command::Gone { conn: link });
        harness.apply(Command::Gone { conn: again });
    }
    assert!(harness.shard.overflowed.is_empty());
    harness.assert_empty();
}

#[test]
fn another_codec_cannot_go_on_with_a_session_and_leaves_it_as_it_was() {
    let mut harness = Harness::new();
    let (conn, first) = harness.session(UNLIMITED);
    harness.publish(1, 1);
    harness.turn();
    harness.park(conn, conn);
    let (link, second) = harness.resume_as(conn, 0, Form::MSGPACK, UNLIMITED);
    assert_eq!(harness.events(), [Event::Refused { conn, link, why: Unresumed::Codec }]);
    assert_eq!(second.frames(), [(2, b"codec".to_vec())]);
    let (link, third) = harness.resume(conn, 0, UNLIMITED);
    assert_eq!(harness.events(), [Event::Resumed { conn, link }]);
    assert_eq!((numbers(&first), numbers(&third)), (vec![1], vec![1]));
}

#[test]
fn over_the_budget_what_sessions_keep_of_the_past_goes_first() {
    let mut harness = Harness::with(settings(), 4_000);
    let (conn, _) = harness.session(UNLIMITED);
    let (_, blocked) = harness.member(2, 0);
    for seq in 1..=20 {
        harness.publish(1, seq);
    }
    harness.publish(2, 1);
    harness.turn();
    assert_eq!((harness.events(), harness.shard.references), (vec![], 1));
    assert!(!blocked.calls().contains(&"abort"));
    let (link, _) = harness.resume(conn, 19, UNLIMITED);
    assert_eq!(harness.events(), [Event::Refused { conn, link, why: Unresumed::Overflow }]);
}
