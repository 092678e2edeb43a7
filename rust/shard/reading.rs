//! What a shard reads. Connections are read in turn, one short read each, so that one that floods does not delay the
//! others. The shard itself acts on control frames and reports; messages go to the host. A connection that has too many
//! messages on their way to the host, or sends too fast, is not read for a while.
//!
//! A connection that is not read is not taken for dead, and its client is sent pongs, so that it does not give up.

use std::cmp::Reverse;
use std::io::ErrorKind;
use std::mem;
use std::sync::Arc;

use crate::limit::Limit;
use crate::protocol::form::{Deflate, Form};
use crate::queues::batch::{Messages, Piece};
use crate::queues::command::{Cause, Event, Source};
use crate::shard::inbound::{Inbound, InboundItem};
use crate::shard::rate_limit::Rates;
use crate::shard::{Link, Shard};
use crate::slots::ConnId;
use crate::wire::decoder::Violation;
use crate::wire::table::close_code;

/// The reading side of a connection that has a link.
#[derive(Debug)]
pub(super) struct ReadingSide {
    inbound: Inbound,
    /// Bytes that have come another way than over the link, and are not decoded yet.
    fed: Vec<u8>,
    /// Whether the socket may have something to read.
    is_ready: bool,
    /// Whether the last read filled its buffer, so that the socket probably has more.
    has_much: bool,
    /// Whether the end of the peer's side was announced. There may be bytes before it.
    is_hung_up: bool,
    /// Whether the connection stands in `Shard::readable`.
    is_listed: bool,
    /// Whether its credit for messages on their way to the host is used up.
    pub(super) is_full: bool,
    /// Whether the host has asked for no more messages ([`Command::Hold`](crate::queues::command::Command::Hold)).
    pub(super) is_held: bool,
    /// Whether the peer has ended its side while our close frame still has to be written.
    pub(super) is_ended: bool,
    /// Whether a write has failed. What has come is still read, and then the connection ends.
    is_broken: bool,
    /// Bytes that are still read and thrown away once nothing counts any more; see [`LINGER`].
    left: usize,
    /// Bytes that the peer of a one-way link has sent over it, which count for nothing.
    stray: usize,
    /// Bytes that `Shard::unfinished` counts for the incomplete message.
    held: usize,
    /// Until when nothing is read, because the client sends too fast.
    slowed_until_us: u64,
    /// When the host was last given a message; 0: never.
    told_us: u64,
    /// When the connection is failed, with this code and reason, unless the host closes it first.
    failing: Option<(u64, u16, &'static str)>,
    /// Whether a timer is set for the incomplete message.
    has_deadline: bool,
    /// When to check next whether the client needs a pong; 0: no timer is set.
    vouch_us: u64,
    /// How often the host had asked for events at the last such check.
    asked: Option<u64>,
}

impl ReadingSide {
    fn may_read(&self, now_us: u64) -> bool {
        !self.is_full && !self.is_held && !self.is_ended && self.left > 0 && self.slowed_until_us <= now_us
    }

    /// Whether pings and pongs of the client may lie unread, so that their absence proves nothing.
    pub(super) fn is_unheard(&self, now_us: u64) -> bool {
        self.is_full || self.is_held || self.failing.is_some() || self.slowed_until_us > now_us
    }

    /// Prepares a link that was retired: it is read only to find its end.
    pub(super) fn retire(&mut self) {
        (self.is_full, self.is_held, self.slowed_until_us) = (false, false, 0);
        // The list has its former id.
        (self.is_listed, self.is_ready) = (false, true);
    }

    /// Makes everything that follows count for nothing. Returns the bytes that were counted for an incomplete message.
    fn end(&mut self) -> usize {
        self.inbound.end();
        mem::take(&mut self.held)
    }

    /// Notes until when nothing should be read. Returns that time if it lies in the future.
    fn slow_down(&mut self, now_us: u64) -> Option<u64> {
        self.slowed_until_us = self.inbound.slowed_until_us();
        Some(self.slowed_until_us).filter(|&due_us| due_us > now_us)
    }

