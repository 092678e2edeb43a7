//! The history and values of one room, and the rules of rooms.

use super::*;
use crate::message::Delivery;
use crate::message::{Metadata, Role};
use crate::protocol::envelope::Kind;
use crate::room::rules::matches;
use crate::stats::rules::RuleId;

const LATEST: RoomSettings = RoomSettings {
    delivery: Delivery::Latest,
    max_keys: 2,
    max_members: usize::MAX,
    history: 0,
    history_bytes: usize::MAX,
    history_age_us: u64::MAX,
    compress: false,
    priority: crate::message::Priority::Normal,
    tick: 0,
    interest: false,
    delta: false,
    rule: RuleId::OTHERS,
};

/// A message with the number `seq` that follows the message `prev`.
fn message(seq: u64, prev: u64, now_us: u64) -> Arc<Message> {
    let metadata = Metadata { epoch: 7, prev: Some(prev), ..Metadata::place(1, seq, Delivery::Reliable) };
    Arc::new(Message::new(Role::Data, Kind::Binary, b"x", metadata, now_us, &Arc::new(unlimited())))
}

/// Publishes a message that already has its number.
fn deliver(room: &mut Room, seq: u64, now_us: u64, kept: &Budget) {
    let prev = room.position().seq;
    room.advance_to(seq);
    room.keep(&message(seq, prev, now_us), kept);
}

/// Publishes a message at a given time. Returns the bytes that it takes in the room.
fn publish(room: &mut Room, key: Option<&str>, now_us: u64, kept: &Budget) -> usize {
    let key = key.map(|key| room.key(key, || key.len() as u64).unwrap());
    let place = Metadata::place(room.id(), room.advance(), room.settings().delivery);
    let metadata = Metadata {
        key: key.as_ref().map(|key| key.0),
        room_name: Some(Arc::clone(room.name())),
        key_name: key.map(|key| key.1),
        ..place
    };
    let budget = Arc::new(Budget::new(usize::MAX));
    let message = Arc::new(Message::new(Role::Data, Kind::Binary, b"x", metadata, now_us, &budget));
    room.keep(&message, kept);
    message.kept_size()
}

fn since(room: &mut Room, seq: u64, now_us: u64, kept: &Budget) -> Result<Vec<u64>, Unrecovered> {
    let messages = room.since(Position { epoch: 7, seq }, now_us, kept)?;
    Ok(messages.iter().map(|message| message.seq()).collect())
}

fn unlimited() -> Budget {
    Budget::new(usize::MAX)
}

