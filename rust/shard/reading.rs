//! What a shard reads. Each connection has one short read and then the next has its own, so that nobody's flood delays the
//! others. What has come counts at once, but for messages, which go to the host; a connection that has too many on their
//! way, or sends too fast, is not read for a while.
//!
//! The heartbeat takes nobody for dead who is not read, and tells clients whose own would give up.

use std::cmp::Reverse;
use std::io::ErrorKind;
use std::mem;
use std::sync::Arc;

use crate::limit::Limit;
use crate::queues::batch::{Messages, Piece};
use crate::queues::command::{Cause, Event, Source};
use crate::shard::inbound::{Inbound, Item};
use crate::shard::rate_limit::Rates;
use crate::shard::{Link, Shard};
use crate::slots::ConnId;
use crate::wire::decoder::Violation;
use crate::wire::frame;
use crate::wire::table::close_code;

/// The reading side of a connection that has a link.
#[derive(Debug)]
pub(super) struct Reading {
    inbound: Inbound,
    /// Read elsewhere, and not looked at yet.
    fed: Vec<u8>,
    /// There may be something to read.
    is_ready: bool,
    /// The last read has not emptied the socket.
    has_much: bool,
    /// The end of what comes is there, perhaps behind more.
    is_hung_up: bool,
    /// It stands in the list of those with something to read.
    is_listed: bool,
    /// It has so many messages on their way to the host as it may have.
    pub(super) is_full: bool,
    /// The host wants no messages now.
    pub(super) is_held: bool,
    /// The peer has ended its side, and our close frame is still to leave.
    pub(super) is_ended: bool,
    /// Writing has failed: what has come still counts, and then it is over.
    is_broken: bool,
    /// Bytes that still may come, and do not count, after its last that did.
    left: usize,
    /// Bytes that are counted for a message that is coming.
    held: usize,
    slowed_until_us: u64,
    /// When the connection is failed, and with what, unless the host does it before.
    failing: Option<(u64, u16, &'static str)>,
    /// A timer stands for the message that is coming; when the next is due for a client that is not heard.
    has_deadline: bool,
    vouch_us: u64,
    /// How often the host had asked for events when that was last looked at.
    asked: Option<u64>,
}

impl Reading {
    fn may_read(&self, now_us: u64) -> bool {
        !self.is_full && !self.is_held && !self.is_ended && self.left > 0 && self.slowed_until_us <= now_us
    }

    /// Whether its pings and pongs are not heard, which is not its fault.
    pub(super) fn is_unheard(&self, now_us: u64) -> bool {
        self.is_full || self.is_held || self.failing.is_some() || self.slowed_until_us > now_us
    }

    /// What comes from here on does not count, and is read only to see the end.
    pub(super) fn retire(&mut self) {
        (self.is_full, self.is_held, self.slowed_until_us) = (false, false, 0);
        // It stands in the list by another id.
        (self.is_listed, self.is_ready) = (false, true);
    }

    /// Nothing that comes counts any more. Returns how many bytes were counted for a message that was coming.
    fn end(&mut self) -> usize {
        self.inbound.end();
        mem::take(&mut self.held)
    }

    /// Until when nothing should be read, if it is too fast.
    fn slow_down(&mut self, now_us: u64) -> Option<u64> {
        self.slowed_until_us = self.inbound.slowed_until_us();
        Some(self.slowed_until_us).filter(|&due_us| due_us > now_us)
    }

    /// Whether the peer's close frame has come, and nothing is unread: that would make the kernel reset the connection, and
    /// the peer might not hear why it ends.
    pub(super) fn is_done(&self) -> bool {
        self.inbound.has_closed() && !self.has_something()
    }

