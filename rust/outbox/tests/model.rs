//! Random histories: whatever happens and whatever a peer reports, every message has exactly one fate, and the order
//! holds.

use crate::message::{KeyId, PRIORITIES};
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Push {
        room: RoomId,
        delivery: Delivery,
        key: KeyId,
        extra: usize,
    },
    Snapshot {
        room: RoomId,
        keys: u64,
    },
    Raw {
        len: usize,
    },
    Ping,
    Pong {
        len: usize,
    },
    Relieve,
    /// The peer reports that everything was taken but the last few messages, or more than everything.
    Taken {
        room: RoomId,
        but: i64,
    },
    Answer {
        but: i64,
    },
    Leave {
        room: RoomId,
    },
    Flush {
        bytes: usize,
    },
    Close {
        flush: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let delivery = prop::sample::select(&[
        Delivery::Reliable,
        Delivery::Latest,
        Delivery::Latest,
        Delivery::DropOldest,
        Delivery::DropNewest,
    ]);
    prop_oneof![
        30 => (1..4u64, delivery, 0..6u64, 0..200usize).prop_map(|(room, delivery, key, extra)| Op::Push {
            room, delivery, key, extra: extra * SCALE
        }),
        1 => (1..4u64, 1..6u64).prop_map(|(room, keys)| Op::Snapshot { room, keys }),
        4 => (0..5u64, -2..9i64).prop_map(|(room, but)| Op::Taken { room, but }),
        4 => (-2..9i64).prop_map(|but| Op::Answer { but }),
        1 => (1..4u64).prop_map(|room| Op::Leave { room }),
        1 => (0..100usize).prop_map(|len| Op::Raw { len }),
        2 => Just(Op::Ping),
        3 => (0..126usize).prop_map(|len| Op::Pong { len }),
        1 => Just(Op::Relieve),
        12 => (0..600usize).prop_map(|bytes| Op::Flush { bytes: bytes * SCALE }),
        1 => any::<bool>().prop_map(|flush| Op::Close { flush }),
    ]
}

/// What is known about every message that was pushed.
struct Known {
    room: RoomId,
    delivery: Delivery,
    key: Option<KeyId>,
    /// Its place in the order of its lane. A replacing message has the place of the replaced one.
    place: u64,
    overflowed: bool,
    reports: Vec<Drop>,
}

struct Model {
    outbox: Outbox,
    sink: LimitedSink,
    known: Vec<Known>,
    /// The newest value of each key.
    newest: HashMap<KeyId, u64>,
    written: usize,
    snapshot_bytes: usize,
    bound: Bound,
    /// The priority of each room.
    priorities: [Priority; 4],
    now_us: u64,
}

/// What bounds the bytes under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Nothing,
    Probes,
    Reports,
}

/// Messages of some kilobytes, so that a few fill a window.
const SCALE: usize = 50;
const LIMIT: usize = 1500 * SCALE;
const CONTROL_MAX: usize = 127;

impl Model {
    fn run(&mut self, op: Op) {
        match op {
            Op::Push { room, delivery, key, extra } => {
                let key = (delivery == Delivery::Latest).then_some(10 * room + key);
                let message = self.message(room, delivery, key, extra);
                let mut reports = Vec::new();
                let pushed = self.outbox.push(&message, &mut into(&mut reports));
                self.known[message.seq() as usize].overflowed = pushed == Push::Overflow;
                assert!(pushed == Push::Done || delivery == Delivery::Reliable);
                self.note(reports, &[message]);
            }
            Op::Snapshot { room, keys } => {
                let value = |key| self.message(room, Delivery::Latest, Some(10 * room + key), 0);
                let snapshot: Vec<_> = (0..keys).map(value).collect();
                self.snapshot_bytes += snapshot.iter().map(|message| message.cost(self.outbox.form())).sum::<usize>();
                let mut reports = Vec::new();
                assert_eq!(self.outbox.push_snapshot(&snapshot, &mut into(&mut reports)), Push::Done);
                self.note(reports, &snapshot);
            }
            Op::Raw { len } => {
                let mut reports = Vec::new();
                self.outbox.push_raw(frame::encode(Opcode::Text, &vec![b'r'; len]), &mut into(&mut reports));
                self.note(reports, &[]);
            }
            Op::Ping => self.outbox.push_ping(),
            Op::Pong { len } => self.outbox.push_pong(&vec![b'p'; len]),
            Op::Relieve => {
                let mut reports = Vec::new();
                self.outbox.clear_droppable(Drop::Budget, &mut into(&mut reports));
                self.note(reports, &[]);
            }
            Op::Taken { room, but } => self.take(room, but),
            Op::Answer { but } => self.answer(but),
            Op::Leave { room } => {
                let mut reports = Vec::new();
                self.outbox.leave(room, &mut into(&mut reports));
                assert!(!self.outbox.waits(room));
                self.note(reports, &[]);
            }
            Op::Flush { bytes } => {
                self.now_us += 1_000;
                self.sink.left = bytes;
                self.flush();
            }
            Op::Close { flush } => {
                let mut reports = Vec::new();
                self.outbox.close(Some(1000), "", flush, &mut into(&mut reports));
                self.note(reports, &[]);
            }
        }
        self.check();
    }

    fn take(&mut self, room: RoomId, but: i64) {
        if self.bound == Bound::Reports {
            let total = self.outbox.replay().map_or(0, |replay| replay.total());
            self.outbox.taken(room, total.saturating_add_signed(-but), self.now_us);
        }
    }

