//! Rooms with a tick. What is published waits in the room; at the edge of its rate all of it is numbered and handed to
//! the shards in one go. A thread of its own sleeps until the next edge, or until something waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use mio::Waker;

use crate::engine::message_builder::{Draft, Stamp};
use crate::engine::publish::{checked, wake_all, whole};
use crate::engine::{Engine, lock};
use crate::error::Error;
use crate::io::priority;
use crate::message::{Delivery, Message, OVERHEAD, Role};
use crate::protocol::codec::Codec;
use crate::protocol::form::Form;
use crate::queues::command::{Command, Event};
use crate::room::pending::Held;
use crate::room::table::RoomEntry;
use crate::room::ticks::{Due, TickStats, Ticks};
use crate::slots::ConnId;

/// The rates, and what all rooms together have waiting.
#[derive(Debug, Default)]
pub struct Ticker {
    state: Mutex<TickerState>,
    changed: Condvar,
    /// The bytes that wait in all rooms.
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct TickerState {
    ticks: Ticks,
    is_running: bool,
    is_stopped: bool,
}

/// A message that was numbered, and the connections that do not get it.
type Numbered = (Arc<Message>, Box<[ConnId]>);

impl Engine {
    /// Starts the thread that waits for edges, once there is a room that needs it.
    pub fn begin_ticks(self: &Arc<Self>) -> Result<(), Error> {
        self.check()?;
        let mut state = lock(&self.ticker.state);
        if !std::mem::replace(&mut state.is_running, true) {
            let engine = Arc::downgrade(self);
            let ticker = Arc::clone(&self.ticker);
            let (started, started_us) = (self.builder.started(), self.builder.unix_us(0));
            let unix_us = move || started_us + started.elapsed().as_micros() as u64;
            let thread = thread::Builder::new().name("fanwire-tick".into());
            let thread = thread.spawn(move || ticker.run(&engine, unix_us))?;
            lock(&self.threads).push(thread);
        }
        Ok(())
    }

    /// Begins or ends to tell the host of each edge of a rate, by [`Event::Tick`]. It answers by [`Self::flush_tick`],
    /// and is told of no other edge before. Rooms of that rate leave then; after two intervals without it they leave by
    /// themselves.
    pub fn lead_tick(self: &Arc<Self>, hz: u32, is_led: bool) -> Result<(), Error> {
        self.begin_ticks()?;
        lock(&self.ticker.state).ticks.lead(hz, is_led, self.unix_us());
        self.ticker.changed.notify_one();
        Ok(())
    }

    /// Lets all rooms of a rate leave now, behind whole envelopes for some sessions, as [`Self::send_envelope`] sends
    /// them. What a session gets leaves with one write. Rooms of `stopped` that have another rate leave at their next
    /// edge. Returns the number of messages.
    pub fn flush_tick(
        &self,
        hz: u32,
        envelopes: &[(ConnId, Codec, &[u8])],
        stopped: &[String],
    ) -> Result<usize, Error> {
        self.check()?;
        let rooms = lock(&self.ticker.state).ticks.take_led(hz, self.unix_us());
        self.ticker.changed.notify_one();
        let mut wake = Vec::new();
        for &(conn, codec, envelope) in envelopes {
            let message = self.builder.message(whole(codec, envelope, Role::Whole))?;
            if let Some(shard) = self.shard_of(conn)
                && shard.queue.push(Command::Send { conn, message }, envelope.len() + OVERHEAD)
            {
                wake.push(Arc::clone(&shard.waker));
            }
        }
        for name in stopped {
            self.stop_in_tick(name, false)?;
        }
        Ok(self.let_leave(hz, rooms, wake))
    }

    /// Keeps what waits in a room at the edges of its tick, until this or [`Self::flush_tick`] ends that. A room without
    /// a tick is not changed.
    pub fn stop_in_tick(&self, name: &str, is_stopped: bool) -> Result<(), Error> {
        self.check()?;
        self.rooms.find(name, |RoomEntry { room, .. }| {
            if let Some(pending) = room.pending() {
                pending.is_stopped = is_stopped;
            }
        });
        Ok(())
    }

    /// Returns the number that the next message of a room's tick gets; the room's number if none waits.
    pub fn next_in_tick(&self, name: &str) -> Result<u64, Error> {
        self.check()?;
        let next = |RoomEntry { room, .. }: &mut RoomEntry| {
            let waits = room.pending().is_some_and(|pending| !pending.is_empty());
            room.position().seq + u64::from(waits)
        };
        Ok(self.rooms.find(name, next).unwrap_or_default())
    }

    /// Returns microseconds since 1970, by the clock that dates messages.
    pub fn unix_us(&self) -> u64 {
        self.builder.unix_us(self.builder.now_us())
    }

