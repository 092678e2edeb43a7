//! The reading side of one connection, from bytes to what counts of them: messages within their rates, control frames,
//! the end. Pure: no socket, and the clock is an argument.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::batch::{Batch, Received};
use crate::codec::Codec;
use crate::limit::Limit;
use crate::pace::{PING_WEIGHT, Pace, RateSettings, Rates};
use crate::report::Report;
use crate::surplus::{Refused, Surplus};
use crate::wire::decoder::{self, Decoder, Limits, Violation};
use crate::wire::table::close_code;

/// What all clients may send.
#[derive(Debug, Clone)]
pub struct InboundSettings {
    /// Sizes of messages.
    pub limits: Limits,
    /// How fast they may come.
    pub rates: RateSettings,
    /// Microseconds from the beginning of a message to its end.
    pub message_timeout_us: u64,
    /// Bytes a second of a message that take as much more time.
    pub min_rate: u64,
    /// Rates are only counted, not enforced.
    pub dry_run: bool,
}

/// What one read has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What has come, in its order.
    pub items: Vec<Item>,
    /// The messages.
    pub batch: Batch,
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// The next messages of the batch, so many.
    Messages(usize),
    /// A report of a session that is right. Any other is a message: the host says what is wrong.
    Report(Report),
    /// A message that is over its rate, to be refused: what the answer says of it, and after how many microseconds it may come
    /// again. It stands in the batch as well, so that the host counts it in its place.
    Refused(Refused, u64),
    /// A ping that is to be answered.
    Ping(Box<[u8]>),
    /// A pong.
    Pong(Box<[u8]>),
    /// The close frame.
    Close(Option<u16>, Box<str>),
    /// The client broke a rule, or goes on and on: its connection must be failed.
    Broke(Violation),
    /// A limit was passed, which is counted.
    Passed(Limit),
}

/// See the module's head.
#[derive(Debug)]
pub struct Inbound {
    decoder: Decoder,
    rates: Arc<Rates>,
    pace: Pace,
    /// A session can be told that it is too fast, and reports what it has received.
    session: Option<Codec>,
    /// The newest probe that was answered. Payloads of probes rise, and nobody else can make them.
    answered: Box<[u8]>,
    /// Since when a message is coming.
    begun_us: Option<u64>,
    /// Until when nothing should be read.
    slowed_until_us: u64,
    is_over: bool,
}

impl Inbound {
    /// Nothing has come.
    pub fn new(settings: &InboundSettings, rates: Arc<Rates>, session: Option<Codec>) -> Self {
        Self {
            decoder: Decoder::new(settings.limits),
            rates,
            pace: Pace::default(),
            session,
            answered: Box::default(),
            begun_us: None,
            slowed_until_us: 0,
            is_over: false,
        }
    }

    /// Bytes of memory for a message that has not come whole.
    pub fn held(&self) -> usize {
        self.decoder.held()
    }

    /// How much to read at once: enough to make the call cheap, and few enough messages that their limits hold. More of a
    /// client that sends `much`.
    pub fn wanted(&self, much: bool) -> usize {
        self.decoder.lacking().saturating_add(if much { READ_MUCH } else { READ })
    }

    /// Until when nothing should be read, since the client is too fast.
    pub fn slowed_until_us(&self) -> u64 {
        self.slowed_until_us
    }

    /// Whether a close frame or a violation has come: nothing counts any more.
    pub fn is_over(&self) -> bool {
        self.is_over || self.decoder.is_over()
    }

    /// Whether a close frame has come, and no violation.
    pub fn has_closed(&self) -> bool {
        !self.is_over && self.decoder.is_over()
    }

    /// Nothing counts from here on.
    pub fn end(&mut self) {
        self.is_over = true;
        self.decoder.end();
    }

    /// By when the message that is coming has to be whole. A large one over a slow link has the time that it takes at the
    /// least rate.
    pub fn deadline_us(&self, settings: &InboundSettings) -> Option<u64> {
        let begun_us = self.begun_us.filter(|_| !self.is_over())?;
        let more_us = self.decoder.come() as u64 * 1_000_000 / settings.min_rate.max(1);
        Some(begun_us + settings.message_timeout_us + more_us)
    }