    /// Whether the peer's close frame has come, unless the link is one-way, and nothing is unread. Closing a socket with
    /// unread bytes makes the kernel reset it, and the peer may lose our close frame.
    pub(super) fn is_done(&self, is_one_way: bool) -> bool {
        if is_one_way { !self.is_ready } else { self.inbound.has_closed() && !self.has_something() }
    }

    /// Whether nothing counts any more of what the peer says: its close frame or a violation has come.
    pub(super) fn has_said_all(&self) -> bool {
        self.inbound.is_over()
    }

    fn has_something(&self) -> bool {
        self.is_ready || !self.fed.is_empty()
    }
}

impl<L: Link> Shard<L> {
    /// Starts to read the link of a connection.
    pub(super) fn begin(&mut self, conn: ConnId, Source { rest, times }: Source) {
        let settings = &self.settings.inbound;
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let Some(link) = &mut slot.link else { return };
        let is_watched = link.watch(conn).is_ok();
        #[expect(clippy::float_cmp, reason = "most clients have exactly this")]
        let rates = if times == 1.0 { Arc::clone(&self.rates) } else { Arc::new(Rates::new(&settings.rates, times)) };
        // If bytes came already, the poll announces them too, so the socket need not be tried here.
        let is_ready = link.has_more();
        let is_listed = !rest.is_empty() || is_ready;
        let Form { codec, deflate, .. } = slot.outbox.form();
        let session = slot.outbox.has_session().then_some(codec);
        slot.reading = Some(Box::new(ReadingSide {
            inbound: Inbound::new(settings, rates, session).inflating(deflate != Deflate::None),
            fed: rest.into(),
            is_ready,
            has_much: false,
            is_hung_up: false,
            is_listed,
            is_full: false,
            is_held: false,
            is_ended: false,
            is_broken: false,
            left: usize::MAX,
            stray: 0,
            held: 0,
            slowed_until_us: 0,
            told_us: 0,
            failing: None,
            has_deadline: false,
            vouch_us: 0,
            asked: None,
        }));
        if is_listed {
            self.readable.push_back(conn);
        }
        if !is_watched {
            self.lose(conn, Cause::Reset);
        }
    }

    /// Notes what the poll says of a link: whether it can be read, whether its end has come, whether it takes more.
    pub fn ready(&mut self, conn: ConnId, is_readable: bool, is_hung_up: bool, is_writable: bool) {
        let slot = self.slots.get_mut(conn).filter(|_| is_writable);
        if slot.is_some_and(|slot| slot.is_blocked || slot.link.as_ref().is_some_and(Link::has_unsent)) {
            self.writable(conn);
        }
        if is_readable || is_hung_up {
            self.change_reading(conn, |reading| {
                reading.is_ready = true;
                reading.is_hung_up |= is_hung_up;
            });
        }
    }

    /// Notes how often the host has asked for events (none if it has handled all of them), and whether much less waits
    /// for it than may.
    pub fn host(&mut self, asked: Option<u64>, is_roomy: bool) {
        (self.asked, self.is_roomy) = (asked, is_roomy);
    }

    /// Stops reading a connection whose credit is used up, until `Command::ReadOn`.
    pub fn full(&mut self, conn: ConnId, now_us: u64) {
        self.change_reading(conn, |reading| reading.is_full = true);
        self.vouch_soon(conn, now_us);
    }

    /// Reads from at most `quota` connections, or from fewer if they send much. Returns whether more can be read.
    pub fn read(&mut self, quota: usize, now_us: u64) -> bool {
        // Each connection is read at most once in a call.
        let mut left = self.readable.len();
        let mut work = 0;
        while left > 0
            && work < quota
            && let Some(conn) = self.readable.pop_front()
        {
            left -= 1;
            work += self.read_one(conn, now_us);
        }
        !self.readable.is_empty()
    }

    /// Changes how a connection is read, and lists it if it can be read now.
    pub(super) fn change_reading(&mut self, conn: ConnId, change: impl FnOnce(&mut ReadingSide)) {
        let Some(reading) = self.slots.get_mut(conn).and_then(|slot| slot.reading.as_mut()) else { return };
        change(reading);
        if reading.has_something() && !reading.is_listed {
            reading.is_listed = true;
            self.readable.push_back(conn);
        }
    }

