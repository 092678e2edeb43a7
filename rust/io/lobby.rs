//! The newcomers, as all threads but the acceptor's reach them.

use std::sync::{Arc, Mutex, MutexGuard};

use mio::{Registry, Waker};

use crate::io::link::AnyLink;
use crate::newcomers::Newcomers;
use crate::queues::events::Events;

/// The newcomers, and whom to tell after a change.
#[derive(Debug, Clone)]
pub struct Lobby {
    /// The state machine. Nothing blocks while it is locked.
    pub newcomers: Arc<Mutex<Newcomers<AnyLink>>>,
    /// The registry of the acceptor's poll, for the links of newcomers.
    pub registry: Arc<Registry>,
    /// Wakes the acceptor.
    pub waker: Arc<Waker>,
    /// Events to the host.
    pub events: Arc<Events>,
}

impl Lobby {
    /// Locks the newcomers, to ask something.
    pub fn lock(&self) -> MutexGuard<'_, Newcomers<AnyLink>> {
        // After a panic the acceptor only ends all newcomers, which works in any state.
        self.newcomers.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Changes the newcomers. Tells the host what has happened, and the acceptor if a timer is due earlier.
    pub fn change(&self, change: impl FnOnce(&mut Newcomers<AnyLink>)) {
        let (events, is_early) = {
            let mut newcomers = self.lock();
            change(&mut newcomers);
            (newcomers.take(), newcomers.is_early())
        };
        // Only messages count for the credit of a connection, and these events are none.
        self.events.extend(events, &mut Vec::new());
        if is_early {
            self.wake();
        }
    }

    /// Wakes the acceptor.
    pub fn wake(&self) {
        // Fails only if the descriptor is broken; the thread then wakes at its next timer.
        let _ = self.waker.wake();
    }
}
