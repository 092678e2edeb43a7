//! Helpers for the tests of the shard: links that record what happens, and one shard with its rooms.

mod batches;
mod fake_link;
mod fairness;
mod fanout;
mod model;
mod one_way;
mod pressure;
mod rates;
mod reading;
mod sessions;
mod timers;
mod together;
mod windows;

use crate::interest::MemberWish;
use crate::message::RoomId;
use crate::protocol::report::{Report, RoomReport};
use crate::room::members::Headcount;
use std::collections::BTreeMap;

use self::fake_link::Fake;
use super::*;
use crate::message::{Delivery, KeyId, Message, Metadata, Role};
use crate::outbox::account::Account;
use crate::protocol::envelope::Kind;
use crate::protocol::form::Form;
use crate::queues::command::{Greeting, Source};
use crate::shard::rate_limit::RateSettings;
use crate::slots::Ids;
use crate::stats::Drop;
use crate::wire::decoder::Limits;
use crate::wire::frame;

/// One shard with its rooms, and a clock that the test sets.
struct Harness {
    shard: Shard<Fake>,
    budget: Arc<Budget>,
    stats: Arc<Stats>,
    ids: Ids,
    rooms: BTreeMap<RoomId, Arc<Headcount>>,
    accounts: Vec<(ConnId, Account)>,
    now_us: u64,
}

const SHARD: usize = 1;
const SECOND: u64 = 1_000_000;
const UNLIMITED: usize = usize::MAX;

fn settings() -> ShardSettings {
    ShardSettings {
        connection_bytes: 20_000,
        replay_bytes: 10_000,
        started_ms: 1_700_000_000_000,
        ping_interval_us: 0,
        ping_timeout_us: 10 * SECOND,
        close_timeout_us: 5 * SECOND,
        write_timeout_us: 30_000_000,
        min_rate: 1024,
        slow_code: 4008,
        inbound: inbound_settings(),
        probe_key: ProbeKey::default(),
    }
}

/// Limits that no test exceeds by accident.
pub(crate) fn inbound_settings() -> InboundSettings {
    InboundSettings {
        limits: Limits { max_message: 1 << 20, max_fragments: 1000 },
        rates: RateSettings {
            message_rate: 0.0,
            message_burst: 1.0,
            byte_rate: 0.0,
            byte_burst: 1.0,
            ping_rate: 0.0,
            ping_burst: 1.0,
            max_refused: 1.0,
        },
        message_timeout_us: 30 * SECOND,
        min_rate: 1024,
        dry_run: false,
    }
}

/// A new link of a client with the usual rates.
pub(crate) fn source() -> Source {
    Source { rest: Box::default(), times: 1.0 }
}

impl Harness {
    fn new() -> Self {
        Self::with(settings(), UNLIMITED)
    }

    fn with(settings: ShardSettings, engine_bytes: usize) -> Self {
        let budget = Arc::new(Budget::new(engine_bytes));
        let stats = Arc::<Stats>::default();
        let unfinished = Arc::new(Budget::new(1 << 20));
        let shard = Shard::new(SHARD, settings, Arc::clone(&budget), unfinished, Arc::clone(&stats));
        Self { shard, budget, stats, ids: Ids::new(SHARD), rooms: BTreeMap::new(), accounts: Vec::new(), now_us: 0 }
    }

    fn apply(&mut self, command: Command<Fake>) -> usize {
        self.shard.apply(command, self.now_us)
    }