    /// Returns the id under which a link is kept now: that of its connection, or its own if it was retired.
    pub(super) fn carried_by(&mut self, conn: ConnId, link: ConnId) -> Option<ConnId> {
        if let Some(&id) = self.retired.get(&link) {
            return Some(id);
        }
        let mut is_carried =
            |id| self.slots.get_mut(id).is_some_and(|slot| slot.link.is_some() && slot.link_id == link);
        [conn, link].into_iter().find(|&id| is_carried(id))
    }

    /// Notes that a write has failed. What has come is still read, because a close frame may be in it.
    pub(super) fn write_failed(&mut self, conn: ConnId, now_us: u64) {
        match self.slots.get_mut(conn) {
            Some(slot) if slot.reading.as_ref().is_some_and(|reading| reading.may_read(now_us)) => {
                slot.is_blocked = true;
            }
            _ => return self.lose(conn, Cause::Reset),
        }
        self.change_reading(conn, |reading| {
            (reading.is_ready, reading.is_hung_up, reading.is_broken) = (true, true, true);
        });
    }

    /// Gives back what was counted for the reading side of a connection that has ended.
    pub(super) fn forget_reading(&mut self, reading: Option<Box<ReadingSide>>) {
        self.unfinished.subtract(reading.map_or(0, |reading| reading.held));
    }

