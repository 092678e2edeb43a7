//! TLS: its settings, and the threads of handshakes and tunnels.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use mio::{Poll, Registry};
use rustc_hash::FxHashMap;

use crate::engine::{Engine, lock};
use crate::error::Error;
use crate::io::handshaker::{Handshaker, Handshakes};
use crate::io::link::AnyLink;
use crate::io::mailbox::Mailbox;
use crate::io::tunnel::Tunnel;
use crate::io::tunnels::{Returned, TunnelCommand, Tunnels};
use crate::slots::ConnId;
use crate::tls::config::{CertificateFacts, TlsConfig, TlsSettings};

/// The engine's side of TLS. The threads start with the first settings.
#[derive(Debug, Default)]
pub(super) struct TlsHandle(OnceLock<Running>);

#[derive(Debug)]
struct Running {
    config: Arc<Mutex<TlsConfig>>,
    tunnels: Arc<Mailbox<TunnelCommand>>,
    registry: Arc<Registry>,
}

impl Engine {
    /// Sets the certificates and the rules for TLS. May be called at any time: handshakes that begin later follow the
    /// new settings, and connections that are open stay as they are. Returns what each certificate says of itself.
    /// Fails, and changes nothing, if a file is not right.
    pub fn set_tls(&self, settings: &TlsSettings<'_>) -> Result<Vec<CertificateFacts>, Error> {
        self.check()?;
        let (config, facts) = TlsConfig::new(settings).map_err(Error::Invalid)?;
        // Under this lock, so that the threads start once.
        let mut threads = lock(&self.threads);
        self.check()?;
        if let Some(running) = self.tls.0.get() {
            *lock(&running.config) = config;
            return Ok(facts);
        }
        let config = Arc::new(Mutex::new(config));
        let (poll, registry) = new_poll()?;
        let insecure = Arc::new(Mailbox::new(&registry)?);
        let handshaker = Handshaker {
            lobby: self.acceptor.lobby.clone(),
            poll,
            registry,
            mailbox: Arc::clone(&insecure),
            config: Arc::clone(&config),
            failure: Arc::clone(&self.failure),
            started: self.builder.started(),
            under_way: Handshakes::default(),
        };
        let (poll, registry) = new_poll()?;
        let tunnels = Arc::new(Mailbox::new(&registry)?);
        let runner = Tunnels {
            lobby: self.acceptor.lobby.clone(),
            poll,
            registry: Arc::clone(&registry),
            mailbox: Arc::clone(&tunnels),
            failure: Arc::clone(&self.failure),
            started: self.builder.started(),
            tunnels: FxHashMap::default(),
        };
        threads.push(thread::Builder::new().name("fanwire-tls".into()).spawn(|| handshaker.run())?);
        let thread = thread::Builder::new().name("fanwire-tunnel".into()).spawn(|| runner.run());
        threads.push(thread.inspect_err(|_| insecure.stop())?);
        // The lock above keeps other threads from setting them.
        let _ = self.tls.0.set(Running { config, tunnels, registry });
        let _ = self.acceptor.insecure.set(insecure);
        Ok(facts)
    }

    /// Begins a tunnel to a newcomer with TLS. Returns the host's end of it.
    pub(super) fn begin_tunnel(&self, id: ConnId, link: AnyLink) -> io::Result<OwnedFd> {
        let running = self.tls.0.get().ok_or(io::ErrorKind::NotConnected)?;
        let (tunnel, fd) = Tunnel::new(link, &running.registry)?;
        running.tunnels.push(TunnelCommand::Begin(id, tunnel));
        Ok(fd)
    }

    /// Ends a tunnel whose end the host gives back. Its newcomer comes back once it was sent all before that.
    pub(super) fn end_tunnel(&self, id: ConnId, theirs: OwnedFd, received: Vec<u8>) {
        if let Some(running) = self.tls.0.get() {
            running.tunnels.push(TunnelCommand::Return(id, Returned { theirs, received }));
        }
    }

    pub(super) fn stop_tls(&self) {
        if let Some(running) = self.tls.0.get() {
            running.tunnels.stop();
        }
        if let Some(insecure) = self.acceptor.insecure.get() {
            insecure.stop();
        }
    }
}

fn new_poll() -> io::Result<(Poll, Arc<Registry>)> {
    let poll = Poll::new()?;
    let registry = Arc::new(poll.registry().try_clone()?);
    Ok((poll, registry))
}
