//! The thread of tunnels. See [`Tunnel`].

use std::collections::hash_map::Entry;
use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mio::{Poll, Registry};
use rustc_hash::FxHashMap;

use crate::io::driver::{WAKE, guarded};
use crate::io::lobby::Lobby;
use crate::io::mailbox::Mailbox;
use crate::io::priority;
use crate::io::tunnel::{Tunnel, TunnelProgress};
use crate::newcomers::SHARD;
use crate::slots::ConnId;

/// The thread of tunnels, and what it works on.
#[derive(Debug)]
pub struct Tunnels {
    /// Where newcomers go that the host gives back.
    pub lobby: Lobby,
    /// The poll of the tunnels' ends and the waker.
    pub poll: Poll,
    /// The registry of the poll.
    pub registry: Arc<Registry>,
    /// Commands to the thread.
    pub mailbox: Arc<Mailbox<TunnelCommand>>,
    /// The reason, if a thread of the engine has failed.
    pub failure: Arc<OnceLock<String>>,
    /// When the engine's clock started.
    pub started: Instant,
    /// The tunnels by newcomer.
    pub tunnels: FxHashMap<ConnId, Dug>,
}

/// A command to the thread of tunnels.
#[derive(Debug)]
pub enum TunnelCommand {
    /// Begin a tunnel to this newcomer.
    Begin(ConnId, Tunnel),
    /// End it, because the host gives the newcomer back.
    Return(ConnId, Returned),
}

/// What the host gives back.
#[derive(Debug)]
pub struct Returned {
    /// The host's end.
    pub theirs: OwnedFd,
    /// What the host has read of the next request.
    pub received: Vec<u8>,
}

/// A tunnel at work.
#[derive(Debug)]
pub struct Dug {
    tunnel: Tunnel,
    /// Set when the host has given its end back, until the client has been sent all before that.
    returned: Option<Returned>,
}

impl Tunnels {
    /// Runs until it is told to stop, the poll fails or something panics. Then ends all tunnels.
    pub fn run(mut self) {
        priority::patient();
        let (mailbox, failure, events) =
            (Arc::clone(&self.mailbox), Arc::clone(&self.failure), Arc::clone(&self.lobby.events));
        guarded(move || self.work(), &failure, &events, || mailbox.stop());
    }

    fn work(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ].into_boxed_slice();
        let mut told = Vec::new();
        let mut ready = mio::Events::with_capacity(256);
        // Those that can go on. Each gets a turn, so that a fast client does not delay the others.
        let (mut turn, mut again) = (Vec::new(), Vec::new());
        loop {
            if !self.mailbox.take(&mut told) {
                return Ok(());
            }
            for command in told.drain(..) {
                turn.extend(self.take(command));
            }
            turn.sort_unstable();
            turn.dedup();
            for id in turn.drain(..) {
                if self.go_on(id, &mut buffer) {
                    again.push(id);
                }
            }
            mem::swap(&mut turn, &mut again);
            let wait = if turn.is_empty() && self.mailbox.sleep() { None } else { Some(Duration::ZERO) };
            match self.poll.poll(&mut ready, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for event in ready.iter().filter(|event| event.token() != WAKE) {
                let id = ConnId::from_u64(event.token().0 as u64);
                let is_host = id.shard() != SHARD;
                let id = if is_host { id.twin() } else { id };
                if is_host
                    && event.is_write_closed()
                    && let Some(Dug { tunnel, .. }) = self.tunnels.get_mut(&id)
                {
                    tunnel.leave();
                }
                turn.push(id);
            }
        }
    }

    /// Takes a command. Returns the newcomer whose tunnel can go on.
    fn take(&mut self, command: TunnelCommand) -> Option<ConnId> {
        match command {
            TunnelCommand::Begin(id, mut tunnel) => {
                if tunnel.watch([id, id.twin()]).is_err() {
                    self.end(id, tunnel);
                    return None;
                }
                self.tunnels.insert(id, Dug { tunnel, returned: None });
                Some(id)
            }
            TunnelCommand::Return(id, returned) => match self.tunnels.entry(id) {
                Entry::Occupied(mut dug) => {
                    dug.get_mut().returned = Some(returned);
                    Some(id)
                }
                // The client has gone.
                Entry::Vacant(_) => {
                    self.lobby.change(|newcomers| newcomers.left(id));
                    None
                }
            },
        }
    }

    /// Lets a tunnel go on. Returns whether it could do more at once.
    fn go_on(&mut self, id: ConnId, buffer: &mut [u8]) -> bool {
        let Some(Dug { tunnel, returned }) = self.tunnels.get_mut(&id) else { return false };
        let is_returned = returned.is_some();
        let progress = match is_returned {
            false => tunnel.go_on(buffer),
            true => tunnel
                .is_drained(buffer)
                .map(|is_done| if is_done { TunnelProgress::Over } else { TunnelProgress::Waits }),
        };
        match progress {
            Ok(TunnelProgress::Waits) => return false,
            Ok(TunnelProgress::More) => return true,
            Ok(TunnelProgress::Over) | Err(_) => {}
        }
        let Some(Dug { tunnel, returned }) = self.tunnels.remove(&id) else { return false };
        match returned {
            Some(returned) if progress.is_ok() => self.give_back(tunnel, returned, id, buffer),
            _ => self.end(id, tunnel),
        }
        false
    }

    /// Closes both ends, which the host notices, and gives up the place of the newcomer.
    fn end(&self, id: ConnId, tunnel: Tunnel) {
        drop(tunnel);
        self.lobby.change(|newcomers| newcomers.left(id));
    }

    /// Gives a newcomer back that the host has given back.
    fn give_back(&self, tunnel: Tunnel, returned: Returned, id: ConnId, buffer: &mut [u8]) {
        let Returned { theirs, mut received } = returned;
        match tunnel.end(&theirs, buffer) {
            Ok((mut link, mut unread)) => {
                received.append(&mut unread);
                link.change_registry(&self.lobby.registry);
                let now_us = self.started.elapsed().as_micros() as u64;
                self.lobby.change(|newcomers| newcomers.take_back(id, link, &received, now_us));
            }
            Err(_) => self.lobby.change(|newcomers| newcomers.left(id)),
        }
    }
}

/// The limit on bytes of one read, and so on what each way of a tunnel holds.
const READ: usize = 64 << 10;
