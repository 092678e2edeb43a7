//! The cost of one message on its way: framing, the outbox, the fan-out of a shard, and publishing through the engine.
//!
//! `cargo bench --bench engine` takes less than a minute. Only the engine as a whole has sockets, whose other ends a thread
//! reads. Elsewhere the links take everything or count it, so that our own work is measured and not the kernel's.

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark has no documentation, and ends with its first error")]

use std::cell::Cell;
use std::hint::black_box;
use std::io::{self, IoSlice, Read};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fanwire::budget::Budget;
use fanwire::engine::message_builder::Draft;
use fanwire::engine::{Engine, EngineSettings, JoinOptions};
use fanwire::interest::MemberWish;
use fanwire::message::{Delivery, Message, Metadata, Role};
use fanwire::outbox::joins::Joins;
use fanwire::outbox::probes::ProbeKey;
use fanwire::outbox::{Outbox, Progress, Sink};
use fanwire::protocol::envelope::Kind;
use fanwire::protocol::form::Form;
use fanwire::queues::command::{Command, Greeting, Source};
use fanwire::queues::fair_queue::Credit;
use fanwire::room::members::Headcount;
use fanwire::shard::inbound::InboundSettings;
use fanwire::shard::rate_limit::RateSettings;
use fanwire::shard::tcp_info::TcpInfo;
use fanwire::shard::{Link, Shard, ShardSettings};
use fanwire::slots::{ConnId, Ids};
use fanwire::stats::Stats;
use fanwire::wire::decoder::Limits;
use fanwire::wire::frame::{self, Opcode};

const PAYLOAD: [u8; 128] = [b'x'; 128];
const ROOM: u64 = 1;

/// Takes everything, unless it is closed.
#[derive(Debug, Clone)]
struct Null(Rc<Cell<bool>>);