#[test]
fn patterns() {
    for (pattern, name, expected) in [
        ("a", "a", true),
        ("a", "b", false),
        ("*", "", true),
        ("*", "anything", true),
        ("a.*", "a.b.c", true),
        ("a.*", "a", false),
        ("*.b", "a.b", true),
        ("a*c", "abc", true),
        ("a*c", "abcd", false),
        ("a*b*c", "a1b2c", true),
        ("a*b*c", "a1c2b", false),
        ("aa*aa", "aaa", false),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn first_rule_wins() {
    let mut rules = Rules::default();
    rules.add("q.*", LATEST);
    let oldest = RoomSettings { delivery: Delivery::DropOldest, ..LATEST };
    rules.add("*", oldest);
    let numbered = |place, settings| RoomSettings { rule: RuleId::nth(place), ..settings };
    assert_eq!((rules.find("q.eur").0, rules.find("x").0), (numbered(0, LATEST), numbered(1, oldest)));
    assert!(rules.patterns().eq(["", "*", "q.*", "*"]));
    assert_eq!(Rules::default().find("x").0, RoomSettings::default());
    rules.find("q.eur").1.note(7);
    let sums: Vec<_> = rules.ages().map(|(pattern, ages)| (pattern, ages.counts().1)).collect();
    assert_eq!(sums, [("q.*", 7), ("*", 0), ("*", 0)]);
}

#[test]
fn snapshot_has_the_newest_of_each_key_oldest_first() {
    let (mut room, kept) = (Room::new(1, "q", 7, LATEST), unlimited());
    let sizes: Vec<_> = ["a", "bb", "a"].map(|key| publish(&mut room, Some(key), 0, &kept)).into();
    let seqs: Vec<_> = room.snapshot().iter().map(|message| message.seq()).collect();
    assert_eq!(seqs, [2, 3]);
    assert_eq!(kept.used(), sizes[1] + sizes[2]);
}

#[test]
fn keys_are_bounded_and_can_be_forgotten() {
    let (mut room, kept) = (Room::new(1, "q", 7, RoomSettings { max_keys: 1, ..LATEST }), unlimited());
    publish(&mut room, Some("a"), 0, &kept);
    assert!(matches!(room.key("b", || 2), Err(Error::Overloaded { limit: 1, field: "max_keys", .. })));
    assert!(room.holds_anything(0, &kept));
    assert!(room.forget("a", &kept).0.is_some());
    assert!(room.forget("a", &kept).0.is_none());
    assert!(!room.holds_anything(0, &kept));
    assert_eq!(kept.used(), 0);
    assert_eq!(room.key("b", || 2).unwrap().0, 2);
}

#[test]
fn a_history_is_read_in_pages() {
    let settings = RoomSettings { history: 4, history_age_us: 100, ..RoomSettings::default() };
    let (mut room, kept) = (Room::new(1, "r", 7, settings), unlimited());
    for now_us in [0, 0, 50, 50, 50] {
        publish(&mut room, None, now_us, &kept);
    }
    let after = |epoch, seq| Some(Position { epoch, seq });
    for (from, limit, now_us, expected) in [
        (None, 2, 50, vec![4, 5]),
        (None, 9, 50, vec![2, 3, 4, 5]),
        (after(7, 0), 2, 50, vec![2, 3]),
        (after(7, 3), 2, 50, vec![4, 5]),
        (after(7, 5), 2, 50, vec![]),
        (after(7, 9), 2, 50, vec![]),
        (after(8, 3), 2, 50, vec![2, 3]),
        (None, 9, 101, vec![3, 4, 5]),
    ] {
        let page = room.kept_after(from, None, limit, now_us, &kept);
        assert_eq!(page.iter().map(|message| message.seq()).collect::<Vec<_>>(), expected, "{from:?} {limit}");
    }
}

#[test]
fn history_gives_exactly_what_came_after_a_position() {
    let settings = RoomSettings { history: 3, ..RoomSettings::default() };
    let (mut room, kept) = (Room::new(1, "r", 7, settings), unlimited());
    assert_eq!(since(&mut room, 0, 0, &kept), Ok(vec![]));
    for _ in 0..5 {
        publish(&mut room, None, 0, &kept);
    }
    for (seq, expected) in [
        (5, Ok(vec![])),
        (3, Ok(vec![4, 5])),
        (2, Ok(vec![3, 4, 5])),
        (1, Err(Unrecovered::History)),
        (0, Err(Unrecovered::History)),
        (6, Err(Unrecovered::Position)),
    ] {
        assert_eq!(since(&mut room, seq, 0, &kept), expected, "{seq}");
    }
    assert_eq!(room.since(Position { epoch: 8, seq: 5 }, 0, &kept).unwrap_err(), Unrecovered::Epoch);
}

#[test]
fn without_history_only_those_who_missed_nothing_recover() {
    let (mut room, kept) = (Room::new(1, "r", 7, RoomSettings::default()), unlimited());
    publish(&mut room, None, 0, &kept);
    assert_eq!(since(&mut room, 1, 0, &kept), Ok(vec![]));
    assert_eq!(since(&mut room, 0, 0, &kept), Err(Unrecovered::History));
    assert_eq!(kept.used(), 0);
}

#[test]
fn history_is_bounded_by_bytes_and_age() {
    let settings = RoomSettings { history: 100, history_age_us: 10, ..RoomSettings::default() };
    let (mut room, kept) = (Room::new(1, "r", 7, settings), unlimited());
    let size = (0..4).map(|now_us| publish(&mut room, None, now_us * 5, &kept)).max().unwrap();
    assert_eq!(since(&mut room, 1, 15, &kept), Ok(vec![2, 3, 4]));
    assert_eq!(since(&mut room, 1, 16, &kept), Err(Unrecovered::History));
    assert_eq!(kept.used(), 2 * size);
    assert!(!room.holds_anything(100, &kept));
    assert_eq!(kept.used(), 0);

    let settings = RoomSettings { history: 100, history_bytes: 2 * size, ..RoomSettings::default() };
    let mut room = Room::new(2, "s", 7, settings);
    for _ in 0..4 {
        publish(&mut room, None, 0, &kept);
    }
    assert_eq!((since(&mut room, 2, 0, &kept), kept.used()), (Ok(vec![3, 4]), 2 * size));
}

#[test]
fn over_the_limit_of_all_rooms_the_one_that_publishes_gives_back() {
    let settings = RoomSettings { history: 100, ..RoomSettings::default() };
    let (mut quiet, mut busy) = (Room::new(1, "q", 7, settings), Room::new(2, "b", 7, settings));
    let size = publish(&mut quiet, None, 0, &unlimited());
    let kept = Budget::new(3 * size);
    kept.add(size);
    for _ in 0..10 {
        publish(&mut busy, None, 0, &kept);
    }
    assert_eq!(since(&mut busy, 8, 0, &kept), Ok(vec![9, 10]));
    assert_eq!(since(&mut quiet, 0, 0, &kept), Ok(vec![1]));
    assert_eq!(kept.used(), 3 * size);
}

#[test]
fn numbers_may_have_holes() {
    let settings = RoomSettings { history: 3, history_age_us: 10, ..RoomSettings::default() };
    let (mut room, kept) = (Room::new(1, "r", 7, settings), unlimited());
    room.place(Position { epoch: 7, seq: 10 }, &kept);
    assert_eq!(room.floor(0, &kept), Position { epoch: 7, seq: 10 });
    for (seq, now_us) in [(12, 0), (15, 5), (20, 10)] {
        deliver(&mut room, seq, now_us, &kept);
    }
    for (seq, expected) in [
        (9, Err(Unrecovered::History)),
        (10, Ok(vec![12, 15, 20])),
        (11, Ok(vec![12, 15, 20])),
        (12, Ok(vec![15, 20])),
        (17, Ok(vec![20])),
        (20, Ok(vec![])),
        (21, Err(Unrecovered::Position)),
    ] {
        assert_eq!(since(&mut room, seq, 10, &kept), expected, "{seq}");
    }
    // Old messages go because of their number, because of their age, and because of their age without a new message.
    deliver(&mut room, 30, 10, &kept);
    assert_eq!((since(&mut room, 11, 10, &kept), room.floor(10, &kept).seq), (Err(Unrecovered::History), 12));
    assert_eq!((room.floor(16, &kept).seq, since(&mut room, 15, 16, &kept)), (15, Ok(vec![20, 30])));
    assert_eq!((since(&mut room, 30, 99, &kept), room.floor(99, &kept).seq, kept.used()), (Ok(vec![]), 30, 0));
}

#[test]
fn without_history_nothing_before_the_newest_is_kept() {
    let (mut room, kept) = (Room::new(1, "r", 7, RoomSettings::default()), unlimited());
    room.place(Position { epoch: 7, seq: 10 }, &kept);
    assert_eq!((room.advance(), room.floor(0, &kept).seq), (11, 11));
    room.advance_to(20);
    assert_eq!((room.position().seq, room.floor(0, &kept).seq, kept.used()), (20, 20, 0));
    assert!(!room.takes_older(0, 0, &kept));
}

#[test]
fn a_place_begins_anew() {
    let settings = RoomSettings { history: 3, ..RoomSettings::default() };
    let (mut room, kept) = (Room::new(1, "r", 7, settings), unlimited());
    publish(&mut room, None, 0, &kept);
    room.place(Position { epoch: 8, seq: 5 }, &kept);
    assert_eq!((room.position(), kept.used()), (Position { epoch: 8, seq: 5 }, 0));
    assert_eq!(since(&mut room, 1, 0, &kept), Err(Unrecovered::Epoch));
    assert_eq!(room.since(Position { epoch: 8, seq: 5 }, 0, &kept).map(|found| found.len()), Ok(0));
    assert_eq!(room.since(Position { epoch: 8, seq: 4 }, 0, &kept).unwrap_err(), Unrecovered::History);
}

#[test]
fn older_messages_go_before_those_kept_while_there_is_space() {
    let size = message(1, 0, 0).kept_size();
    let settings = RoomSettings { history: 3, history_bytes: 3 * size, history_age_us: 10, ..LATEST };
    let (mut room, kept) = (Room::new(1, "r", 7, settings), Budget::new(3 * size));
    room.place(Position { epoch: 7, seq: 10 }, &kept);
    deliver(&mut room, 12, 9, &kept);
    assert!(!room.takes_older(size, 11, &kept) && !room.takes_older(2 * size + 1, 0, &kept));
    for (seq, prev) in [(8, 5), (5, 2)] {
        assert!(room.takes_older(size, 10, &kept));
        room.keep_older(&message(seq, prev, 5), &kept);
        assert_eq!(since(&mut room, 10, 9, &kept), Ok(vec![12]));
    }
    assert!(!room.takes_older(size, 0, &kept));
    room.lower(2);
    assert_eq!((since(&mut room, 1, 9, &kept), kept.used()), (Err(Unrecovered::History), 3 * size));
    assert_eq!(since(&mut room, 2, 9, &kept), Ok(vec![5, 8, 12]));
    // Older messages that were added later expire like all others.
    assert_eq!((since(&mut room, 8, 16, &kept), room.floor(16, &kept).seq), (Ok(vec![12]), 8));
    room.place(Position { epoch: 7, seq: 12 }, &kept);
    assert_eq!(kept.used(), 0);
}

#[test]
fn a_message_larger_than_its_rooms_history_has_nothing_to_give_back() {
    let settings = RoomSettings { history: 3, history_bytes: 1, ..RoomSettings::default() };
    let (mut room, kept) = (Room::new(1, "r", 7, settings), Budget::new(10));
    kept.add(100);
    publish(&mut room, None, 0, &kept);
    assert_eq!((since(&mut room, 0, 0, &kept), kept.used()), (Err(Unrecovered::History), 100));
}

#[test]
fn the_growth_of_a_room_is_counted_since_the_last_look() {
    let kept = unlimited();
    let mut room = Room::new(1, "r", 7, RoomSettings::default());
    for now_us in 0..3 {
        publish(&mut room, None, now_us, &kept);
    }
    assert_eq!((room.growth(), room.growth()), (3, 0));
    publish(&mut room, None, 4, &kept);
    assert_eq!(room.growth(), 1);
    room.place(Position { epoch: 8, seq: 1_000_000 }, &kept);
    assert_eq!(room.growth(), 0);
}
