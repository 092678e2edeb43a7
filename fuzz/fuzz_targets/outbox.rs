//! An outbox and its peer. The link takes bytes in any portions and is lost at any time, and the peer reports anything.
//! The peer must get whole frames, each message once, in the order of its lane, and the close frame last.
#![no_main]

mod peer;
mod wire;

use std::sync::Arc;

use arbitrary::Arbitrary;
use fanwire::budget::Budget;
use fanwire::message::{Delivery, Message, Metadata, Role};
use fanwire::outbox::joins::Joins;
use fanwire::outbox::probes::ProbeKey;
use fanwire::outbox::{Outbox, Progress, Push};
use fanwire::protocol::compression::Compression;
use fanwire::protocol::envelope::Kind;
use fanwire::protocol::form::{Deflate, Form};
use fanwire::slots::ConnId;
use fanwire::stats::Drop;
use fanwire::wire::frame::{self, Opcode};
use libfuzzer_sys::fuzz_target;

use crate::peer::Peer;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    form: u8,
    /// Whether probes are sent.
    has_probes: bool,
    /// Kilobytes that may wait, and that the replay keeps; 0: no limit.
    limit: u8,
    replay_limit: u8,
    is_flushed: bool,
    code: Option<u16>,
    reason: &'a str,
    /// A byte for each step: what happens, and how much of it.
    steps: &'a [u8],
}

struct Run {
    outbox: Outbox,
    probe_key: ProbeKey,
    peer: Peer,
    budget: Arc<Budget>,
    compression: Arc<Compression>,
    joins: Joins,
    limit: usize,
    largest: usize,
    seq: u64,
    acknowledged: usize,
    now_us: u64,
    is_bounded: bool,
}

impl Run {
    /// Runs a step. Returns false if the session has ended.
    fn step(&mut self, step: u8, may_forget: bool) -> bool {
        let amount = usize::from(step >> 4);
        match step & 0xF {
            0 => self.push(Delivery::Reliable, amount),
            1 => self.push(Delivery::Latest, amount),
            2 => self.push(Delivery::DropOldest, amount),
            3 => self.push(Delivery::DropNewest, amount),
            4 => self.push_joined(amount + 2),
            5..=7 => self.flush(AMOUNTS[amount]),
            8 => self.flush(usize::MAX),
            9 => self.peer.link.is_interrupted = true,
            10 => match amount % 4 {
                0 => self.outbox.push_ping(),
                1 => self.outbox.push_pong(&vec![7; AMOUNTS[amount]]),
                2 => self.outbox.push_heartbeat(),
                _ => self.push_raw(),
            },
            11..=12 => return self.lose(amount, may_forget),
            13 if amount < 8 => self.take(amount),
            13 => self.answer(amount - 8),
            14 => {
                let came = self.peer.came.len();
                let count = came * amount / 15;
                self.acknowledged = self.acknowledged.max(count);
                self.replay().acknowledge(count as u64);
                // More than was ever sent, so the count is ignored.
                self.replay().acknowledge((came + 1 + amount) as u64);
            }
            _ => {
                let mut dropped = Vec::new();
                let mut drop = |message: &Message, _| dropped.push((message.room(), message.seq()));
                match amount as u64 {
                    room @ 1..=ROOMS => self.outbox.leave(room, &mut drop),
                    _ => self.outbox.clear_droppable(Drop::Budget, &mut drop),
                }
                dropped.into_iter().for_each(|(room, seq)| self.peer.forget(room, seq));
            }
        }
        true
    }

    /// The peer reports that its application has taken everything of a room but a few messages, or more than there are.
    fn take(&mut self, amount: usize) {
        self.is_bounded = true;
        let came = self.peer.came.len() as u64;
        let count = [came, came + 1, came.saturating_sub(1), came / 2][amount / 4 + amount % 2];
        self.outbox.taken(amount as u64 % (ROOMS + 1), count, self.now_us);
    }

    /// The peer answers the last probe, an earlier one, or one that never was.
    fn answer(&mut self, amount: usize) {
        let number = |payload: &[u8]| self.probe_key.number(CONN, payload);
        let newest = self.peer.pings.iter().rev().filter_map(|payload| number(payload)).nth(amount % 4);
        self.outbox.answered(newest.unwrap_or(amount as u64), self.now_us);
    }

    fn replay(&mut self) -> &mut fanwire::outbox::replay::Replay {
        self.outbox.replay().expect("a session has one")
    }

    fn message(&mut self, delivery: Delivery, amount: usize) -> Arc<Message> {
        self.seq += 1;
        // Its number, so that all payloads differ.
        let mut payload = self.seq.to_be_bytes().to_vec();
        payload.resize(8 + AMOUNTS[amount % 16].min(LARGE), self.seq as u8);
        let room = 1 + self.seq % ROOMS;
        let key = (delivery == Delivery::Latest).then_some(room << 8 | amount as u64 % 3);
        let (room_name, compression) = (Some("r".into()), Some(Arc::clone(&self.compression)));
        let metadata = Metadata { key, room_name, compression, ..Metadata::place(room, self.seq, delivery) };
        Arc::new(Message::new(Role::Data, Kind::Binary, &payload, metadata, self.seq, &self.budget))
    }

    fn push(&mut self, delivery: Delivery, amount: usize) {
        let message = self.message(delivery, amount);
        self.push_message(&message);
    }

    /// Pushes a frame of the host. The outbox may drop droppable messages to make space for it.
    fn push_raw(&mut self) {
        let mut dropped = Vec::new();
        let frame = frame::control(Opcode::Pong, b"raw");
        let _ = self.outbox.push_raw(frame, &mut |message, _| dropped.push((message.room(), message.seq())));
        dropped.into_iter().for_each(|(room, seq)| self.peer.forget(room, seq));
    }