    fn has_something(&self) -> bool {
        self.is_ready || !self.fed.is_empty()
    }
}

impl<L: Link> Shard<L> {
    /// The link of a connection is read from now on.
    pub(super) fn begin(&mut self, conn: ConnId, Source { rest, times }: Source) {
        let settings = &self.settings.inbound;
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let Some(link) = &mut slot.link else { return };
        let is_watched = link.watch(conn).is_ok();
        #[expect(clippy::float_cmp, reason = "most clients have exactly this")]
        let rates = if times == 1.0 { Arc::clone(&self.rates) } else { Arc::new(Rates::new(&settings.rates, times)) };
        // What has come already is told as well, so that nothing is read in vain.
        let is_listed = !rest.is_empty();
        let session = slot.outbox.has_session().then(|| slot.outbox.form().codec);
        slot.reading = Some(Box::new(Reading {
            inbound: Inbound::new(settings, rates, session),
            fed: rest.into(),
            is_ready: false,
            has_much: false,
            is_hung_up: false,
            is_listed,
            is_full: false,
            is_held: false,
            is_ended: false,
            is_broken: false,
            left: usize::MAX,
            held: 0,
            slowed_until_us: 0,
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

    /// Something has changed on a link: there is something to read, perhaps its end, or it takes more.
    pub fn ready(&mut self, conn: ConnId, is_readable: bool, is_hung_up: bool, is_writable: bool) {
        if is_writable && self.slots.get_mut(conn).is_some_and(|slot| slot.is_blocked) {
            self.writable(conn);
        }
        if is_readable || is_hung_up {
            self.change_reading(conn, |reading| {
                reading.is_ready = true;
                reading.is_hung_up |= is_hung_up;
            });
        }
    }

    /// How often the host has asked for events; none: it has handled all that there were. `is_roomy`: what waits for it is
    /// far from all that may.
    pub fn host(&mut self, asked: Option<u64>, is_roomy: bool) {
        (self.asked, self.is_roomy) = (asked, is_roomy);
    }

    /// As many messages of a connection are on their way to the host as may be, until [`Command::ReadOn`].
    pub fn full(&mut self, conn: ConnId, now_us: u64) {
        self.change_reading(conn, |reading| reading.is_full = true);
        self.vouch_soon(conn, now_us);
    }

    /// Reads from at most `quota` connections, or fewer that send much; true when more have something to read.
    pub fn read(&mut self, quota: usize, now_us: u64) -> bool {
        // Each once, however much there is of it.
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

    pub(super) fn feed(&mut self, conn: ConnId, link: ConnId, bytes: Option<Box<[u8]>>, now_us: u64) {
        let Some(conn) = self.carried_by(conn, link) else { return };
        match bytes {
            Some(bytes) => self.change_reading(conn, |reading| reading.fed.extend_from_slice(&bytes)),
            None => self.change_reading(conn, |reading| reading.is_hung_up = true),
        }
        self.look_for_end(conn, now_us);
    }

    /// Changes how a connection is read, and lists it if it is to be read now.
    pub(super) fn change_reading(&mut self, conn: ConnId, change: impl FnOnce(&mut Reading)) {
        let Some(reading) = self.slots.get_mut(conn).and_then(|slot| slot.reading.as_mut()) else { return };
        change(reading);
        if reading.has_something() && !reading.is_listed {
            reading.is_listed = true;
            self.readable.push_back(conn);
        }
    }

    /// What a link carries now: the connection or, once that has gone on without it, what is left of the link.
    pub(super) fn carried_by(&mut self, conn: ConnId, link: ConnId) -> Option<ConnId> {
        if let Some(&id) = self.retired.get(&link) {
            return Some(id);
        }
        let mut is_carried =
            |id| self.slots.get_mut(id).is_some_and(|slot| slot.link.is_some() && slot.link_id == link);
        [conn, link].into_iter().find(|&id| is_carried(id))
    }

    /// Writing has failed. What has come before still counts: perhaps it ends with a close frame.
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

    pub(super) fn forget_reading(&mut self, reading: Option<Box<Reading>>) {
        self.unfinished.subtract(reading.map_or(0, |reading| reading.held));
    }

    /// Returns how many short reads that was worth.
    fn read_one(&mut self, conn: ConnId, now_us: u64) -> usize {
        let Self { slots, buffer, is_roomy, .. } = self;
        let Some(slot) = slots.get_mut(conn) else { return 1 };
        let (Some(link), Some(reading)) = (&mut slot.link, &mut slot.reading) else { return 1 };
        reading.is_listed = false;
        if !reading.may_read(now_us) {
            return 1;
        }
        let wanted = reading.inbound.wanted(reading.has_much && *is_roomy).min(buffer.len());
        let read = if reading.fed.is_empty() {
            let read = link.read(&mut buffer[..wanted]);
            match &read {
                // A short read has emptied the socket, but for the end that may be behind it.
                Ok(read) => {
                    reading.has_much = *read == wanted;
                    reading.is_ready = reading.has_much || (*read > 0 && reading.is_hung_up);
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
            link.fed(read);
            Ok(read)
        };
        let work = read.as_ref().map_or(1, |read| read / SHORT).max(1);
        match read {
            Ok(0) => self.peer_ended(conn, now_us),
            Ok(read) => self.hear(conn, read, now_us),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.lose(conn, Cause::Reset),
        }
        self.look_for_end(conn, now_us);
        self.change_reading(conn, |_| {});
        work
    }

    /// What is read elsewhere has no read that returns 0.
    fn look_for_end(&mut self, conn: ConnId, now_us: u64) {
        let reading = self.slots.get_mut(conn).and_then(|slot| slot.reading.as_mut());
        if reading.is_some_and(|reading| reading.is_hung_up && !reading.is_ended && !reading.has_something()) {
            self.peer_ended(conn, now_us);
        }
    }

    /// The peer has ended its side.
    fn peer_ended(&mut self, conn: ConnId, now_us: u64) {
        let reading = self.slots.get_mut(conn).and_then(|slot| slot.reading.as_mut());
        if let Some((_, code, reason)) = reading.and_then(|reading| reading.failing.take()) {
            self.close(conn, frame::close(Some(code), reason), true, now_us);
        }
        let Some(slot) = self.slots.get_mut(conn) else { return };
        let is_broken = slot.reading.as_ref().is_some_and(|reading| reading.is_broken);
        if is_broken || !slot.outbox.is_closing() {
            self.lose(conn, if is_broken { Cause::Reset } else { Cause::Eof });
        } else if slot.outbox.is_empty() {
            self.end_because(conn, Cause::Over);
        } else if let Some(reading) = &mut slot.reading {
            // The answer to its close frame is still to leave, within `close_timeout`.
            reading.is_ended = true;
        }
    }

    /// What has come lies in the buffer.
    fn hear(&mut self, conn: ConnId, read: usize, now_us: u64) {
        let Self { slots, buffer, heard, settings, .. } = self;
        let Some(slot) = slots.get_mut(conn) else { return };
        let name = slot.name(conn);
        let is_open = !slot.outbox.is_closing();
        let Some(reading) = &mut slot.reading else { return };
        if reading.inbound.is_over() {
            // A peer that goes on sending is not read to the end.
            reading.left = reading.left.min(LINGER).saturating_sub(read);
            return;
        }
        let answers_probe = |payload: &[u8]| settings.probe_key.number(conn, payload).is_some();
        reading.inbound.hear(&mut buffer[..read], &settings.inbound, is_open, answers_probe, now_us, heard);
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
        let (mut told, mut heard) = (0, mem::take(heard));
        for what in heard.items.drain(..) {
            match what {
                Item::Messages(count) => {
                    let piece = Piece::new(heard.batch.take(told..told + count));
                    told += count;
                    let messages = piece.map(Messages::new);
                    self.events.extend(messages.map(|messages| Event::Messages { conn: name, of: conn, messages }));
                }
                // The answers to what came before it are to leave first, if that does not take long.
                Item::Broke(violation) if told > 0 => self.fail_soon(conn, violation, now_us),
                what => self.take_control(conn, what, now_us),
            }
        }
        heard.batch.clear();
        self.heard = heard;
        if grown > 0 && self.unfinished.is_over(0) {
            let reason = "the server is short of memory";
            self.fail(
                conn,
                Violation { code: close_code::TRY_AGAIN_LATER, reason, limit: Some(Limit::Inbound) },
                now_us,
            );
        }
        if told > 0 {
            self.vouch_soon(conn, now_us);
        }
    }
}

/// Bytes of a short read.
const SHORT: usize = 4096;

/// Bytes of a peer that are read although they do not count any more: with what is unread its end of the connection would
/// be reset, and not hear why.
const LINGER: usize = 256 << 10;

mod items;
mod timers;
