//! What a shard does by the clock: pings, pongs that do not come, closes that take too long.
//!
//! A ping and its pong wait behind what is under way, in both directions: a large message over a slow link takes longer
//! than any timeout. So a pong that is late ends a connection only when nothing moves ([`Ping::is_alive`]).

use std::cmp::Reverse;

use crate::queues::command::Cause;
use crate::shard::tcp_info::TcpInfo;
use crate::shard::{Conn, Link, Shard, ShardSettings};
use crate::slots::ConnId;
use crate::wire::frame::{self, Opcode};

/// A ping that waits for its pong.
#[derive(Debug)]
pub(super) struct Ping {
    /// Whether the peer was behind with what it was sent, then or since: so the ping had to wait, here or on the way.
    is_behind: bool,
    /// How many bytes the peer had taken when it last made progress with that, and when that was.
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

    /// Whether the peer lives, though its pong is late.
    ///
    /// Either the host has not read all that came: the pong may be in it. Or the peer sends, at least `min_rate` bytes a
    /// second: the pong comes behind that. Or it is behind with what it was
    /// sent, and takes `min_rate` bytes a second of it; between two such steps it has as long as a write has. Its kernel
    /// must answer meanwhile, if there is anything to be acknowledged. What the kernel of a peer takes that is not behind
    /// says nothing of the peer.
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
        self.with_outbox(conn, |outbox| {
            let payload = outbox.ping_payload();
            outbox.push_ping(frame::control(Opcode::Ping, payload.as_ref().map_or(&[], |payload| payload)));
            outbox.push_heartbeat();
        });
        let ShardSettings { ping_interval_us, ping_timeout_us, .. } = self.settings;
        let Some(slot) = self.slots.get_mut(conn) else { return };
        slot.due_us = now_us + ping_interval_us;
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
            // Once more: whether its kernel is still there shows by what it has to acknowledge.
            return self.send_ping(conn, now_us);
        }
        if slot.outbox.has_session() {
            // A session goes on, and so does its timer.
            timers.push(Reverse((slot.due_us, conn)));
        }
        self.stats.unanswered.add(1);
        self.lose(conn, Cause::Unanswered);
    }

    /// A closing connection has more time as long as the peer takes what waits before the close frame.
    fn close_is_late(&mut self, conn: ConnId, now_us: u64) {
        let Self { slots, settings, timers, .. } = self;
        let Some(slot) = slots.get_mut(conn) else { return };
        let taken = slot.taken(slot.link.as_ref().and_then(Link::tcp_info));
        if let (Some(now), Some(before)) = (taken, slot.taken)
            && now - before >= bytes_in(settings.min_rate, settings.close_timeout_us).max(1)
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
    /// Bytes that the peer's kernel has of what the link has taken; none where that is unknown.
    pub(super) fn taken(&self, info: Option<TcpInfo>) -> Option<u64> {
        info.map(|info| self.written.saturating_sub(info.unacked))
    }
}

/// Whether so many bytes under way may keep a ping for longer than its timeout. A few are always under way somewhere.
fn is_much(unacked: u64, settings: &ShardSettings) -> bool {
    unacked > bytes_in(settings.min_rate, settings.ping_timeout_us)
}

/// Bytes that `rate` a second makes in so many microseconds.
pub(super) fn bytes_in(rate: u64, us: u64) -> u64 {
    (u128::from(rate) * u128::from(us) / 1_000_000) as u64
}

/// Microseconds within which a kernel answers at least: probes of a window that is shut come every few seconds.
const PROBE_US: u64 = 5_000_000;
