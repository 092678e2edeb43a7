//! Timers of a shard: pings, missing pongs, and closes that take too long.
//!
//! A ping and its pong wait behind what is under way in both directions. A large message over a slow link takes longer
//! than any timeout, so a late pong ends a connection only if nothing moves ([`Ping::is_alive`]).

use std::cmp::Reverse;

use crate::queues::command::Cause;
use crate::shard::tcp_info::TcpInfo;
use crate::shard::{Conn, Link, Shard, ShardSettings};
use crate::slots::ConnId;

/// A ping that waits for its pong.
#[derive(Debug)]
pub(super) struct Ping {
    /// Whether messages to the peer were waiting at some time since the ping, so that the ping had to wait, here or on
    /// the way.
    is_behind: bool,
    /// How many bytes the peer had taken when it last made progress, and when that was.
    taken: u64,
    taken_us: u64,
    /// When the kernel was last asked, and how much had come from the peer by then.
    looked_us: u64,
    received: u64,
}

impl Ping {
    fn new(info: Option<TcpInfo>, taken: u64, is_blocked: bool, settings: &ShardSettings, now_us: u64) -> Self {
        Self {
            is_behind: is_blocked || info.is_some_and(|info| is_much(info.unacked, settings)),
            taken,
            taken_us: now_us,
            looked_us: now_us,
            received: info.map_or(0, |info| info.received),
        }
    }

    /// Whether the peer is alive although its pong is late. It is alive in three cases:
    ///
    /// * Bytes from it are unread, so the pong may be among them.
    /// * It sends at least `min_rate` bytes a second, so the pong may come after them.
    /// * Messages to it were waiting, and it takes at least `min_rate` bytes a second of them. Between two steps it may
    ///   pause for as long as a write may take. Its kernel must acknowledge something meanwhile, if there is anything to
    ///   acknowledge.
    ///
    /// If nothing was waiting for the peer, bytes that its kernel takes are no sign of life.
    fn is_alive(&mut self, info: TcpInfo, taken: u64, is_blocked: bool, settings: &ShardSettings, now_us: u64) -> bool {
        let ShardSettings { ping_timeout_us, write_timeout_us, min_rate, .. } = *settings;
        let came = info.received.saturating_sub(self.received);
        let is_sending = came >= bytes_in(min_rate, now_us - self.looked_us).max(1);
        (self.looked_us, self.received) = (now_us, info.received);
        let is_behind = is_blocked || is_much(info.unacked, settings);
        self.is_behind |= is_behind;
        if is_behind && taken.saturating_sub(self.taken) >= bytes_in(min_rate, now_us - self.taken_us).max(1) {
            (self.taken, self.taken_us) = (taken, now_us);
        }
        let is_heard = info.unacked == 0 || info.silent_us <= ping_timeout_us.max(PROBE_US);
        info.unread > 0 || is_sending || (self.is_behind && is_heard && now_us - self.taken_us <= write_timeout_us)
    }
}

impl<L: Link> Shard<L> {
    pub(super) fn fire(&mut self, conn: ConnId, now_us: u64) {
        let Some(slot) = self.slots.get_mut(conn) else { return };
        if slot.outbox.is_closing() {
            if now_us >= slot.due_us {
                self.close_is_late(conn, now_us);
            }
        } else if slot.ping.is_some() {
            self.pong_is_late(conn, now_us);
        } else if now_us < slot.due_us {
            let next = slot.due_us;
            self.timers.push(Reverse((next, conn)));
        } else if slot.link.is_none() {
            slot.due_us = now_us + self.settings.ping_interval_us;
            self.timers.push(Reverse((slot.due_us, conn)));
        } else {
            self.send_ping(conn, now_us);
        }
    }

    fn send_ping(&mut self, conn: ConnId, now_us: u64) {
        self.stats.pings.add(1);
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let is_one_way = slot.outbox.form().framing.is_one_way();
        self.with_outbox(conn, |outbox| {
            // In an event stream, a heartbeat in an envelope makes the other one superfluous.
            if !(is_one_way && outbox.form().codec.has_envelopes()) {
                outbox.push_ping();
            }
            outbox.push_heartbeat();
        });
        let ShardSettings { ping_interval_us, ping_timeout_us, .. } = self.settings;
        let Some(slot) = self.slots.get_mut(conn) else { return };
        slot.due_us = now_us + ping_interval_us;
        if is_one_way && !slot.outbox.has_session() {
            // The client cannot answer. TCP finds out whether it is there.
            self.timers.push(Reverse((slot.due_us, conn)));
            return;
        }
        self.timers.push(Reverse((now_us + ping_timeout_us, conn)));
        if slot.ping.is_none() {
            let info = slot.link.as_ref().and_then(Link::tcp_info);
            let taken = slot.taken(info).unwrap_or(0);
            slot.ping = Some(Box::new(Ping::new(info, taken, slot.is_blocked, &self.settings, now_us)));
        }
    }

    fn pong_is_late(&mut self, conn: ConnId, now_us: u64) {
        let Self { slots, settings, timers, .. } = self;
        let Some(slot) = slots.get_mut(conn) else { return };
        let info = slot.link.as_ref().and_then(Link::tcp_info);
        let taken = slot.taken(info).unwrap_or(0);
        let is_alive = match (&mut slot.ping, info) {
            (Some(ping), Some(info)) => ping.is_alive(info, taken, slot.is_blocked, settings, now_us),
            _ => false,
        } || slot.reading.as_ref().is_some_and(|reading| reading.is_unheard(now_us));
        if is_alive {
            // Pings again, because the acknowledgement of the ping shows whether the peer's kernel is there.
            return self.send_ping(conn, now_us);
        }
        if slot.outbox.has_session() {
            // The session goes on, and so does its timer.
            timers.push(Reverse((slot.due_us, conn)));
        }
        self.stats.unanswered.add(1);
        self.lose(conn, Cause::Unanswered);
    }

    /// Gives a closing connection more time as long as the peer takes what waits before the close frame.
    fn close_is_late(&mut self, conn: ConnId, now_us: u64) {
        let Self { slots, settings, timers, .. } = self;
        let Some(slot) = slots.get_mut(conn) else { return };
        let taken = slot.taken(slot.link.as_ref().and_then(Link::tcp_info));
        if let (Some(now), Some(before)) = (taken, slot.taken)
            && now.saturating_sub(before) >= bytes_in(settings.min_rate, settings.close_timeout_us).max(1)
        {
            slot.taken = taken;
            slot.due_us = now_us + settings.close_timeout_us;
            timers.push(Reverse((slot.due_us, conn)));
            return;
        }
        self.end_because(conn, Cause::CloseTimeout);
    }
}

impl<L: Link> Conn<L> {
    /// Returns how many bytes of what the link took are at the peer's kernel; none if that is unknown.
    pub(super) fn taken(&self, info: Option<TcpInfo>) -> Option<u64> {
        info.map(|info| self.written.saturating_sub(info.unacked))
    }
}

/// Whether this many bytes under way can delay a ping past its timeout. A few are always under way.
fn is_much(unacked: u64, settings: &ShardSettings) -> bool {
    unacked > bytes_in(settings.min_rate, settings.ping_timeout_us)
}

/// Returns the bytes that `rate` a second makes in `us` microseconds.
pub(super) fn bytes_in(rate: u64, us: u64) -> u64 {
    (u128::from(rate) * u128::from(us) / 1_000_000) as u64
}

/// Microseconds within which a living kernel answers: it probes a closed window every few seconds.
const PROBE_US: u64 = 5_000_000;
