//! The thread of TLS handshakes. One takes up to a thousand times as long as a read, so they delay neither connections
//! that are open nor other newcomers.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use mio::{Poll, Registry};
use rustc_hash::FxHashMap;

use crate::io::driver::{WAKE, guarded};
use crate::io::link::AnyLink;
use crate::io::lobby::Lobby;
use crate::io::mailbox::Mailbox;
use crate::io::priority;
use crate::io::socket_link::SocketLink;
use crate::io::tls_link::TlsLink;
use crate::newcomers::{Insecure, TlsFailure};
use crate::slots::ConnId;
use crate::tls::config::TlsConfig;
use crate::tls::failure::{NotTls, check_first, reason};
use crate::tls::info::TlsInfo;

/// The thread of TLS handshakes, and what it works on.
#[derive(Debug)]
pub struct Handshaker {
    /// Where newcomers come from, and go to.
    pub lobby: Lobby,
    /// The poll of the links and the waker.
    pub poll: Poll,
    /// The registry of the poll.
    pub registry: Arc<Registry>,
    /// The newcomers to take.
    pub mailbox: Arc<Mailbox<Insecure<AnyLink>>>,
    /// The present settings. A handshake that has begun keeps those that it began with.
    pub config: Arc<Mutex<TlsConfig>>,
    /// The reason, if a thread of the engine has failed.
    pub failure: Arc<OnceLock<String>>,
    /// When the engine's clock started.
    pub started: Instant,
    /// The handshakes that are under way.
    pub under_way: Handshakes,
}

/// Handshakes, and when each has to be over.
#[derive(Debug, Default)]
pub struct Handshakes {
    links: FxHashMap<ConnId, Shaking>,
    /// In the order in which they came, some of which are over.
    due: VecDeque<(u64, ConnId)>,
}

/// How far a handshake is.
#[derive(Debug)]
enum Shaking {
    /// Nothing has come.
    Silent(SocketLink),
    /// The client speaks TLS.
    Begun(Box<TlsLink>),
}

/// What a step of a handshake leads to.
enum HandshakeStep {
    Waits(Shaking),
    Over(Shaken),
}

/// How a handshake ends.
type Shaken = Result<(Box<TlsLink>, TlsInfo), TlsFailure<AnyLink>>;

impl Handshaker {
    /// Runs until it is told to stop, the poll fails or something panics. Then ends all handshakes.
    pub fn run(mut self) {
        priority::patient();
        let (mailbox, failure, events) =
            (Arc::clone(&self.mailbox), Arc::clone(&self.failure), Arc::clone(&self.lobby.events));
        guarded(move || self.work(), &failure, &events, || mailbox.stop());
    }

