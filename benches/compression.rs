//! What compression costs and brings, by level and window: quotes in JSON of about 500 bytes, one by one and in batches
//! of 20.
//!
//! `cargo bench --bench compression` takes half a minute. Each figure is the least of many rounds, so that other load
//! does not count. Ratios are those of whole frames, envelopes included.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark has no documentation, and ends with its first error")]

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanwire::budget::Budget;
use fanwire::message::{Delivery, Message, Metadata, Role};
use fanwire::protocol::envelope::Kind;
use fanwire::protocol::form::{Deflate, Form};
use fanwire::wire::decoder::{Decoder, Limits};
use fanwire::wire::deflate::compress;
use fanwire::wire::frame;

const QUOTES: usize = 200;
const BATCH: usize = 20;
const ROUNDS: usize = 40;

/// Numbers that do not repeat (Knuth's generator).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A quote of an order book with five prices on each side.
fn quote(random: &mut Random, seq: u64) -> String {
    let symbol = ["AAPL", "MSFT", "NVDA", "AMZN", "GOOG", "META", "TSLA", "ORCL"][random.below(8) as usize];
    let price = 10_000 + random.below(40_000);
    let side = |random: &mut Random, sign: i64| {
        let levels = (0..5).map(|level| {
            let price = price.saturating_add_signed(sign * (level * 3 + random.below(3) as i64));
            format!(r#"{{"price":{}.{:02},"size":{}}}"#, price / 100, price % 100, 100 * (1 + random.below(90)))
        });
        levels.collect::<Vec<_>>().join(",")
    };
    let (bids, asks) = (side(random, -1), side(random, 1));
    let (volume, time) = (random.below(90_000_000), 1_760_000_000_000 + seq * 17 + random.below(17));
    format!(
        r#"{{"symbol":"{symbol}","venue":"XNAS","time":{time},"last":{}.{:02},"volume":{volume},"bids":[{bids}],"asks":[{asks}]}}"#,
        price / 100,
        price % 100,
    )
}

fn messages() -> Vec<Arc<Message>> {
    let (budget, mut random) = (Arc::new(Budget::new(usize::MAX)), Random(7));
    let message = |seq| {
        let place = Metadata::place(1, seq, Delivery::Reliable);
        let ts_ms = 1_760_000_000_000 + seq * 17;
        let metadata = Metadata { epoch: 0x19a5_b3c4, ts_ms, room_name: Some("quotes".into()), ..place };
        let payload = quote(&mut random, seq);
        Arc::new(Message::new(Role::Data, Kind::Json, payload.as_bytes(), metadata, 0, &budget))
    };
    (1..=QUOTES as u64).map(message).collect()
}

/// Returns the least time of a pass over all frames, for one frame.
fn least<T>(frames: &[T], mut work: impl FnMut(&T)) -> Duration {
    let round = |_| {
        let started = Instant::now();
        frames.iter().for_each(&mut work);
        started.elapsed()
    };
    (0..ROUNDS).map(round).min().unwrap_or_default() / frames.len() as u32
}

fn table(name: &str, frames: &[Box<[u8]>], count: usize) {
    let bytes = |frames: &[Box<[u8]>]| frames.iter().map(|frame| frame.len()).sum::<usize>();
    let before = bytes(frames);
    println!("\n{name}: {} bytes on average", before / frames.len());
    println!("| window | level | bytes | ratio | µs a frame | µs a message | MB/s | µs to inflate |");
    println!("|---|---|---|---|---|---|---|---|");
    for deflate in [Deflate::Window9, Deflate::Window12, Deflate::Window15] {
        for level in 1..=9 {
            let small: Vec<_> = frames.iter().filter_map(|frame| compress(frame, deflate, level)).collect();
            assert_eq!(small.len(), frames.len(), "a frame does not get smaller");
            let took = least(frames, |frame| {
                black_box(compress(black_box(frame), deflate, level));
            });
            let limits = Limits { max_message: 1 << 20, max_fragments: 1 };
            let mut decoder = Decoder::new(limits).inflating(true);
            let inflating = least(&small, |frame| {
                let mut bytes = masked(frame);
                let decoded = decoder.decode(&mut bytes, &mut |item| {
                    black_box(item);
                    std::ops::ControlFlow::Continue(())
                });
                assert!(decoded.is_ok());
            });
            let (after, us) = (bytes(&small), took.as_secs_f64() * 1e6);
            let mut row = String::new();
            let _ = write!(row, "| {} | {level} | {} ", deflate.bits().unwrap_or(0), after / frames.len());
            let _ = write!(row, "| {:.2} | {us:.1} | {:.2} ", before as f64 / after as f64, us / count as f64);
            let _ = write!(row, "| {:.0} ", before as f64 / frames.len() as f64 / us);
            println!("{row}| {:.1} |", inflating.as_secs_f64() * 1e6);
        }
    }
}

/// The frame as a client sends it, with the mask that changes nothing.
fn masked(frame: &[u8]) -> Vec<u8> {
    let header = frame.len() - frame::payload(frame).len();
    [&frame[..1], &[0x80 | frame[1]], &frame[2..header], &[0; 4], &frame[header..]].concat()
}

fn main() {
    let (messages, budget) = (messages(), Arc::new(Budget::new(usize::MAX)));
    let single: Vec<Box<[u8]>> = messages.iter().map(|message| message.frame(Form::JSON).into()).collect();
    table("one quote", &single, 1);
    let batched = Form { is_batched: true, ..Form::JSON };
    let join = |run: &[Arc<Message>]| Message::join(run.to_vec(), &budget).expect("messages");
    let batches: Vec<Box<[u8]>> = messages.chunks(BATCH).map(|run| join(run).frame(batched).into()).collect();
    table("a batch of 20 quotes", &batches, BATCH);
}
