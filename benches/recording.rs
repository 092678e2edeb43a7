//! What a recording takes of those who publish: the time of each call of `publish`, without and with a recording, in turns
//! in one run, at 500,000 messages a second; and then as fast as one thread can.
//!
//! `cargo bench --bench recording` takes half a minute, and needs two free cores and 6 GB of disk for a moment. `--
//! DIRECTORY` says where; without it, below the directory for temporary files.
//!
//! The rooms keep a history, so that without a recording, too, each message is built. The distribution is of single calls,
//! with the clock's own 20 to 40 ns in each. The time on a processor, of the publisher and of the recording's thread, does
//! not depend on what else the machine does (Linux).

#![allow(missing_docs, clippy::expect_used, reason = "a benchmark has no documentation, and ends with its first error")]
#![allow(clippy::print_stdout, reason = "it prints its figures")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use fanwire::engine::message_builder::Draft;
use fanwire::engine::record::RecordingReading;
use fanwire::engine::{Engine, EngineSettings};
use fanwire::io::recording_files::{FileSettings, Sync};
use fanwire::message::{Delivery, Role};
use fanwire::outbox::probes::ProbeKey;
use fanwire::protocol::envelope::Kind;
use fanwire::queues::fair_queue::Credit;
use fanwire::room::RoomSettings;
use fanwire::shard::ShardSettings;
use fanwire::shard::inbound::InboundSettings;
use fanwire::shard::rate_limit::RateSettings;
use fanwire::wire::decoder::Limits;

const RATE: f64 = 500_000.0;
const SECONDS: f64 = 2.0;
const ROUNDS: usize = 3;
const ROOMS: usize = 500;
const PAYLOAD: &[u8] = br#"{"symbol":"EURUSD","bid":1.08412,"ask":1.08415,"size":1500000,"time":1764487609123456}"#;

fn engine() -> Engine {
    let shard = ShardSettings {
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
    };
    let engine = Engine::start(EngineSettings {
        shards: 1,
        spin: Default::default(),
        engine_bytes: 4 << 30,
        history_bytes: 1 << 30,
        max_rooms: 10_000,
        queue_items: usize::MAX,
        max_nesting: 64,
        queue_bytes: usize::MAX,
        unsent_bytes: 16 << 10,
        write_timeout: Duration::from_secs(30),
        shard,
        credit: Credit { messages: 64, bytes: 1 << 20, total: 1 << 30 },
        admission: Default::default(),
        newcomers: Default::default(),
    })
    .expect("an engine starts");
    let settings = RoomSettings { history: 16, delivery: Delivery::Reliable, ..RoomSettings::default() };
    engine.add_rule("*", settings).expect("a rule");
    engine
}

fn begin(engine: &Engine, directory: &Path) -> u64 {
    let files = FileSettings {
        directory: directory.to_path_buf(),
        name: "bench".into(),
        rotate_bytes: 1 << 30,
        rotate_ns: u64::MAX,
        keep_bytes: 6 << 30,
        sync: Sync::Never,
        about: String::new(),
    };
    engine.record(vec!["*".into()], files, 64 << 20, Duration::from_millis(100)).expect("a recording begins")
}

/// Ends a recording. Returns what is known of it, and the nanoseconds that its thread has been on a processor.
fn end(engine: &Engine, id: u64) -> Option<(RecordingReading, u64)> {
    // Until nothing waits.
    while engine.recordings().iter().any(|reading| reading.queue_bytes > 0) {
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(300));
    let spent = spent_by("fanwire-record");
    engine.stop_recording(id, Duration::from_secs(60)).expect("it stops").map(|reading| (reading, spent))
}

/// The nanoseconds that the threads of a name have been on a processor; 0 where the system does not tell.
fn spent_by(name: &str) -> u64 {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let named = tasks
        .map(|task| task.path())
        .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name));
    named.map(|task| first_number(&task.join("schedstat"))).sum()
}

fn first_number(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Publishes at a rate, 100 messages each fifth of a millisecond; returns the nanoseconds of each call.
fn publish(engine: &Engine, names: &[String], rate: f64, seconds: f64) -> (Vec<u32>, f64, u64) {
    let (kind, role) = (Kind::Json, Role::Data);
    let draft = Draft { kind, payload: PAYLOAD, role, id: None, ack: false, key: None, delivery: None, audience: None };
    let mut times = Vec::with_capacity((seconds * 4e6) as usize);
    let started = Instant::now();
    let own = Path::new("/proc/thread-self/schedstat");
    let before = first_number(own);
    let mut place = 0;
    while started.elapsed().as_secs_f64() < seconds {
        let due = if rate.is_finite() { (started.elapsed().as_secs_f64() * rate) as usize } else { times.len() + 100 };
        while times.len() < due {
            let before = Instant::now();
            engine.publish(&names[place], draft, &[]).expect("it is published");
            times.push(before.elapsed().as_nanos() as u32);
            place = (place + 1) % names.len();
        }
        if rate.is_finite() {
            thread::sleep(Duration::from_micros(100));
        }
    }
    let spent = started.elapsed().as_secs_f64();
    (times, spent, first_number(own) - before)
}

fn line(what: &str, (mut times, spent, cpu): (Vec<u32>, f64, u64), recorded: Option<(RecordingReading, u64)>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    let rate = times.len() as f64 / spent;
    let mean = times.iter().map(|&time| f64::from(time)).sum::<f64>() / times.len() as f64;
    let cpu = cpu / times.len() as u64;
    print!(
        "{what:<28} {rate:>8.0}/s  mean {mean:>5.0} ns  p50 {p50:>4}  p99 {p99:>5}  p99.9 {p999:>6}  on CPU {cpu:>4}"
    );
    if let Some((RecordingReading { messages, left_out, bytes, .. }, cpu)) = recorded {
        let (megabytes, cpu) = (bytes as f64 / 1e6, cpu / messages.max(1));
        print!("  on disk {messages}, left out {left_out}, {megabytes:.0} MB, recorder {cpu} ns");
    }
    println!();
}

fn main() {
    let directory = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let directory =
        directory.map_or_else(env::temp_dir, PathBuf::from).join(format!("fanwire-bench-{}", std::process::id()));
    let engine = engine();
    let names: Vec<_> = (0..ROOMS).map(|room| format!("quotes.{room}")).collect();
    publish(&engine, &names, RATE, 0.5);
    for _ in 0..ROUNDS {
        line("paced, not recorded", publish(&engine, &names, RATE, SECONDS), None);
        let id = begin(&engine, &directory);
        let published = publish(&engine, &names, RATE, SECONDS);
        line("paced, recorded", published, end(&engine, id));
    }
    for _ in 0..ROUNDS {
        line("at full speed, not recorded", publish(&engine, &names, f64::INFINITY, SECONDS), None);
        let id = begin(&engine, &directory);
        let published = publish(&engine, &names, f64::INFINITY, SECONDS);
        line("at full speed, recorded", published, end(&engine, id));
    }
    fs::remove_dir_all(directory).expect("it was made");
}