    fn answer(&mut self, but: i64) {
        if self.bound == Bound::Probes {
            let probe_key = &self.outbox.probe_key.as_ref().expect("it has probes").0;
            let frames = parse_whole(&self.sink.taken);
            let newest =
                frames.iter().rev().find_map(|frame| probe_key.number(ConnId::from_u64(7), &frame.1)).unwrap_or(0);
            self.outbox.answered(newest.saturating_add_signed(-but), self.now_us);
        }
    }

    fn message(&mut self, room: RoomId, delivery: Delivery, key: Option<KeyId>, extra: usize) -> Arc<Message> {
        let seq = self.known.len() as u64;
        self.known.push(Known { room, delivery, key, place: seq, overflowed: false, reports: Vec::new() });
        if let Some(key) = key {
            self.newest.insert(key, seq);
        }
        message_with(self.priorities[room as usize], room, seq, delivery, key, extra)
    }

    /// Notes what was reported while `pushed` were pushed.
    fn note(&mut self, reports: Vec<(u64, Drop)>, pushed: &[Arc<Message>]) {
        for (seq, reason) in reports {
            if reason == Drop::Replaced {
                let Known { key, place, .. } = self.known[seq as usize];
                let by = pushed.iter().find(|message| message.key() == key).expect("replaced by its own key");
                self.known[by.seq() as usize].place = place;
            }
            self.known[seq as usize].reports.push(reason);
        }
    }

    fn flush(&mut self) -> Progress {
        let (progress, messages) = flush_at(&mut self.outbox, &mut self.sink, self.now_us);
        self.written += messages;
        if self.outbox.is_empty() {
            self.snapshot_bytes = 0;
            assert_eq!(self.outbox.bytes(), 0);
        }
        progress
    }

    /// Checks what must hold after every step.
    fn check(&self) {
        let begun = match &self.outbox.begun {
            Some(Begun { frame: Frame::Message(message), .. }) => message.count(),
            _ => 0,
        };
        let gone: usize = self.known.iter().map(|known| known.reports.len() + known.overflowed as usize).sum();
        assert_eq!(self.known.len(), self.written + gone + self.outbox.messages() + begun);
        // A ping, the pongs, the windows of the rooms, and one more frame that has begun to leave may exceed the limit.
        assert!(self.outbox.bytes() <= LIMIT + self.snapshot_bytes + (PONGS_MAX + 5) * CONTROL_MAX);
    }

    /// Checks what must hold when everything was flushed.
    fn finish(mut self) {
        self.sink.left = usize::MAX;
        let is_closing = self.outbox.is_closing();
        let mut progress = self.flush();
        while progress == Progress::Held {
            self.now_us += 1_000;
            self.answer(0);
            (1..4).for_each(|room| self.take(room, 0));
            self.sink.left = usize::MAX;
            progress = self.flush();
        }
        assert_eq!(progress, if is_closing { Progress::Closed } else { Progress::Empty });
        self.check();
        assert_eq!((self.outbox.messages(), self.outbox.bytes()), (0, 0));

        let frames = parse(&self.sink.taken);
        let closes = frames.iter().filter(|frame| frame.0 == 8).count();
        assert_eq!(closes, is_closing as usize);
        assert!(!is_closing || frames.last().unwrap().0 == 8, "the close frame is the last");

        let form = self.outbox.form();
        let left = if form == Form::RAW { seqs(&self.sink.taken) } else { numbers(form, &self.sink.taken) };
        assert_eq!(left.len(), self.written);
        for room in 0..4 {
            // The reliable messages of all rooms with one priority share one lane.
            let lane = left.iter().map(|&seq| &self.known[seq as usize]);
            let is_of = |known: &&Known| match known.delivery {
                Delivery::Reliable => room == 0,
                _ => known.room == room,
            };
            for (priority, _) in PRIORITIES {
                let of_priority = |known: &&Known| self.priorities[known.room as usize] == priority;
                let lane = lane.clone().filter(is_of).filter(of_priority);
                let places: Vec<_> = lane.map(|known| known.place).collect();
                assert!(places.is_sorted_by(|a, b| a < b), "order within a lane: {places:?}");
            }
        }
        for (seq, known) in self.known.iter().enumerate() {
            let has_left = left.contains(&(seq as u64));
            let fates = has_left as usize + known.overflowed as usize + known.reports.len();
            assert_eq!(fates, 1, "message {seq}");
            if known.delivery == Delivery::Reliable {
                assert!(known.reports.iter().all(|&reason| reason == Drop::Closed));
            }
            if let Some(key) = known.key
                && self.newest[&key] == seq as u64
            {
                assert_ne!(known.reports, [Drop::Replaced], "the newest value of a key is never replaced");
            }
        }
    }
}

proptest! {
    #[test]
    fn every_message_has_one_fate_and_lanes_keep_their_order(
        form in prop::sample::select(vec![Form::RAW, Form::JSON, batched(Form::JSON)]),
        bound in prop::sample::select(&[Bound::Nothing, Bound::Probes, Bound::Reports]),
        priorities in prop::array::uniform4(prop::sample::select(PRIORITIES.map(|(priority, _)| priority).to_vec())),
        ops in prop::collection::vec(op(), 1..120)
    ) {
        let mut model = Model {
            outbox: match bound {
                Bound::Nothing => Outbox::new(LIMIT, form),
                Bound::Probes => Outbox::new(LIMIT, form).with_probes(ProbeKey::default(), ConnId::from_u64(7)),
                Bound::Reports => Outbox::of_session(LIMIT, form, usize::MAX),
            },
            sink: LimitedSink::default(),
            known: Vec::new(),
            newest: HashMap::new(),
            written: 0,
            snapshot_bytes: 0,
            bound,
            priorities,
            now_us: 0,
        };
        model.take(0, 0);
        for op in ops {
            model.run(op);
        }
        model.finish();
    }
}