    /// Reads once from a connection. Returns the work in short reads, at least 1.
    fn read_one(&mut self, conn: ConnId, now_us: u64) -> usize {
        let Self { slots, buffer, is_roomy, .. } = self;
        let Some(slot) = slots.get_mut(conn) else { return 1 };
        let (Some(link), Some(reading)) = (&mut slot.link, &mut slot.reading) else { return 1 };
        reading.is_listed = false;
        if !reading.may_read(now_us) {
            return 1;
        }
        let wanted = reading.inbound.wanted(reading.has_much && *is_roomy).min(buffer.len());
        let is_one_way = slot.outbox.form().framing.is_one_way();
        let (link_id, is_fed) = (slot.link_id, !reading.fed.is_empty());
        let read = if !is_fed {
            let read = link.read(&mut buffer[..wanted]);
            match &read {
                // A read that did not fill the buffer has emptied the link, unless that says otherwise. The end may still
                // follow.
                Ok(read) => {
                    reading.has_much = *read == wanted;
                    reading.is_ready = reading.has_much || (*read > 0 && (reading.is_hung_up || link.has_more()));
                }
                Err(error) => reading.is_ready = error.kind() == ErrorKind::Interrupted,
            }
            read
        } else {
            let read = wanted.min(reading.fed.len());
            buffer[..read].copy_from_slice(&reading.fed[..read]);
            reading.fed.drain(..read);
            if reading.fed.is_empty() {
                reading.fed = Vec::new();
            }
            Ok(read)
        };
        let mut bytes = *read.as_ref().unwrap_or(&0);
        match read {
            Ok(0) => self.peer_ended(conn, now_us),
            Ok(read) if is_one_way && !is_fed => self.stray(conn, read),
            Ok(read) => {
                bytes = bytes.max(self.hear(conn, read, now_us));
                if is_one_way {
                    self.events.push(Event::Read { conn: link_id, bytes: read });
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.lose(conn, Cause::Reset),
        }
        self.look_for_end(conn, now_us);
        self.change_reading(conn, |_| {});
        (bytes / SHORT).max(1)
    }

    /// Ends a link whose end was announced once everything before it is read.
    fn look_for_end(&mut self, conn: ConnId, now_us: u64) {
        let reading = self.slots.get_mut(conn).and_then(|slot| slot.reading.as_mut());
        if reading.is_some_and(|reading| reading.is_hung_up && !reading.is_ended && !reading.has_something()) {
            self.peer_ended(conn, now_us);
        }
    }

    /// Handles the end of the peer's side (FIN).
    fn peer_ended(&mut self, conn: ConnId, now_us: u64) {
        let reading = self.slots.get_mut(conn).and_then(|slot| slot.reading.as_mut());
        if let Some((_, code, reason)) = reading.and_then(|reading| reading.failing.take()) {
            self.close(conn, Some(code), reason, true, now_us);
        }
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let is_broken = slot.reading.as_ref().is_some_and(|reading| reading.is_broken);
        if is_broken || !slot.outbox.is_closing() {
            self.lose(conn, if is_broken { Cause::Reset } else { Cause::Eof });
        } else if slot.outbox.is_empty() && !slot.link.as_ref().is_some_and(Link::has_unsent) {
            self.end_because(conn, Cause::Over);
        } else if let Some(reading) = &mut slot.reading {
            // The answer to its close frame still has to be written, within `close_timeout`.
            reading.is_ended = true;
        }
    }

    /// Decodes the first `read` bytes of the buffer, and acts on what they hold. Returns the bytes of the messages.
    fn hear(&mut self, conn: ConnId, read: usize, now_us: u64) -> usize {
        let Self { slots, buffer, heard, settings, .. } = self;
        let Some(slot) = slots.get_mut(conn) else { return 0 };
        let name = slot.name(conn);
        let is_open = !slot.outbox.is_closing();
        let Some(reading) = &mut slot.reading else { return 0 };
        if reading.inbound.is_over() {
            // A peer that never stops sending is not read for ever.
            reading.left = reading.left.min(LINGER).saturating_sub(read);
            return 0;
        }
        let answers_probe = |payload: &[u8]| settings.probe_key.number(conn, payload).is_some();
        let decoded =
            reading.inbound.hear(&mut buffer[..read], &settings.inbound, is_open, answers_probe, now_us, heard);
        if decoded < read && !reading.inbound.is_over() {
            reading.fed.splice(..0, buffer[decoded..read].iter().copied());
        }
        if let Some(due_us) = reading.slow_down(now_us) {
            self.reading_timers.push(Reverse((due_us, conn)));
        }
        if !reading.has_deadline
            && let Some(due_us) = reading.inbound.deadline_us(&settings.inbound)
        {
            reading.has_deadline = true;
            self.reading_timers.push(Reverse((due_us, conn)));
        }
        let held = reading.inbound.held();
        let grown = held.saturating_sub(reading.held);
        self.unfinished.add(grown);
        self.unfinished.subtract(reading.held.saturating_sub(held));
        reading.held = held;
        let was_told = reading.told_us > 0 && now_us.saturating_sub(reading.told_us) < items::PATIENCE_US;
        let (mut told, mut heard) = (0, mem::take(heard));
        let bytes = heard.bytes;
        self.stats.received_bytes.add(decoded as u64);
        for what in heard.items.drain(..) {
            match what {
                InboundItem::Messages(count) => {
                    let piece = Piece::new(heard.batch.take(told..told + count));
                    told += count;
                    let messages = piece.map(Messages::new);
                    self.events.extend(messages.map(|messages| Event::Messages { conn: name, of: conn, messages }));
                }
                // The host may first answer the messages that came before, if that does not take long.
                InboundItem::Broke(violation) if told > 0 || was_told => self.fail_soon(conn, violation, now_us),
                what => self.take_control(conn, what, now_us),
            }
        }
        heard.batch.clear();
        self.heard = heard;
        if let Some(slot) = self.slots.get_mut(conn)
            && slot.reading.as_ref().is_some_and(|reading| reading.has_said_all())
            && slot.link.as_ref().is_some_and(|link| !link.ends_when_dropped())
        {
            // The end of our side may have waited for this.
            slot.mark_dirty(conn, &mut self.dirty);
        }
        if grown > 0 && self.unfinished.is_over(0) {
            let reason = "the server is short of memory";
            self.fail(
                conn,
                Violation { code: close_code::TRY_AGAIN_LATER, reason, limit: Some(Limit::Inbound) },
                now_us,
            );
        }
        if told > 0 {
            self.stats.received.add(told as u64);
            self.vouch_soon(conn, now_us);
            if let Some(reading) = self.slots.get_mut(conn).and_then(|slot| slot.reading.as_mut()) {
                reading.told_us = now_us.max(1);
            }
        }
        bytes
    }
}

/// The bytes of a short read, which is the unit of work.
const SHORT: usize = 4096;

/// Bytes that are read and thrown away when nothing counts any more. Closing a socket with unread bytes makes the
/// kernel reset it, and the peer may lose our close frame.
const LINGER: usize = 256 << 10;

mod items;
mod one_way;
mod timers;
