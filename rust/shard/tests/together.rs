//! Rates with what else a room may have: interest, deltas, ticks and priorities.

use std::collections::{HashMap, VecDeque};

use serde_json::Value as Json;

use super::*;
use crate::interest::{Audience, values};
use crate::message::Priority;
use crate::outbox::rates::MemberRates;

const INTERVAL: u64 = 250_000;

impl Harness {
    fn rate_alone(&mut self, conn: ConnId) {
        let rates = MemberRates { interval_us: INTERVAL, bytes: 0, is_alone: true };
        self.apply(Command::Configure { conn, room: 1, rates });
    }

    fn set(&mut self, conn: ConnId, attributes: &str) {
        let change = values(attributes.as_bytes()).unwrap();
        self.apply(Command::Attributes { conn, room: 1, change });
    }

    fn latest(&self, seq: u64, key: KeyId, audience: Option<&str>, priority: Priority) -> Arc<Message> {
        let audience = audience.map(|audience| Audience::parse(audience.as_bytes()).unwrap());
        let place = Metadata::place(1, seq, Delivery::Latest);
        let (room_name, key_name) = (Some("room 1".into()), Some(key.to_string().into()));
        let metadata = Metadata { key: Some(key), key_name, room_name, audience, priority, ..place };
        let payload = seq.to_be_bytes();
        Arc::new(Message::new(Role::Data, Kind::Binary, &payload, metadata, self.now_us, &self.budget))
    }

    fn tell(&mut self, message: Arc<Message>) {
        self.apply(Command::Publish { message, except: Box::default() });
    }

    /// Does what is due until a time.
    fn pass(&mut self, us: u64) {
        let until_us = self.now_us + us;
        self.turn();
        while let Some(due_us) = self.shard.next_due_us().filter(|&due_us| due_us <= until_us) {
            self.now_us = due_us.max(self.now_us);
            self.turn();
        }
        self.now_us = until_us;
        self.turn();
    }
}

