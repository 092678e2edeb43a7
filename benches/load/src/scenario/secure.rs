//! Handshakes of TLS and nothing after them, on any server of TLS: connecting, the handshake, closing. Not WebSockets. Who
//! asks what they cost the server reads its CPU time before and after (benches/tls/handshakes.py).

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};
use serde_json::{Map, Value, json};
use socket2::SockRef;

use crate::bench::{Common, float, round};
use crate::clock::{self, SECOND};
use crate::histogram::Histogram;
use crate::wire::{self, Version};

/// A server that says nothing for so long is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Handshakes of TLS alone.
#[derive(Debug, Args)]
pub struct Secure {
    #[command(flatten)]
    pub(super) common: Common,
    /// Handshakes, all clients together, unless `--seconds` are over before.
    #[arg(long, default_value_t = 2000)]
    connects: u64,
    /// Clients at a time, each a thread.
    #[arg(long, default_value_t = 4)]
    width: u64,
    /// Each client resumes its session, after the first handshake.
    #[arg(long)]
    resume: bool,
    /// Ask for AES-128 first, as browsers do.
    #[arg(long)]
    browser: bool,
    /// No TLS: what connecting and closing cost alone.
    #[arg(long)]
    plain: bool,
    /// End with standard input, which must be a pipe, if that is earlier.
    #[arg(long)]
    leash: bool,
}

/// What the visits of one client, or of all, have come to.
#[derive(Debug, Default)]
struct Visits {
    full: u64,
    resumed: u64,
    failed: u64,
    latency: Histogram,
    suite: Option<String>,
}

impl Secure {
    pub(super) fn run(&self) -> Result<Map<String, Value>> {
        let version = self.common.tls.unwrap_or(Version::Tls13);
        let (start, cpu) = (clock::now(), clock::cpu());
        let until = start + clock::nanos(self.common.seconds);
        let width = self.width.max(1);
        let (share, is_over) = (self.connects.div_ceil(width), Arc::new(AtomicBool::new(false)));
        if self.leash {
            let is_over = Arc::clone(&is_over);
            // It ends with the process at the latest; no thread waits for it.
            thread::spawn(move || {
                _ = io::copy(&mut io::stdin(), &mut io::sink());
                is_over.store(true, Ordering::Relaxed);
            });
        }
        let is_over = &*is_over;
        let visits = thread::scope(|scope| {
            let clients: Vec<_> =
                (0..width).map(|_| scope.spawn(move || self.client(version, share, until, is_over))).collect();
            let mut all = Visits::default();
            for client in clients {
                all.add(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
            }
            anyhow::Ok(all)
        })?;
        let (wall, used) = (clock::now() - start, clock::cpu() - cpu);
        let done = visits.full + visits.resumed;
        ensure!(done > 0, "no handshake succeeded");
        let parameters = json!({
            "connects": self.connects, "width": width, "resume": self.resume, "plain": self.plain, "browser": self.browser,
            "version": if version == Version::Tls12 { "1.2" } else { "1.3" },
        });
        let mut map = super::head("secure", &self.common, parameters);
        let Value::Object(found) = json!({
            "handshakes": done,
            "full": visits.full,
            "resumed": visits.resumed,
            "failed": visits.failed,
            "handshakes_per_s": round(float(done) * float(SECOND) / float(wall), 0),
            "latency_us": visits.latency.summary(),
            "suite": visits.suite,
            "wall_s": round(float(wall) / float(SECOND), 3),
            "client_cpu": round(float(used) / float(wall), 3),
        }) else {
            return Ok(map);
        };
        map.extend(found);
        Ok(map)
    }

    fn client(&self, version: Version, share: u64, until: u64, is_over: &AtomicBool) -> Result<Visits> {
        let resumption = if self.resume { Resumption::in_memory_sessions(8) } else { Resumption::disabled() };
        let config = wire::config(version, self.browser, resumption)?;
        let address = (Ipv4Addr::LOCALHOST, self.common.port).into();
        let mut visits = Visits::default();
        for _ in 0..share {
            if clock::now() >= until || is_over.load(Ordering::Relaxed) {
                break;
            }
            let start = clock::now();
            match self.visit(address, &config) {
                Ok((kind, suite, opened)) => {
                    visits.latency.record(opened - start);
                    visits.suite = suite;
                    match kind {
                        Some(HandshakeKind::Resumed) => visits.resumed += 1,
                        _ => visits.full += 1,
                    }
                }
                Err(_) if visits.full > 0 => visits.failed += 1,
                Err(error) => {
                    is_over.store(true, Ordering::Relaxed);
                    return Err(error).context("the first handshake of a client");
                }
            }
        }
        Ok(visits)
    }

    /// Connects, shakes hands and closes; the server has closed, too, when this returns, and has told all its tickets.
    fn visit(
        &self,
        address: SocketAddr,
        config: &Arc<ClientConfig>,
    ) -> Result<(Option<HandshakeKind>, Option<String>, u64)> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        if self.plain {
            let opened = clock::now();
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
            return Ok((None, None, opened));
        }
        let mut session = ClientConnection::new(Arc::clone(config), wire::name())?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        let opened = clock::now();
        let suite = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        session.send_close_notify();
        while session.wants_write() {
            session.write_tls(&mut stream)?;
        }
        stream.flush()?;
        while session.read_tls(&mut stream).is_ok_and(|size| size > 0) {
            session.process_new_packets()?;
        }
        // No port stays in TIME_WAIT.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        Ok((session.handshake_kind(), suite, opened))
    }
}

impl Visits {
    fn add(&mut self, other: Self) {
        self.full += other.full;
        self.resumed += other.resumed;
        self.failed += other.failed;
        self.latency.add(&other.latency);
        self.suite = self.suite.take().or(other.suite);
    }
}
