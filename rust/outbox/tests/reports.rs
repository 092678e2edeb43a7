//! A peer that reports by the rule of the protocol, and an outbox: neither waits for the other, whatever is published.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::outbox::window::{INITIAL, part};
use crate::protocol::codec::Codec;
use crate::protocol::form::Deflate;

/// The messages of a room, as a client handles them that reports.
#[derive(Debug, Default)]
struct Reader {
    window: usize,
    /// How many messages and bytes have come, and which of them wait for the application.
    count: u64,
    bytes: usize,
    waiting: VecDeque<(u64, usize)>,
    /// What the server was told.
    told: u64,
    told_bytes: usize,
}

impl Reader {
    fn came(&mut self, bytes: usize) {
        self.waiting.push_back((self.count, self.bytes));
        self.count += 1;
        self.bytes += bytes;
    }

    /// The report that is due, if there is one: the count up to which everything is taken.
    fn report(&mut self) -> Option<u64> {
        let (count, bytes) = self.waiting.front().copied().unwrap_or((self.count, self.bytes));
        let is_due = bytes >= self.told_bytes + part(self.window).max(1) && count > self.told;
        is_due.then(|| {
            (self.told, self.told_bytes) = (count, bytes);
            count
        })
    }
}

/// An outbox of a session, and its reader. What is between them arrives in order.
struct Pair {
    form: Form,
    outbox: Outbox,
    sink: LimitedSink,
    reader: Reader,
    reports: VecDeque<u64>,
    /// The bytes of the envelope of each message.
    sizes: HashMap<u64, usize>,
    now_us: u64,
}

impl Pair {
    fn new(form: Form) -> Self {
        let mut outbox = Outbox::of_session(1 << 30, form, 1 << 30);
        outbox.taken(0, 0, 0);
        let reader = Reader { window: INITIAL, ..Reader::default() };
        let (sink, sizes) = (LimitedSink::unlimited(), HashMap::new());
        Self { form, outbox, sink, reader, reports: VecDeque::new(), sizes, now_us: 0 }
    }

    fn publish(&mut self, extra: usize) {
        let seq = self.sizes.len() as u64 + 1;
        let message = message_of(1, seq, Delivery::DropOldest, None, extra);
        self.sizes.insert(seq, frame::payload(message.frame(Form::JSON)).len());
        assert_eq!(self.outbox.push(&message, &mut |_, _| {}), Push::Done);
        self.flush();
    }

    fn flush(&mut self) {
        flush_at(&mut self.outbox, &mut self.sink, self.now_us);
    }

    fn read(&mut self) {
        let bytes = std::mem::take(&mut self.sink.taken);
        for envelope in envelopes(self.form, &bytes) {
            match envelope["seq"].as_u64() {
                Some(seq) => self.reader.came(self.sizes[&seq]),
                None => self.reader.window = envelope["payload"]["bytes"].as_u64().unwrap() as usize,
            }
        }
        self.reports.extend(self.reader.report());
    }

    fn take(&mut self) {
        self.reader.waiting.pop_front();
        self.reports.extend(self.reader.report());
    }

    fn hear(&mut self) {
        if let Some(count) = self.reports.pop_front() {
            self.outbox.taken(1, count, self.now_us);
            self.flush();
        }
    }

    /// Everything under way arrives, and the application takes it.
    fn settle(&mut self) {
        self.flush();
        while !(self.sink.taken.is_empty() && self.reader.waiting.is_empty() && self.reports.is_empty()) {
            self.read();
            self.take();
            self.hear();
        }
    }
}

fn forms() -> impl Strategy<Value = Form> {
    let json = [Form::JSON, Form::event_stream(Codec::Json), Form { deflate: Deflate::Window15, ..Form::JSON }];
    let forms: Vec<_> = json.into_iter().flat_map(|form| [form, batched(form)]).collect();
    prop::sample::select(forms)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn nothing_waits_for_a_report_that_is_not_due(
        form in forms(),
        ops in prop::collection::vec((0..8u8, 0..200usize, 0..150u64), 1..250)
    ) {
        let mut pair = Pair::new(form);
        for (op, extra, number) in ops {
            match op {
                0 | 1 => pair.publish(extra),
                2 => pair.publish(extra * 20),
                3 => pair.now_us += number * number * 10,
                4 => pair.read(),
                5 => (0..number / 10).for_each(|_| pair.take()),
                6 => pair.hear(),
                _ if number < 100 => continue,
                _ => {
                    pair.settle();
                    let (waits, under_way) = (pair.outbox.messages(), pair.reader.bytes - pair.reader.told_bytes);
                    prop_assert_eq!(waits, 0, "untold: {} of a window of {}", under_way, pair.reader.window);
                }
            }
        }
        pair.settle();
        prop_assert_eq!(pair.outbox.messages(), 0);
    }

    #[test]
    fn a_message_counts_with_no_more_bytes_than_its_reader_counts(
        sizes in prop::collection::vec(0..2_000usize, 1..20),
        text in "[a \n\r]{0,40}",
        is_msgpack: bool,
    ) {
        let codec = if is_msgpack { Codec::Msgpack } else { Codec::Json };
        let whole = [Form::websocket(codec), Form::event_stream(codec)];
        let budget = Arc::new(Budget::new(usize::MAX));
        let json = format!("{{\"a\":{text}1}}");
        let metadata = Metadata::place(1, 99, Delivery::Reliable);
        let document = Arc::new(Message::new(Role::Data, Kind::Json, json.as_bytes(), metadata, 0, &budget));
        let values = (1..).zip(&sizes).map(|(seq, &extra)| message(seq, Delivery::Reliable, None, extra));
        let parts: Vec<_> = values.chain([document]).collect();
        // In the envelope of a WebSocket the payload stands as it is, and a line end there has at most two bytes.
        let count = |part: &Arc<Message>| frame::payload(part.frame(whole[0])).len();
        let joined = Message::join(parts.clone(), &budget).unwrap();
        let total: usize = parts.iter().map(count).sum();
        for form in whole {
            for part in &parts {
                prop_assert!(part.counted(form) <= count(part) && part.counted(form) + 40 >= count(part), "{:?}", form);
            }
            for form in [form, batched(form)] {
                let counted = joined.counted(form);
                prop_assert!(counted <= total && counted + 41 + parts.len() >= total, "{counted} of {total}, {form:?}");
            }
        }
    }
}