    /// Lets a client send a frame; `first` is its first byte with the opcode.
    fn sends(&mut self, conn: ConnId, first: u8, payload: &[u8]) {
        let Some(link) = self.shard.slots.get_mut(conn).map(|slot| slot.link_id) else { return };
        self.sends_over(conn, link, &[&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat());
    }

    fn sends_over(&mut self, conn: ConnId, link: ConnId, bytes: &[u8]) {
        let Some(conn) = self.shard.carried_by(conn, link) else { return };
        let slot = self.shard.slots.get_mut(conn).unwrap();
        slot.link.as_ref().unwrap().0.borrow_mut().given.extend_from_slice(bytes);
        self.shard.ready(conn, true, false, false);
        while self.shard.read(3, self.now_us) {}
    }

    /// Opens a connection whose link takes `room` bytes.
    fn open(&mut self, room: usize) -> (ConnId, Fake) {
        self.open_as(room, Form::RAW, false)
    }

    fn open_as(&mut self, room: usize, form: Form, has_session: bool) -> (ConnId, Fake) {
        let conn = self.ids.take().unwrap();
        let link = if has_session { Fake::socket(room) } else { Fake::new(room) };
        let greeting = Greeting::Bytes(Box::default());
        self.apply(Command::Open {
            conn,
            link: link.clone(),
            form,
            has_session,
            greeting,
            first: Box::default(),
            source: source(),
        });
        (conn, link)
    }

    fn join(&mut self, conn: ConnId, room: RoomId) {
        self.join_with(conn, room, &[]);
    }

    fn join_with(&mut self, conn: ConnId, room: RoomId, snapshot: &[Arc<Message>]) {
        let new = || Arc::new(Headcount::new(format!("room {room}").into(), Arc::default(), 2));
        let headcount = Arc::clone(self.rooms.entry(room).or_insert_with(new));
        headcount.join(SHARD);
        self.apply(Command::Join { conn, room, headcount, before: snapshot.into(), wish: MemberWish::Keep });
    }

    /// Lets a session report that `count` messages have come, and what was taken of rooms, if it says so.
    fn report(&mut self, conn: ConnId, count: u64, taken: Option<&[(RoomId, u64)]>) {
        let taken = taken.map(|rooms| {
            let rooms = rooms.iter().map(|&(room, count)| (format!("room {room}").into(), count));
            rooms.map(|(room, count)| RoomReport { room, count, ts_ms: None }).collect()
        });
        self.apply(Command::Report { conn, report: Box::new(Report { count, taken }) });
    }

    /// Opens a connection that is a member of a room.
    fn member(&mut self, room: RoomId, takes: usize) -> (ConnId, Fake) {
        let (conn, link) = self.open(takes);
        self.join(conn, room);
        (conn, link)
    }

    fn headcount(&self, room: RoomId) -> usize {
        assert_eq!(self.rooms[&room].total(), self.rooms[&room].in_shard(SHARD));
        self.rooms[&room].total()
    }

    fn message(&self, room: RoomId, seq: u64, delivery: Delivery, key: Option<KeyId>, len: usize) -> Arc<Message> {
        let mut payload = seq.to_be_bytes().to_vec();
        payload.resize(len.max(8), 0);
        let name = Some(format!("room {room}").into());
        let metadata = Metadata { key, room_name: name, ..Metadata::place(room, seq, delivery) };
        Arc::new(Message::new(Role::Data, Kind::Binary, &payload, metadata, self.now_us, &self.budget))
    }

    fn publish(&mut self, room: RoomId, seq: u64) -> usize {
        self.publish_except(room, seq, &[])
    }

    fn publish_except(&mut self, room: RoomId, seq: u64, except: &[ConnId]) -> usize {
        let message = self.message(room, seq, Delivery::Reliable, None, 8);
        self.apply(Command::Publish { message, except: except.into() })
    }

    fn publish_as(&mut self, room: RoomId, seq: u64, delivery: Delivery, len: usize) {
        let message = self.message(room, seq, delivery, None, len);
        self.apply(Command::Publish { message, except: Box::default() });
    }

    /// One turn of the thread: writes everything, runs the timers, settles the budget.
    fn turn(&mut self) -> Option<u64> {
        while self.shard.read(3, self.now_us) {}
        while self.shard.flush(3, self.now_us) {}
        let next_us = self.shard.tick(self.now_us);
        while self.shard.read(3, self.now_us) {}
        while self.shard.flush(3, self.now_us) {}
        self.shard.settle(self.now_us, 0);
        while self.shard.flush(3, self.now_us) {}
        next_us
    }

    /// Takes the events since the last call, and gives back the ids that have ended. Leaves out ends that the test
    /// itself asked for, and accounts, which [`Self::accounts`] returns.
    fn events(&mut self) -> Vec<Event> {
        let (events, ended) = self.shard.take();
        for conn in ended {
            self.ids.release(conn);
        }
        let mut others = Vec::new();
        for event in events {
            match event {
                Event::Ended { conn, account } => self.accounts.push((conn, account)),
                Event::Closed { cause: Cause::Cut, .. } | Event::Parked { cause: Cause::Cut, .. } => {}
                other => others.push(other),
            }
        }
        others
    }

    /// Takes the accounts of connections that have ended since the last call.
    fn accounts(&mut self) -> Vec<(ConnId, Account)> {
        let events = self.events();
        assert!(events.is_empty(), "{events:?}");
        std::mem::take(&mut self.accounts)
    }

    fn drops(&self, reason: Drop) -> u64 {
        self.stats.drops(reason)
    }

    /// Lets the peers of retired links end their side.
    fn end_retired(&mut self) {
        let retired: Vec<_> = self.shard.retired.values().copied().collect();
        for conn in retired {
            if let Some(link) = self.shard.slots.get_mut(conn).and_then(|slot| slot.link.as_mut()) {
                link.0.borrow_mut().is_ended = true;
            }
            self.shard.ready(conn, true, true, false);
        }
        self.turn();
    }

    /// Checks that no memory, member or connection is left.
    fn assert_empty(&mut self) {
        self.end_retired();
        self.shard.settle(self.now_us, 0);
        self.events();
        assert_eq!((self.budget.used(), self.shard.references), (0, 0));
        assert_eq!((self.shard.slots.len(), self.ids.len(), self.stats.connections.value()), (0, 0, 0));
        for (room, headcount) in &self.rooms {
            assert_eq!((headcount.total(), self.shard.members.count(*room)), (0, 0), "room {room}");
        }
    }
}
