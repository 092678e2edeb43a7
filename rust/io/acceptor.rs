//! The thread that accepts connections. It also reads newcomers, so that they do not delay the shards.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{io, mem, thread};

use mio::Poll;

use crate::io::driver::{WAKE, panic_text};
use crate::io::link::AnyLink;
use crate::io::lobby::Lobby;
use crate::io::mailbox::Mailbox;
use crate::io::priority;
use crate::io::socket_link::SocketLink;
use crate::newcomers::{Insecure, SHARD};
use crate::queues::command::Event;
use crate::queues::queue::Queue;
use crate::slots::ConnId;
use crate::wire::refusal::{About, Refusal};

pub use self::listener::{Arrived, Listener};
pub use self::outage::Outage;

/// The acceptor's thread, and what it works on.
#[derive(Debug)]
pub struct Acceptor {
    /// The newcomers, which the host's threads use too, and the events to the host.
    pub lobby: Lobby,
    /// The poll of listeners, newcomers and the waker.
    pub poll: Poll,
    /// Where newcomers go whose listener has TLS, once there is such a listener.
    pub insecure: Arc<OnceLock<Arc<Mailbox<Insecure<AnyLink>>>>>,
    /// Commands to the acceptor.
    pub queue: Arc<Queue<AcceptorCommand>>,
    /// The reason, if a thread of the engine has failed.
    pub failure: Arc<OnceLock<String>>,
    /// When the engine's clock started.
    pub started: Instant,
    /// The present time in which connections cannot be accepted, if there is one.
    pub outage: Outage,
}

/// A command to the acceptor.
#[derive(Debug)]
pub enum AcceptorCommand {
    /// Accept connections from this listener too.
    Listen(Listener),
    /// Stop accepting, and report when that is done.
    Close(SyncSender<()>),
    /// Refuse a newcomer.
    Refuse(ConnId, Refusal),
}

impl Acceptor {
    /// Runs until the queue is stopped, the poll fails or something panics. Then ends all newcomers.
    pub fn run(mut self) {
        // Newcomers must not delay connections that are open.
        priority::patient();
        let mut listeners = Vec::new();
        let result = catch_unwind(AssertUnwindSafe(|| self.work(&mut listeners)));
        let what = match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(panic) => Some(panic_text(&*panic)),
        };
        if let Some(what) = what {
            let _ = self.queue.stop();
            let _ = self.failure.set(what.clone());
            self.tell([Event::Failed { what }]);
        }
        // After a panic the state may be broken, and panic again.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.lobby.lock().abort();
            drop(listeners);
        }));
    }

    fn work(&mut self, listeners: &mut Vec<Listener>) -> io::Result<()> {
        let mut told = Vec::new();
        let mut ready = mio::Events::with_capacity(256);
        loop {
            if !self.queue.take(&mut told) {
                return Ok(());
            }
            let now_us = self.now_us();
            for told in told.drain(..) {
                match told {
                    AcceptorCommand::Listen(listener) => listeners.push(listener),
                    AcceptorCommand::Refuse(id, refusal) => self.lobby.lock().refuse(id, refusal, now_us),
                    AcceptorCommand::Close(done) => {
                        self.close(mem::take(listeners));
                        // The other side may have stopped waiting.
                        let _ = done.try_send(());
                    }
                }
            }
            let (is_busy, retry_us) = self.accept(listeners, now_us);
            let next_us = self.lobby.lock().tick(now_us);
            self.pass_on();
            let wait = if is_busy || !self.queue.sleep() {
                // The host and the shards may share this core, and serve the connections that are open.
                thread::yield_now();
                Some(Duration::ZERO)
            } else {
                let next_us = [next_us, retry_us].into_iter().flatten().min();
                next_us.map(|next_us| Duration::from_micros(next_us.saturating_sub(now_us)))
            };
            match self.poll.poll(&mut ready, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let now_us = self.now_us();
            for event in ready.iter().filter(|event| event.token() != WAKE) {
                let id = ConnId::from_u64(event.token().0 as u64);
                if id.shard() == SHARD {
                    let is_gone = event.is_error() || event.is_write_closed();
                    self.lobby.lock().ready(id, is_gone, now_us);
                } else if let Some(listener) = listeners.iter_mut().find(|listener| listener.token == event.token()) {
                    listener.wake();
                }
            }
        }
    }

    /// Accepts a few connections. Returns whether more wait, and when to try again after a failure.
    fn accept(&mut self, listeners: &mut [Listener], now_us: u64) -> (bool, Option<u64>) {
        let mut arrived = Vec::new();
        let mut retry_us: Option<u64> = None;
        for listener in listeners.iter_mut() {
            match listener.accept(ACCEPTS, &mut arrived, now_us) {
                Ok(()) => {}
                Err(error) => {
                    let what = self.outage.failed(&error, now_us);
                    self.say(what);
                }
            }
            retry_us = retry_us.into_iter().chain(listener.retry_us).min();
        }
        let what = self.outage.ended(now_us);
        self.say(what);
        retry_us = retry_us.into_iter().chain(self.outage.due_us()).min();
        for Arrived { socket, options, address } in arrived {
            let link = AnyLink::Socket(SocketLink::accepted(socket, Arc::clone(&self.lobby.registry)));
            self.lobby.lock().arrive(link, options, address, now_us);
        }
        (listeners.iter().any(|listener| listener.is_ready), retry_us)
    }

    /// Closes the listeners. That would reset the connections that wait in the kernel, so they are accepted first, and
    /// those with a request are answered.
    fn close(&mut self, mut listeners: Vec<Listener>) {
        self.lobby.lock().close();
        for listener in &mut listeners {
            listener.is_ready = true;
        }
        let mut left = LAST;
        while left > 0 && self.accept(&mut listeners, self.now_us()).0 {
            left -= 1;
        }
        drop(listeners);
        self.pass_on();
    }

    /// Passes on what the newcomers have for the host, and those whose TLS handshake has to begin.
    fn pass_on(&self) {
        let (events, insecure) = {
            let mut newcomers = self.lobby.lock();
            (newcomers.take(), newcomers.take_insecure())
        };
        self.tell(events);
        if let Some(mailbox) = self.insecure.get() {
            insecure.into_iter().for_each(|insecure| mailbox.push(insecure));
        }
    }

    fn say(&self, what: Option<String>) {
        self.tell(what.map(|what| Event::TurnedAway {
            remote: String::new(),
            status: 0,
            reason: what.into(),
            suppressed: 0,
            asked: About::default(),
        }));
    }

    fn tell(&self, events: impl IntoIterator<Item = Event>) {
        // Only messages use up credit, and there are none among these.
        self.lobby.events.extend(events, &mut Vec::new());
    }

    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

/// The limit on connections that are accepted from one listener in one turn.
const ACCEPTS: usize = 16;

/// The limit on turns in which the last connections are accepted: the default backlog. Each turn accepts at least one.
const LAST: usize = 4096;

mod listener;
mod outage;