    /// Calls `see` with what is counted of each rate.
    pub fn tick_stats(&self, mut see: impl FnMut(u32, &TickStats)) {
        lock(&self.ticker.state).ticks.stats().for_each(|(hz, stats)| see(hz, stats));
    }

    /// Keeps a message until the edge of its room's tick.
    pub(super) fn keep_waiting(
        &self,
        RoomEntry { room, .. }: &mut RoomEntry,
        draft: Draft<'_>,
        foreign_ms: Option<u64>,
        origin: u64,
        except: &[ConnId],
        ticket: u64,
    ) -> Result<(), Error> {
        let delivery = checked(room, &draft, foreign_ms.is_some())?;
        let settings = room.settings();
        let Some(pending) = room.pending() else { return Ok(()) };
        let old = match delivery {
            Delivery::Latest => pending.value(draft.key.unwrap_or_default()).map(Held::size),
            _ => None,
        };
        if old.is_none() && pending.len() >= settings.max_keys {
            self.refused.fetch_add(1, Relaxed);
            let (what, limit) = ("the number of messages that wait for the tick of the room", settings.max_keys);
            return Err(Error::Overloaded { what, limit, field: "max_keys" });
        }
        let limit = self.settings.queue_bytes;
        if self.ticker.bytes.load(Relaxed) >= limit {
            self.refused.fetch_add(1, Relaxed);
            let what = "what waits for the ticks of all rooms (in bytes)";
            return Err(Error::Overloaded { what, limit, field: "queue_bytes" });
        }
        // Takes the key's place already now, so that the limit on keys is the publisher's error.
        let key = self.key(room, draft, delivery)?.map(|(_, name)| name);
        let tickets = if ticket == 0 { Vec::new() } else { vec![ticket] };
        let Draft { kind, payload, delivery, audience, .. } = draft;
        let audience = audience.map(Arc::clone);
        let (payload, except, now_us) = (payload.into(), except.into(), self.unix_us());
        let message =
            Held { kind, payload, key, delivery, except, held_us: now_us, foreign_ms, origin, audience, tickets };
        let name = Arc::clone(room.name());
        let Some(pending) = room.pending() else { return Ok(()) };
        let is_first = pending.is_empty();
        self.ticker.bytes.fetch_add(message.size(), Relaxed);
        self.ticker.bytes.fetch_sub(old.unwrap_or(0), Relaxed);
        pending.hold(message);
        if is_first && lock(&self.ticker.state).ticks.add(settings.tick, name, now_us) {
            self.ticker.changed.notify_one();
        }
        Ok(())
    }

    /// Publishes a message of another node, which was published at `ts_ms`.
    pub(crate) fn enter_live(
        &self,
        name: &str,
        draft: Draft<'_>,
        ts_ms: u64,
        origin: u64,
        wake: &mut Vec<Arc<Waker>>,
    ) -> Result<(), Error> {
        self.check_state()?;
        self.builder.check_foreign(draft)?;
        let rule = self.rooms.with(name, self.builder.now_us(), |entry| {
            if entry.room.settings().tick > 0 {
                self.keep_waiting(entry, draft, Some(ts_ms), origin, &[], 0)?;
            } else {
                let seq = entry.room.position().seq + 1;
                self.queue(entry, draft, Some(Stamp::new(seq, ts_ms)), origin, &[], wake)?;
            }
            Ok(entry.room.settings().rule)
        })?;
        self.count_published(rule);
        Ok(())
    }

    /// Removes a value that waits, because its key was forgotten at `until_us`, unless it was published later. Returns
    /// whether there was one, which no member and no history has had.
    pub(super) fn drop_waiting(&self, RoomEntry { room, .. }: &mut RoomEntry, key: &str, until_us: u64) -> bool {
        let seq = room.position().seq;
        let Some(pending) = room.pending() else { return false };
        if pending.value(key).is_none_or(|waiting| waiting.made_us() > until_us) {
            return false;
        }
        let Some(old) = pending.forget(key) else { return false };
        self.ticker.bytes.fetch_sub(old.size(), Relaxed);
        self.tell_numbers(old.tickets.into_iter().map(|ticket| (ticket, seq)).collect());
        true
    }

    /// Lets rooms of one rate leave. Returns the number of messages.
    fn let_leave(&self, hz: u32, rooms: Vec<Arc<str>>, mut wake: Vec<Arc<Waker>>) -> usize {
        let (mut messages, mut since_wake) = (0, 0);
        for name in rooms {
            match self.rooms.find(&name, |entry| self.leave_room(entry, &mut wake)) {
                Some(Ok(Some(count))) => (messages, since_wake) = (messages + count, since_wake + count),
                Some(Ok(None) | Err(_)) => {
                    // It was stopped, or a shard is full. Nothing is lost: the room waits for the next edge.
                    lock(&self.ticker.state).ticks.add(hz, name, self.unix_us());
                }
                None => {}
            }
            if since_wake >= WAKE_EVERY {
                since_wake = 0;
                wake_all(&mut wake);
            }
        }
        wake_all(&mut wake);
        lock(&self.ticker.state).ticks.left(hz, messages);
        messages
    }

