//! Random histories: whatever happens, every message has exactly one fate, and the order holds.

use crate::message::KeyId;
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Push { delivery: Delivery, key: KeyId, extra: usize },
    Snapshot { keys: u64 },
    Raw { len: usize },
    Ping,
    Pong { len: usize },
    Relieve,
    Flush { bytes: usize },
    Close { flush: bool },
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
        30 => (delivery, 0..6u64, 0..200usize).prop_map(|(delivery, key, extra)| Op::Push { delivery, key, extra }),
        1 => (1..6u64).prop_map(|keys| Op::Snapshot { keys }),
        1 => (0..100usize).prop_map(|len| Op::Raw { len }),
        2 => Just(Op::Ping),
        3 => (0..126usize).prop_map(|len| Op::Pong { len }),
        1 => Just(Op::Relieve),
        12 => (0..600usize).prop_map(|bytes| Op::Flush { bytes }),
        1 => any::<bool>().prop_map(|flush| Op::Close { flush }),
    ]
}

/// What is known of every message that was pushed.
struct Known {
    delivery: Delivery,
    key: Option<KeyId>,
    /// Its place in the order of its lane; a replacing message takes that of the replaced one.
    place: u64,
    overflowed: bool,
    reports: Vec<Drop>,
}

struct Model {
    outbox: Outbox,
    sink: Ration,
    known: Vec<Known>,
    /// The newest value of each key.
    newest: HashMap<KeyId, u64>,
    written: usize,
    snapshot_bytes: usize,
}

const LIMIT: usize = 1500;
const CONTROL_MAX: usize = 127;

impl Model {
    fn run(&mut self, op: Op) {
        match op {
            Op::Push { delivery, key, extra } => {
                let key = (delivery == Delivery::Latest).then_some(key);
                let message = self.message(delivery, key, extra);
                let mut reports = Vec::new();
                let pushed = self.outbox.push(&message, &mut into(&mut reports));
                self.known[message.seq() as usize].overflowed = pushed == Push::Overflow;
                assert!(pushed == Push::Done || delivery == Delivery::Reliable);
                self.note(reports, &[message]);
            }
            Op::Snapshot { keys } => {
                let snapshot: Vec<_> = (0..keys).map(|key| self.message(Delivery::Latest, Some(key), 0)).collect();
                self.snapshot_bytes += snapshot.iter().map(|message| message.cost(Encoding::Raw)).sum::<usize>();
                let mut reports = Vec::new();
                assert_eq!(self.outbox.push_snapshot(&snapshot, &mut into(&mut reports)), Push::Done);
                self.note(reports, &snapshot);
            }
            Op::Raw { len } => {
                self.outbox.push_raw(frame::encode(Opcode::Text, &vec![b'r'; len]));
            }
            Op::Ping => self.outbox.push_ping(frame::control(Opcode::Ping, b"")),
            Op::Pong { len } => self.outbox.push_pong(frame::control(Opcode::Pong, &vec![b'p'; len])),
            Op::Relieve => {
                let mut reports = Vec::new();
                self.outbox.clear_droppable(Drop::Budget, &mut into(&mut reports));
                self.note(reports, &[]);
            }
            Op::Flush { bytes } => {
                self.sink.left = bytes;
                self.flush();
            }
            Op::Close { flush } => {
                let mut reports = Vec::new();
                self.outbox.close(frame::close(Some(1000), ""), flush, &mut into(&mut reports));
                self.note(reports, &[]);
            }
        }
        self.check();
    }

    fn message(&mut self, delivery: Delivery, key: Option<KeyId>, extra: usize) -> Arc<Message> {
        let seq = self.known.len() as u64;
        self.known.push(Known { delivery, key, place: seq, overflowed: false, reports: Vec::new() });
        if let Some(key) = key {
            self.newest.insert(key, seq);
        }
        message(seq, delivery, key, extra)
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
        let (progress, messages) = flush(&mut self.outbox, &mut self.sink);
        self.written += messages;
        if self.outbox.is_empty() {
            self.snapshot_bytes = 0;
            assert_eq!(self.outbox.bytes(), 0);
        }
        progress
    }

    /// What holds after every step.
    fn check(&self) {
        let begun = matches!(&self.outbox.begun, Some(Begun { frame: Frame::Message(_), .. }));
        let gone: usize = self.known.iter().map(|known| known.reports.len() + known.overflowed as usize).sum();
        assert_eq!(self.known.len(), self.written + gone + self.outbox.messages() + begun as usize);
        // A ping, the pongs, and one more that has begun to leave, may come on top of the limit.
        assert!(self.outbox.bytes() <= LIMIT + self.snapshot_bytes + (PONGS_MAX + 2) * CONTROL_MAX);
    }

    /// What holds when all was flushed.
    fn finish(mut self) {
        self.sink.left = usize::MAX;
        let is_closing = self.outbox.is_closing();
        assert_eq!(self.flush(), if is_closing { Progress::Closed } else { Progress::Empty });
        self.check();
        assert_eq!((self.outbox.messages(), self.outbox.bytes()), (0, 0));

        let frames = parse(&self.sink.taken);
        let closes = frames.iter().filter(|frame| frame.0 == 8).count();
        assert_eq!(closes, is_closing as usize);
        assert!(!is_closing || frames.last().unwrap().0 == 8, "the close frame is the last");

        let left = seqs(&self.sink.taken);
        assert_eq!(left.len(), self.written);
        for is_reliable in [true, false] {
            let lane = left.iter().map(|&seq| &self.known[seq as usize]);
            let places: Vec<_> =
                lane.filter(|known| (known.delivery == Delivery::Reliable) == is_reliable).map(|k| k.place).collect();
            assert!(places.is_sorted_by(|a, b| a < b), "order within a lane: {places:?}");
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
    fn every_message_has_one_fate_and_lanes_keep_their_order(ops in prop::collection::vec(op(), 1..120)) {
        let mut model = Model {
            outbox: Outbox::new(LIMIT, Encoding::Raw),
            sink: Ration::default(),
            known: Vec::new(),
            newest: HashMap::new(),
            written: 0,
            snapshot_bytes: 0,
        };
        for op in ops {
            model.run(op);
        }
        model.finish();
    }
}