    fn work(&mut self) -> io::Result<()> {
        let mut come = Vec::new();
        let mut ready = mio::Events::with_capacity(256);
        loop {
            if !self.mailbox.take(&mut come) {
                return Ok(());
            }
            for insecure in come.drain(..) {
                self.begin(insecure);
            }
            let next_us = self.end_late();
            let wait = if self.mailbox.sleep() {
                let now_us = self.now_us();
                next_us.map(|next_us| Duration::from_micros(next_us.saturating_sub(now_us)))
            } else {
                Some(Duration::ZERO)
            };
            match self.poll.poll(&mut ready, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for event in ready.iter().filter(|event| event.token() != WAKE) {
                self.go_on(ConnId::from_u64(event.token().0 as u64));
            }
        }
    }

    fn begin(&mut self, Insecure { id, link, since_us }: Insecure<AnyLink>) {
        let AnyLink::Socket(mut socket) = link else { return self.end(id, Err(TlsFailure::Silent)) };
        socket.change_registry(&self.registry);
        if socket.watch(id).is_err() {
            return self.end(id, Err(TlsFailure::Silent));
        }
        // The oldest handshake has had most of its time.
        if self.under_way.links.len() >= MOST
            && let Some((_, oldest)) = self.under_way.oldest()
        {
            self.under_way.links.remove(&oldest);
            self.end(oldest, Err(TlsFailure::Gone("too many other clients began one meanwhile".into())));
        }
        let due_us = since_us + self.config().handshake_timeout_us;
        self.under_way.links.insert(id, Shaking::Silent(socket));
        self.under_way.due.push_back((due_us, id));
        // Mostly the client has said something already.
        self.go_on(id);
    }

    fn go_on(&mut self, id: ConnId) {
        let Some(shaking) = self.under_way.links.remove(&id) else { return };
        let step = match shaking {
            Shaking::Silent(socket) => self.greet(socket),
            Shaking::Begun(link) => shake(link),
        };
        match step {
            HandshakeStep::Waits(shaking) => drop(self.under_way.links.insert(id, shaking)),
            HandshakeStep::Over(shaken) => self.end(id, shaken),
        }
    }

    /// Looks at the first bytes, and begins a session if they are TLS.
    fn greet(&self, socket: SocketLink) -> HandshakeStep {
        let mut first = [0; FIRST];
        let come = match socket.peek(&mut first) {
            Ok(0) => return fail(TlsFailure::Silent),
            Ok(come) => come,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return HandshakeStep::Waits(Shaking::Silent(socket));
            }
            Err(_) => return fail(TlsFailure::Silent),
        };
        match check_first(&first[..come]) {
            Ok(()) => {}
            Err(NotTls::Http) => return fail(TlsFailure::Http(AnyLink::Socket(socket))),
            Err(NotTls::Other) => return fail(TlsFailure::Gone("what the client sends is not TLS".into())),
        }
        match TlsLink::new(socket, self.config().server) {
            Ok(link) => shake(Box::new(link)),
            Err(error) => fail(TlsFailure::Gone(error.to_string().into())),
        }
    }

    /// Gives a newcomer back.
    fn end(&self, id: ConnId, shaken: Shaken) {
        let now_us = self.now_us();
        match shaken {
            Ok((link, info)) => {
                let mut link = AnyLink::Tls(link);
                link.change_registry(&self.lobby.registry);
                self.lobby.change(|newcomers| newcomers.secured(id, link, info, now_us));
            }
            Err(mut failure) => {
                if let TlsFailure::Failed(link, _) | TlsFailure::Http(link) = &mut failure {
                    link.change_registry(&self.lobby.registry);
                }
                self.lobby.change(|newcomers| newcomers.failed(id, failure, now_us));
            }
        }
    }

    /// Ends handshakes whose time is over. Returns when to call it again.
    fn end_late(&mut self) -> Option<u64> {
        let now_us = self.now_us();
        while let Some((due_us, id)) = self.under_way.oldest() {
            if due_us > now_us {
                return Some(due_us);
            }
            self.under_way.links.remove(&id);
            self.end(id, Err(TlsFailure::Late));
        }
        None
    }

    fn config(&self) -> TlsConfig {
        // No code that can panic runs under this lock, so a poisoned lock is usable.
        self.config.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

impl Handshakes {
    /// Returns the handshake that has to be over first.
    fn oldest(&mut self) -> Option<(u64, ConnId)> {
        while let Some(&(due_us, id)) = self.due.front() {
            if self.links.contains_key(&id) {
                return Some((due_us, id));
            }
            self.due.pop_front();
        }
        None
    }
}

/// Goes on with a handshake.
fn shake(mut link: Box<TlsLink>) -> HandshakeStep {
    match link.shake_hands() {
        Ok(Some(info)) => HandshakeStep::Over(Ok((link, info))),
        Ok(None) => HandshakeStep::Waits(Shaking::Begun(link)),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            // The alert says to the client what is wrong.
            let socket = link.into_socket();
            socket.finish();
            fail(TlsFailure::Failed(AnyLink::Socket(socket), reason(&error)))
        }
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            fail(TlsFailure::Gone("the client has ended the connection".into()))
        }
        Err(error) => fail(TlsFailure::Gone(reason(&error))),
    }
}

fn fail(failure: TlsFailure<AnyLink>) -> HandshakeStep {
    HandshakeStep::Over(Err(failure))
}

/// The limit on handshakes at once. Each takes some kilobytes, and at most about 64 if its client sends that much.
const MOST: usize = 4096;

/// The first bytes that are looked at: enough to tell TLS from the methods of HTTP.
const FIRST: usize = 5;