    /// Returns the number of messages that have left; none: the room was stopped.
    fn leave_room(&self, entry: &mut RoomEntry, wake: &mut Vec<Arc<Waker>>) -> Result<Option<usize>, Error> {
        let RoomEntry { room, headcount } = &mut *entry;
        if room.pending().is_some_and(|pending| pending.is_stopped) {
            return Ok(None);
        }
        let has_members = headcount.total() > 0;
        self.refuse_if_full(self.shards_with(headcount))?;
        let waiting = room.pending().map(|pending| pending.take()).unwrap_or_default();
        let mut numbered: Vec<Numbered> = Vec::with_capacity(waiting.len());
        let mut numbers = Vec::new();
        for message in &waiting {
            self.ticker.bytes.fetch_sub(message.size(), Relaxed);
            let stamp = message.foreign_ms.map(|ts_ms| Stamp::new(room.position().seq + 1, ts_ms));
            let Held { kind, payload, key, delivery, .. } = message;
            let draft = Draft {
                kind: *kind,
                payload,
                role: Role::Data,
                id: None,
                ack: false,
                key: key.as_deref(),
                delivery: *delivery,
                audience: message.audience.as_ref(),
            };
            // Its class and its key were checked when it came. Only a key that was forgotten since may find no place.
            let Ok((seq, built)) = self.number(room, headcount, draft, stamp, message.origin, wake) else {
                self.refused.fetch_add(1, Relaxed);
                continue;
            };
            numbers.extend(message.tickets.iter().map(|&ticket| (ticket, seq)));
            numbered.extend(built.map(|built| (built, message.except.clone())));
        }
        if has_members {
            let most = (TOGETHER_WORK / headcount.total().max(1)).clamp(1, TOGETHER_MOST);
            for together in numbered.chunks(most) {
                for shard in self.shards_with(headcount) {
                    let (command, bytes) = together_command(together);
                    if shard.queue.push(command, bytes) {
                        wake.push(Arc::clone(&shard.waker));
                    }
                }
            }
        }
        self.tell_numbers(numbers);
        Ok(Some(waiting.len()))
    }

    fn tell_numbers(&self, numbers: Vec<(u64, u64)>) {
        if !numbers.is_empty() {
            self.events.extend([Event::Numbered { numbers }], &mut Vec::new());
        }
    }
}

impl Ticker {
    /// Ends the thread.
    pub fn stop(&self) {
        lock(&self.state).is_stopped = true;
        self.changed.notify_all();
    }

    fn run(&self, engine: &Weak<Engine>, unix_us: impl Fn() -> u64) {
        // An edge should be met even if the host's loop has the core.
        priority::prompt();
        while let Some(due) = self.wait(&unix_us) {
            let Some(engine) = engine.upgrade() else { return };
            match due {
                Due::Leave(hz, rooms) => {
                    engine.let_leave(hz, rooms, Vec::new());
                }
                Due::Call(hz, number) => engine.events.extend([Event::Tick { hz, number }], &mut Vec::new()),
            }
        }
    }

    /// Waits for the next edge at which there is something to do. Returns none at the end.
    fn wait(&self, unix_us: impl Fn() -> u64) -> Option<Due> {
        let mut state = lock(&self.state);
        loop {
            if state.is_stopped {
                return None;
            }
            let now_us = unix_us();
            if let Some(due) = state.ticks.take_due(now_us) {
                return Some(due);
            }
            state = match state.ticks.next_us() {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(next_us) => {
                    let wait = Duration::from_micros(next_us.saturating_sub(now_us));
                    self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

fn together_command<L>(together: &[Numbered]) -> (Command<L>, usize) {
    let bytes = together.iter().map(|(message, _)| message.cost(Form::RAW)).sum();
    let command =
        |(message, except): &Numbered| Command::Publish { message: Arc::clone(message), except: except.clone() };
    match together {
        [only] => (command(only), bytes),
        _ => (Command::Together(Box::new(together.iter().map(command).collect::<VecDeque<_>>())), bytes),
    }
}

/// Messages after which sleeping shards are woken, while more rooms leave: a fraction of a millisecond.
const WAKE_EVERY: usize = 1024;

/// The most messages that a shard takes together, so that one write to a member carries them.
const TOGETHER_MOST: usize = 1024;

/// The most references that it queues for them before it writes: about 50 ms.
const TOGETHER_WORK: usize = 1 << 20;