impl Sink for Null {
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.0.get() { Ok(bufs.iter().map(|buf| buf.len()).sum()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

impl Link for Null {
    fn watch(&mut self, _: ConnId) -> io::Result<()> {
        Ok(())
    }
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
    fn has_more(&self) -> bool {
        false
    }
    fn flush(&mut self) -> io::Result<bool> {
        Ok(true)
    }
    fn has_unsent(&self) -> bool {
        false
    }
    fn ends_when_dropped(&self) -> bool {
        true
    }

    fn finish(&mut self) {}
    fn abort(&mut self) {}
    fn grant(&mut self) {}
    fn poll(&mut self) -> bool {
        false
    }
    fn answer(&mut self, _: &[u8]) {}
    fn tcp_info(&self) -> Option<TcpInfo> {
        None
    }
}

fn null() -> Null {
    Null(Rc::new(Cell::new(true)))
}

fn message(seq: u64, delivery: Delivery, budget: &Arc<Budget>) -> Arc<Message> {
    let metadata = Metadata::place(ROOM, seq, delivery);
    Arc::new(Message::new(Role::Data, Kind::Text, &PAYLOAD, metadata, 0, budget))
}

fn shard_settings() -> ShardSettings {
    ShardSettings {
        connection_bytes: 1 << 30,
        replay_bytes: 1 << 30,
        started_ms: 0,
        ping_interval_us: 0,
        ping_timeout_us: 10_000_000,
        close_timeout_us: 10_000_000,
        write_timeout_us: 30_000_000,
        min_rate: 1024,
        slow_code: 4008,
        inbound: InboundSettings {
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
            message_timeout_us: 30_000_000,
            min_rate: 1024,
            dry_run: false,
        },
        probe_key: ProbeKey::default(),
    }
}

fn source() -> Source {
    Source { rest: Box::default(), times: 1.0 }
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame/encode");
    for len in [128, 64 << 10] {
        let payload = vec![b'x'; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(len.to_string(), |b| b.iter(|| frame::encode(Opcode::Text, black_box(&payload))));
    }
}

fn outboxes(c: &mut Criterion) {
    let budget = Arc::new(Budget::new(usize::MAX));
    let messages: Vec<_> = (0..64).map(|seq| message(seq, Delivery::Reliable, &budget)).collect();
    let mut group = c.benchmark_group("outbox/push_and_flush");
    for count in [1, 16, 64] {
        let mut outbox = Outbox::new(1 << 30, Form::RAW);
        let (mut sink, mut joins) = (null(), Joins::new(Arc::clone(&budget)));
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(count.to_string(), |b| {
            b.iter(|| {
                for message in &messages[..count] {
                    black_box(outbox.push(message, &mut |_, _| {}));
                }
                assert!(
                    matches!(outbox.flush(&mut sink, &mut joins, 0, &mut |_, _| {}), Ok(flushed) if flushed.progress == Progress::Empty)
                );
            });
        });
    }
}

/// A shard with a room of so many members.
fn crowd(members: usize, budget: &Arc<Budget>) -> Shard<Null> {
    crowd_of(members, Form::RAW, budget)
}

/// The same with another form; with an envelope the members have sessions.
fn crowd_of(members: usize, form: Form, budget: &Arc<Budget>) -> Shard<Null> {
    let unfinished = Arc::new(Budget::new(usize::MAX));
    let settings = ShardSettings { replay_bytes: 64 << 10, ..shard_settings() };
    let mut shard = Shard::new(0, settings, Arc::clone(budget), unfinished, Arc::<Stats>::default());
    let headcount = Arc::new(Headcount::new("r".into(), Arc::default(), 1));
    let mut ids = Ids::new(0);
    for conn in (0..members).map_while(|_| ids.take()) {
        let greeting = Greeting::Bytes(Box::default());
        shard.apply(
            Command::Open {
                conn,
                link: null(),
                form,
                has_session: form != Form::RAW,
                greeting,
                first: Box::default(),
                source: source(),
            },
            0,
        );
        headcount.join(0);
        shard.apply(
            Command::Join {
                conn,
                room: ROOM,
                headcount: Arc::clone(&headcount),
                before: Box::default(),
                wish: MemberWish::Keep,
            },
            0,
        );
    }
    shard
}

fn publish(shard: &mut Shard<Null>, message: &Arc<Message>) {
    shard.apply(Command::Publish { message: Arc::clone(message), except: Box::default() }, 0);
}

fn write_all(shard: &mut Shard<Null>) {
    while shard.flush(32, 0) {}
}

fn shards(c: &mut Criterion) {
    let budget = Arc::new(Budget::new(usize::MAX));
    let message = message(1, Delivery::Reliable, &budget);
    let mut group = c.benchmark_group("shard/publish");
    for members in [10, 1_000, 10_000] {
        let mut shard = crowd(members, &budget);
        group.throughput(Throughput::Elements(members as u64));
        group.bench_function(format!("push/{members}"), |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                // Written after every 16 messages, outside the measured time, so that the queues have their usual
                // length.
                for chunk in (0..iterations).step_by(16) {
                    let count = (iterations - chunk).min(16);
                    let started = Instant::now();
                    for _ in 0..count {
                        publish(&mut shard, &message);
                    }
                    spent += started.elapsed();
                    write_all(&mut shard);
                }
                spent
            });
        });
        group.bench_function(format!("push_and_flush/{members}"), |b| {
            b.iter(|| {
                publish(&mut shard, &message);
                write_all(&mut shard);
            });
        });
        group.throughput(Throughput::Elements(16 * members as u64));
        group.bench_function(format!("16_pushes_and_flush/{members}"), |b| {
            b.iter(|| {
                for _ in 0..16 {
                    publish(&mut shard, &message);
                }
                write_all(&mut shard);
            });
        });
    }
}

/// What sessions cost with and without batches: one message that waits, and a few that the shard has joined or not.
fn sessions(c: &mut Criterion) {
    const MEMBERS: usize = 1_000;
    let budget = Arc::new(Budget::new(usize::MAX));
    let mut group = c.benchmark_group("shard/sessions");
    for (name, form) in [("plain", Form::JSON), ("batched", Form { is_batched: true, ..Form::JSON })] {
        for (count, joined) in [(1, 1), (16, 1), (64, 1), (64, 31)] {
            let mut shard = crowd_of(MEMBERS, form, &budget);
            let mut seq = 0;
            group.throughput(Throughput::Elements((count * MEMBERS) as u64));
            group.bench_function(format!("{name}/{count}_by_{joined}"), |b| {
                b.iter(|| {
                    let mut messages = (0..count).map(|_| {
                        seq += 1;
                        message(seq, Delivery::Reliable, &budget)
                    });
                    while let Some(first) = messages.next() {
                        let run = std::iter::once(first).chain(messages.by_ref().take(joined - 1)).collect();
                        publish(&mut shard, &Arc::new(Message::join(run, &budget).expect("there are some")));
                    }
                    write_all(&mut shard);
                });
            });
        }
    }
}

fn engines(c: &mut Criterion) {
    let (kind, role) = (Kind::Text, Role::Data);
    let draft =
        Draft { kind, payload: &PAYLOAD, role, id: None, ack: false, key: None, delivery: None, audience: None };
    let mut group = c.benchmark_group("engine/publish");
    // Two descriptors for each: less than what a process may have by default.
    for members in [0, 400] {
        let settings = EngineSettings {
            shards: 1,
            engine_bytes: 1 << 30,
            history_bytes: 1 << 30,
            max_rooms: 1_000,
            queue_items: usize::MAX,
            max_nesting: 64,
            queue_bytes: usize::MAX,
            spin: Default::default(),
            unsent_bytes: 16 << 10,
            write_timeout: Duration::from_secs(30),
            shard: shard_settings(),
            credit: Credit { messages: 64, bytes: 1 << 20, total: 1 << 30 },
            admission: Default::default(),
            newcomers: Default::default(),
        };
        let engine = Engine::start(settings).expect("an engine starts");
        let mut readers = Vec::new();
        for _ in 0..members {
            let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
            theirs.set_nonblocking(true).expect("a mode of a socket");
            readers.push(theirs);
            let conn = engine.open(ours.into(), Form::RAW, false, [b""; 2], source()).expect("a connection opens");
            engine.join(conn, "room", JoinOptions::default(), None).expect("a connection joins");
        }
        let reader = std::thread::spawn(|| read_to_ends(readers));
        group.bench_function(format!("call/{members}"), |b| {
            if members == 0 {
                return b.iter(|| engine.publish("room", draft, &[]));
            }
            // The cost for the caller, in batches between which the shard catches up.
            let publish = |()| engine.publish("room", draft, &[]);
            b.iter_batched(|| catch_up(&engine, members), publish, BatchSize::NumIterations(64));
        });
        if members > 0 {
            group.throughput(Throughput::Elements(64 * members));
            group.bench_function(format!("64_until_delivered/{members}"), |b| {
                b.iter(|| {
                    for _ in 0..64 {
                        let _ = engine.publish("room", draft, &[]);
                    }
                    catch_up(&engine, members);
                });
            });
        }
        engine.shutdown(Duration::from_secs(10));
        reader.join().expect("a thread that ends");
    }
}

/// Reads all that comes, until every end has come.
fn read_to_ends(mut streams: Vec<UnixStream>) {
    let mut buffer = vec![0; 64 << 10];
    while !streams.is_empty() {
        streams.retain_mut(|stream| match stream.read(&mut buffer) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        });
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Waits until everything was handed over to each of the members.
fn catch_up(engine: &Engine, members: u64) {
    let delivered = || engine.stats().map(|stats| stats.delivered()).sum::<u64>();
    while delivered() < engine.published().0 * members {
        std::thread::yield_now();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .without_plots();
    targets = frames, outboxes, shards, sessions, engines
}
criterion_main!(benches);