    fn push_joined(&mut self, count: usize) {
        let parts = (0..count).map(|amount| self.message(Delivery::Reliable, amount)).collect();
        let joined = Message::join(parts, &self.budget).expect("parts");
        self.push_message(&Arc::new(joined));
    }

    fn push_message(&mut self, message: &Arc<Message>) {
        let mut dropped = Vec::new();
        let pushed = self.outbox.push(message, &mut |message, why| {
            dropped.push((message.room(), message.seq(), why));
        });
        let mut is_queued = pushed == Push::Done;
        for (room, seq, why) in dropped {
            match why {
                Drop::Replaced => self.peer.replace(room, seq, message),
                _ if seq == message.seq() && why == Drop::Newest => {}
                _ => {
                    assert_eq!(why, Drop::Oldest);
                    self.peer.forget(room, seq);
                    continue;
                }
            }
            is_queued = false;
        }
        if is_queued {
            self.peer.expect(message);
            if self.outbox.form().codec.has_envelopes() {
                // An envelope may be larger than the limit; then it waits alone, perhaps behind one that has begun.
                self.largest = self.largest.max(message.cost(self.outbox.form()));
            }
            assert!(self.outbox.bytes() <= self.limit.max(2 * self.largest) + CONTROL);
        }
    }

    /// The link is lost. The session is resumed over another after what the peer says it has, which may be less than
    /// came.
    fn lose(&mut self, amount: usize, may_forget: bool) -> bool {
        self.outbox.park();
        let form = Form { deflate: DEFLATES[amount % 4], ..self.outbox.form() };
        let came = self.peer.came.len();
        let received = came - amount.min(came - self.acknowledged);
        assert!(!self.outbox.resume(came as u64 + 1, form));
        let is_resumed = self.outbox.resume(received as u64, form);
        assert!(is_resumed || may_forget);
        self.acknowledged = received;
        self.peer.lost(received, form);
        is_resumed
    }

    fn flush(&mut self, bytes: usize) {
        self.peer.link.left = bytes;
        self.now_us += 3_000;
        loop {
            let before = self.peer.link.taken.len();
            let flushed = self
                .outbox
                .flush(&mut self.peer.link, &mut self.joins, self.now_us, &mut |_, _| {})
                .expect("no error but those that are none");
            assert_eq!(flushed.bytes, self.peer.link.taken.len() - before);
            self.peer.read();
            match flushed.progress {
                Progress::More => {}
                Progress::Blocked => break assert_eq!(self.peer.link.left, 0),
                Progress::Empty => break assert!(self.outbox.is_empty()),
                Progress::Held => break assert!(self.is_bounded && self.outbox.is_held()),
                Progress::Closed => break assert!(self.peer.is_closed),
            }
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    let budget = Arc::new(Budget::new(usize::MAX));
    let form = [Form::RAW, Form::JSON, Form::MSGPACK][usize::from(input.form % 3)];
    let form = Form { deflate: DEFLATES[usize::from(input.form / 3 % 4)], ..form };
    let compression = Arc::new(Compression::default());
    compression.set(u32::from(input.form / 12 % 9) + 1, 100).expect("a level");
    let limit = |kilobytes: u8| if kilobytes == 0 { usize::MAX / 2 } else { usize::from(kilobytes) << 10 };
    let (limit, replay_limit) = (limit(input.limit), limit(input.replay_limit));
    let outbox = Outbox::of_session(limit, form, replay_limit);
    let (probe_key, is_bounded) = (ProbeKey::default(), input.has_probes);
    let outbox = if input.has_probes { outbox.with_probes(probe_key.clone(), CONN) } else { outbox };
    let mut run = Run {
        outbox,
        probe_key,
        peer: Peer::new(form),
        budget: Arc::clone(&budget),
        compression,
        joins: Joins::new(Arc::clone(&budget)),
        limit,
        largest: 0,
        seq: 0,
        acknowledged: 0,
        now_us: 0,
        is_bounded,
    };
    if input.steps.iter().take(STEPS).all(|&step| run.step(step, input.replay_limit > 0)) {
        run.outbox.close(input.code, input.reason, input.is_flushed, &mut |_, why| assert_eq!(why, Drop::Closed));
        while !run.peer.is_closed {
            run.flush(usize::MAX);
        }
        assert!(run.outbox.is_empty() && run.outbox.bytes() == 0 && run.outbox.messages() == 0);
        assert!(run.peer.link.taken.is_empty());
        assert!(!input.is_flushed || run.peer.has_all(), "all that waits comes before the close frame");
    } else {
        run.outbox.end(&mut |_, why| assert_eq!(why, Drop::Closed));
        assert!(run.outbox.messages() == 0 && run.outbox.bytes() == 0);
    }
    drop(run);
    assert_eq!(budget.used(), 0);
});

/// Bytes of a payload, or that a link takes.
const AMOUNTS: [usize; 16] = [0, 1, 2, 3, 7, 11, 20, 60, 120, 130, 250, 400, 1_000, 3_000, 10_000, 70_000];

/// Bytes of a large payload: some thirty fill a write.
const LARGE: usize = 8_000;

/// The approximate limit on bytes of control frames that wait besides; the number of each kind is limited.
const CONTROL: usize = 4 << 10;

/// What may have been agreed with each link.
const DEFLATES: [Deflate; 4] = [Deflate::None, Deflate::Window9, Deflate::Window12, Deflate::Window15];

/// Rooms with droppable messages.
const ROOMS: u64 = 3;

const CONN: ConnId = ConnId::from_u64(7);

/// The limit on steps of an input.
const STEPS: usize = 256;