#[test]
fn a_rated_member_gets_what_is_for_it_at_its_rate() {
    let mut harness = Harness::new();
    let [(red, of_red), (blue, of_blue), (plain, of_plain)] = [(); 3].map(|()| harness.member(1, UNLIMITED));
    for (conn, team) in [(red, "red"), (blue, "blue"), (plain, "red")] {
        harness.set(conn, &format!(r#"{{"team":"{team}"}}"#));
    }
    harness.rate_alone(red);
    harness.rate_alone(blue);
    let for_red = Some(r#"{"where":{"team":"red"}}"#);
    for seq in 1..=6 {
        let message = harness.latest(seq, 7, for_red.filter(|_| seq < 6), Priority::Normal);
        harness.tell(message);
        harness.turn();
    }
    assert_eq!((of_red.seqs(), of_blue.seqs()), (vec![1], vec![6]), "the first leaves at once");
    harness.pass(2 * INTERVAL);
    assert_eq!((of_red.seqs(), of_blue.seqs()), (vec![1, 6], vec![6]));
    assert_eq!(of_plain.seqs(), [1, 2, 3, 4, 5, 6]);
    // Its attributes change what comes, not its rate.
    harness.set(red, r#"{"team":"blue"}"#);
    let message = harness.latest(7, 7, for_red, Priority::Normal);
    harness.tell(message);
    harness.pass(2 * INTERVAL);
    assert_eq!((of_red.seqs(), of_plain.seqs().len()), (vec![1, 6], 7));
    assert_eq!((harness.drops(Drop::Rate), harness.drops(Drop::Filtered)), (4, 5 + 2));
    for conn in [red, blue, plain] {
        harness.apply(Command::Gone { conn });
    }
    harness.assert_empty();
}

#[test]
fn what_a_tick_hands_over_together_waits_for_the_rate_and_is_counted() {
    let mut harness = Harness::new();
    let [(rated, of_rated), (other, of_other)] = [(); 2].map(|()| harness.member(1, UNLIMITED));
    harness.rate_alone(rated);
    for first in [1, 4, 7] {
        let all: VecDeque<_> = (first..first + 3)
            .map(|seq| Command::Publish {
                message: harness.latest(seq, seq % 3, None, Priority::Normal),
                except: Box::default(),
            })
            .collect();
        harness.apply(Command::Together(Box::new(all)));
        harness.turn();
    }
    assert_eq!((of_rated.seqs(), of_other.seqs().len()), (vec![1, 2, 3], 9));
    assert_eq!((harness.shard.references, harness.drops(Drop::Rate)), (3, 3));
    assert!(harness.budget.used() >= 3 * crate::message::OVERHEAD, "what waits is counted");
    harness.pass(2 * INTERVAL);
    assert_eq!((of_rated.seqs(), harness.shard.references), (vec![1, 2, 3, 7, 8, 9], 0));
    for conn in [rated, other] {
        harness.apply(Command::Gone { conn });
    }
    harness.assert_empty();
}

#[test]
fn a_rate_holds_in_rooms_of_any_priority() {
    for priority in [Priority::High, Priority::Low] {
        let mut harness = Harness::new();
        let (conn, link) = harness.member(1, UNLIMITED);
        harness.rate_alone(conn);
        for seq in 1..=5 {
            let message = harness.latest(seq, 7, None, priority);
            harness.tell(message);
            harness.turn();
        }
        assert_eq!(link.seqs(), [1]);
        harness.pass(2 * INTERVAL);
        assert_eq!(link.seqs(), [1, 5]);
        harness.apply(Command::Gone { conn });
        harness.assert_empty();
    }
}

#[test]
fn a_rated_member_gets_deltas_only_to_values_that_it_has() {
    let mut harness = Harness::new();
    let form = Form { has_deltas: true, ..Form::JSON };
    let [(rated, of_rated), (all, of_all)] = [(); 2].map(|()| harness.open_as(UNLIMITED, form, true));
    for conn in [rated, all] {
        harness.join(conn, 1);
    }
    let rates = MemberRates { interval_us: INTERVAL, bytes: 0, is_alone: false };
    harness.apply(Command::Configure { conn: rated, room: 1, rates });
    let mut newest: HashMap<KeyId, Arc<Message>> = HashMap::new();
    for seq in 1..=60_u64 {
        let key = seq * seq % 5;
        let payload = format!(r#"{{"still":"{}","n":{seq}}}"#, "x".repeat(60));
        let place = Metadata::place(1, seq, Delivery::Latest);
        let (room_name, key_name) = (Some("room 1".into()), Some(key.to_string().into()));
        let metadata = Metadata { key: Some(key), key_name, room_name, ..place };
        let whole = Message::new(Role::Data, Kind::Json, payload.as_bytes(), metadata, 0, &harness.budget);
        let whole = Arc::new(whole);
        let message = match newest.insert(key, Arc::clone(&whole)) {
            Some(base) => Arc::new(Message::delta(&whole, &base, &Arc::default())),
            None => whole,
        };
        harness.tell(message);
        harness.pass(if seq % 20 == 0 { 2 * INTERVAL } else { 60_000 });
    }
    harness.pass(2 * INTERVAL);
    for (link, is_all) in [(of_rated, false), (of_all, true)] {
        let (mut known, mut deltas, mut count) = (HashMap::new(), 0, 0);
        for (_, payload) in link.frames() {
            let envelope: Json = serde_json::from_slice(&payload).unwrap();
            if envelope["type"] != "message" {
                continue;
            }
            count += 1;
            let key = envelope["key"].as_str().unwrap_or_default().to_owned();
            if let Some(base) = envelope["base"].as_u64() {
                assert_eq!(known.get(&key), Some(&base));
                deltas += 1;
            } else {
                assert_eq!(envelope["payload"]["still"].as_str().map(str::len), Some(60));
            }
            known.insert(key, envelope["seq"].as_u64().unwrap());
        }
        assert_eq!((count == 60, deltas > 0), (is_all, is_all || deltas > 0));
        let last: HashMap<_, _> = newest.iter().map(|(key, message)| (key.to_string(), message.seq())).collect();
        assert_eq!(known, last, "the newest of each key has come");
    }
}
