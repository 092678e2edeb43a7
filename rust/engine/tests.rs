//! Helpers for the tests of the engine: real threads, socket pairs as connections, and a deadline for every wait.

mod accepting;
mod compression;
mod ends;
mod fallbacks;
mod forget;
mod history;
mod limits;
mod log;
mod metrics;
mod order;
mod ticks;
mod record;
mod tls;

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Barrier;

use super::*;
use crate::engine::message_builder::Draft;
use crate::engine::message_builder::JoinReply;
use crate::engine::message_builder::Stamp;
use crate::message::Delivery;
use crate::message::OVERHEAD;
use crate::message::Role;
use crate::outbox::probes::ProbeKey;
use crate::protocol::codec::Codec;
use crate::protocol::envelope::Kind;
use crate::protocol::form::Form;
use crate::queues::command::UNRESUMED;
use crate::queues::command::tests::Hook;
use crate::room::Unrecovered;
use crate::shard::tests::{inbound_settings, source};
use crate::tls::config::TlsSettings;

/// The limit on every wait of a test. A working engine needs a fraction of it.
const DEADLINE: Duration = Duration::from_secs(30);

fn settings(shards: usize) -> EngineSettings {
    EngineSettings {
        shards,
        engine_bytes: 1 << 30,
        history_bytes: 1 << 30,
        max_rooms: 10_000,
        queue_items: 1 << 20,
        max_nesting: 64,
        queue_bytes: 1 << 30,
        spin: Default::default(),
        unsent_bytes: 16 << 10,
        write_timeout: DEADLINE,
        shard: ShardSettings {
            connection_bytes: 64 << 20,
            replay_bytes: 64 << 20,
            started_ms: 0,
            ping_interval_us: 0,
            ping_timeout_us: 10_000_000,
            close_timeout_us: 10_000_000,
            write_timeout_us: 30_000_000,
            min_rate: 1024,
            slow_code: 4008,
            inbound: inbound_settings(),
            probe_key: ProbeKey::default(),
        },
        credit: Credit { messages: 64, bytes: 1 << 20, total: 1 << 30 },
        admission: AdmissionSettings::default(),
        newcomers: NewcomerSettings::default(),
    }
}

fn start(shards: usize) -> Engine {
    Engine::start(settings(shards)).unwrap()
}

fn draft(payload: &[u8]) -> Draft<'_> {
    Draft {
        kind: Kind::Binary,
        payload,
        role: Role::Data,
        id: None,
        ack: false,
        key: None,
        delivery: None,
        audience: None,
    }
}

fn with_history(engine: &Engine, history: usize) {
    engine.add_rule("h.*", RoomSettings { history, ..RoomSettings::default() }).unwrap();
}

/// The client's end of a connection. A read that takes longer than the deadline fails.
struct Client {
    conn: ConnId,
    stream: std::io::BufReader<UnixStream>,
}

fn connect(engine: &Engine) -> Client {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(DEADLINE)).unwrap();
    Client {
        conn: engine.open(ours.into(), Form::RAW, false, [b""; 2], source()).unwrap(),
        stream: std::io::BufReader::new(theirs),
    }
}

fn session(engine: &Engine) -> Client {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(DEADLINE)).unwrap();
    let conn = engine.open(ours.into(), Form::JSON, true, [b""; 2], source()).unwrap();
    Client { conn, stream: std::io::BufReader::new(theirs) }
}

fn member(engine: &Engine, room: &str) -> Client {
    let client = connect(engine);
    join(engine, client.conn, room).unwrap();
    client
}

fn join(engine: &Engine, conn: ConnId, room: &str) -> Result<u64, Error> {
    engine.join(conn, room, JoinOptions::default(), None).map(|joined| joined.position.seq)
}

impl Client {
    /// The opcode and payload of the next frame.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut header = [0; 2];
        self.stream.read_exact(&mut header).unwrap();
        let len = match header[1] {
            126 => {
                let mut len = [0; 2];
                self.stream.read_exact(&mut len).unwrap();
                u16::from_be_bytes(len) as usize
            }
            len => len as usize,
        };
        let mut payload = vec![0; len];
        self.stream.read_exact(&mut payload).unwrap();
        (header[0] & 0xF, payload)
    }

    /// The number at the beginning of the next message.
    fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.frame().1[..8].try_into().unwrap())
    }

    /// The next message of a session.
    fn envelope(&mut self) -> serde_json::Value {
        serde_json::from_slice(&self.frame().1).unwrap()
    }

    /// Reads to the end of the stream.
    fn end(&mut self) {
        let mut sink = vec![0; 64 << 10];
        loop {
            match self.stream.read(&mut sink) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Checks the condition repeatedly until it is true or the deadline passes.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for an event for which `find` returns something.
fn wait_event<T>(engine: &Engine, mut find: impl FnMut(Event) -> Option<T>) -> T {
    let mut found = None;
    wait_until("an event came", || {
        found = found.take().or_else(|| engine.events(1000, 0).into_iter().find_map(&mut find));
        found.is_some()
    });
    found.unwrap()
}

/// Runs a closure on the thread of a shard.
fn on_thread(queue: &Queue<Command<AnyLink>>, hook: impl FnOnce() + Send + 'static) -> bool {
    queue.push(Command::Test(Hook(Box::new(hook))), 0)
}

/// Blocks a shard until the test waits at the returned barrier.
fn stall(engine: &Engine, shard: usize) -> Arc<Barrier> {
    let barrier = Arc::new(Barrier::new(2));
    let theirs = Arc::clone(&barrier);
    let shard = &engine.shards[shard];
    if on_thread(&shard.queue, move || {
        theirs.wait();
        theirs.wait();
    }) {
        shard.wake();
    }
    barrier.wait();
    barrier
}