    /// Takes bytes, and tells what has come. Unless the connection `is_open` nothing counts but the close frame. The mask
    /// is taken off in place.
    ///
    /// A client reports because it is sent much: reports have a rate of their own, over which it is read more slowly, and
    /// none is lost. Probes follow what is sent, so each may be answered once, however many there are.
    pub fn hear(
        &mut self,
        input: &mut [u8],
        settings: &InboundSettings,
        is_open: bool,
        answers_probe: impl Fn(&[u8]) -> bool,
        now_us: u64,
        heard: &mut Heard,
    ) {
        if self.is_over {
            return;
        }
        let Self { decoder, rates, pace, session, answered, .. } = self;
        let (mut messages, mut reports, mut bytes, mut is_new, mut is_borne) = (0, 0, 0, false, true);
        let mut refuse = |pace: &mut Pace, weight, heard: &mut Heard| {
            if pace.refused(rates, weight, now_us) {
                return;
            }
            if settings.dry_run {
                heard.items.push(Item::Passed(Limit::Refused));
            } else {
                let reason = "too much in too short a time";
                heard.items.push(Item::Broke(Violation {
                    code: close_code::POLICY,
                    reason,
                    limit: Some(Limit::Refused),
                }));
                is_borne = false;
            }
        };
        let result = decoder.decode(input, &mut |item| {
            let (payload, is_text) = match item {
                decoder::Item::Text(text) => (text.as_bytes(), true),
                decoder::Item::Binary(bytes) => (bytes, false),
                decoder::Item::Close(code, reason) => {
                    heard.items.push(Item::Close(code, reason.into()));
                    return ControlFlow::Continue(());
                }
                decoder::Item::Ping(payload) | decoder::Item::Pong(payload) => {
                    let is_ping = matches!(item, decoder::Item::Ping(_));
                    let mut counts = is_open;
                    if !is_ping && payload > &**answered && answers_probe(payload) {
                        *answered = payload.into();
                    } else if is_open && !pace.ping(rates, now_us) {
                        heard.items.push(Item::Passed(Limit::PingRate));
                        counts = settings.dry_run;
                        refuse(pace, if is_ping { PING_WEIGHT } else { 1.0 }, heard);
                    }
                    if counts {
                        heard.items.push(if is_ping { Item::Ping(payload.into()) } else { Item::Pong(payload.into()) });
                    }
                    return flow(heard.is_borne());
                }
            };
            is_new = true;
            if !is_open {
                return ControlFlow::Continue(());
            }
            let Some(codec) = *session else {
                (messages, bytes) = (messages + 1, bytes + payload.len());
                heard.push(payload, is_text, None);
                return ControlFlow::Continue(());
            };
            // Only one that is read to its end has the rate of reports: how it begins is a claim.
            let may_be = is_text == codec.is_text() && begins_as_report(payload, is_text);
            if let Some(report) = may_be.then(|| Report::read(payload, codec)).flatten() {
                (reports, bytes) = (reports + 1, bytes + payload.len());
                heard.items.push(Item::Report(report));
                return ControlFlow::Continue(());
            }
            if let Some(over) = pace.message(rates, payload.len(), now_us) {
                heard.items.push(Item::Passed(over.limit));
                let is_read = is_text == codec.is_text() && !settings.dry_run;
                match is_read.then(|| Surplus::read(payload, codec)).flatten() {
                    Some(Surplus::AboutLink) => {}
                    Some(Surplus::Refused(refused)) => heard.refuse(refused, payload.len(), over.wait_us),
                    None => heard.push(payload, is_text, Some(over.wait_us).filter(|_| !settings.dry_run)),
                }
                refuse(pace, 1.0, heard);
                return flow(heard.is_borne());
            }
            heard.push(payload, is_text, None);
            ControlFlow::Continue(())
        });
        if let Err(violation) = result {
            heard.items.push(Item::Broke(violation));
        }
        self.is_over |= !is_borne;
        self.begun_us = match self.begun_us {
            _ if !self.decoder.is_within_message() => None,
            Some(begun_us) if !is_new => Some(begun_us),
            _ => Some(now_us),
        };
        if messages + reports > 0 {
            heard.items.extend(self.charge(settings, messages, reports, bytes, now_us).map(Item::Passed));
        }
    }

    /// Charges what is never refused. Over its rates nothing should be read for a while; returns the one that was passed.
    pub fn charge(
        &mut self,
        settings: &InboundSettings,
        messages: usize,
        reports: usize,
        bytes: usize,
        now_us: u64,
    ) -> Option<Limit> {
        let over = self.pace.flow(&self.rates, messages, reports, bytes, now_us)?;
        if !settings.dry_run {
            self.slowed_until_us = now_us + over.wait_us;
        }
        Some(over.limit)
    }
}

impl Heard {
    fn push(&mut self, payload: &[u8], is_text: bool, wait_us: Option<u64>) {
        self.batch.push(Received { payload, is_text, wait_us, refused: None });
        match self.items.last_mut() {
            Some(Item::Messages(count)) => *count += 1,
            _ => self.items.push(Item::Messages(1)),
        }
    }

    fn refuse(&mut self, refused: Refused, size: usize, wait_us: u64) {
        self.items.push(Item::Refused(refused, wait_us));
        if self.batch.refuse(size) {
            self.items.push(Item::Messages(1));
        }
    }

    /// Whether the last that was heard lets more count.
    fn is_borne(&self) -> bool {
        !matches!(self.items.last(), Some(Item::Broke(_)))
    }
}

/// Whether a session's message may be a report of what it has received: as those write it that put the type first. Others
/// count as messages.
fn begins_as_report(payload: &[u8], is_text: bool) -> bool {
    if is_text {
        return [&br#"{"type":"received""#[..], br#"{"type": "received""#].iter().any(|it| payload.starts_with(it));
    }
    // A map of up to fifteen entries.
    payload.first().is_some_and(|first| first & 0xF0 == 0x80) && payload[1..].starts_with(b"\xa4type\xa8received")
}

fn flow(goes_on: bool) -> ControlFlow<()> {
    if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// Bytes of a read, besides what a frame lacks: a hundred messages of a hundred bytes. What a publisher sends together is read
/// together, and leaves in fewer writes: with 4 KiB, 64 messages in flight became two rounds of writes.
const READ: usize = 12 << 10;

/// The same of a client that has sent more than that: a message of a hundred bytes costs a fifth less so.
const READ_MUCH: usize = 16 << 10;

#[cfg(test)]
mod tests;
