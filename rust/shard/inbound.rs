//! The reading side of one connection: from bytes to messages, control frames, reports and violations, with the rate
//! limits. Pure: no socket, and the clock is an argument.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::limit::Limit;
use crate::protocol::codec::Codec;
use crate::protocol::over_rate::{Refused, Surplus};
use crate::protocol::report::Report;
use crate::queues::batch::{Batch, Received};
use crate::shard::rate_limit::{PING_WEIGHT, RateLimits, RateSettings, Rates};
use crate::wire::decoder::{self, Decoder, Limits, Violation};
use crate::wire::table::close_code;

/// The limits on what clients send.
#[derive(Debug, Clone)]
pub struct InboundSettings {
    /// The limits on the sizes of messages.
    pub limits: Limits,
    /// The rates.
    pub rates: RateSettings,
    /// Microseconds that a message may take to arrive, besides the time for its bytes at `min_rate`.
    pub message_timeout_us: u64,
    /// Bytes a second. A large message has the time that its bytes take at this rate.
    pub min_rate: u64,
    /// Whether rates are only counted and not enforced.
    pub dry_run: bool,
}

/// The result of one read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReadOutcome {
    /// The items, in the order in which they came.
    pub items: Vec<InboundItem>,
    /// The messages that the items count.
    pub batch: Batch,
    /// The bytes of all messages, also of those that are refused, after they were inflated.
    pub bytes: usize,
}

/// Something that came with a read.
#[derive(Debug, PartialEq, Eq)]
pub enum InboundItem {
    /// This many messages: the next ones of the batch.
    Messages(usize),
    /// A valid report of a session. An invalid one is a message, and the host says what is wrong.
    Report(Report),
    /// A message over its rate, to be refused: what the answer needs of it, and the microseconds until it may be sent
    /// again. The batch notes it too, so that the host counts it in order.
    Refused(Refused, u64),
    /// A ping to answer.
    Ping(Box<[u8]>),
    /// A pong.
    Pong(Box<[u8]>),
    /// The close frame.
    Close(Option<u16>, Box<str>),
    /// The client broke a rule, or kept sending over its rate. The connection must be failed.
    Broke(Violation),
    /// A limit was passed, to be counted.
    Passed(Limit),
}

/// The decoder and the rate limits of one connection.
#[derive(Debug)]
pub struct Inbound {
    decoder: Decoder,
    rates: Arc<Rates>,
    limits: RateLimits,
    /// The codec of a session. Only sessions send reports, and are told that they send too fast.
    session: Option<Codec>,
    /// The newest probe that was answered. Payloads of probes rise, and a client cannot make them up.
    answered: Box<[u8]>,
    /// When the incomplete message began.
    begun_us: Option<u64>,
    /// Until when nothing should be read, because the client sends too fast.
    slowed_until_us: u64,
    is_over: bool,
}

impl Inbound {
    /// Creates the reading side of a new connection.
    pub fn new(settings: &InboundSettings, rates: Arc<Rates>, session: Option<Codec>) -> Self {
        Self {
            decoder: Decoder::new(settings.limits),
            rates,
            limits: RateLimits::default(),
            session,
            answered: Box::default(),
            begun_us: None,
            slowed_until_us: 0,
            is_over: false,
        }
    }

    /// Takes compressed messages, too, if that was agreed.
    pub fn inflating(self, inflates: bool) -> Self {
        Self { decoder: self.decoder.inflating(inflates), ..self }
    }

    /// Returns the bytes of memory that the incomplete message takes.
    pub fn held(&self) -> usize {
        self.decoder.held()
    }

    /// Returns how many bytes to read at once: enough to make the call cheap, and few enough that the limits on
    /// messages hold. It is more for a client that sends `much`.
    pub fn wanted(&self, much: bool) -> usize {
        self.decoder.lacking().saturating_add(if much { READ_MUCH } else { READ })
    }

    /// Returns until when nothing should be read, because the client sends too fast.
    pub fn slowed_until_us(&self) -> u64 {
        self.slowed_until_us
    }

    /// Whether a close frame or a violation has come, so that nothing counts any more.
    pub fn is_over(&self) -> bool {
        self.is_over || self.decoder.is_over()
    }

    /// Whether a close frame has come without a violation.
    pub fn has_closed(&self) -> bool {
        !self.is_over && self.decoder.is_over()
    }

    /// Makes everything that follows count for nothing.
    pub fn end(&mut self) {
        self.is_over = true;
        self.decoder.end();
    }

    /// Returns the deadline of the incomplete message. A large message over a slow link has the time that it takes at
    /// `min_rate`.
    pub fn deadline_us(&self, settings: &InboundSettings) -> Option<u64> {
        let begun_us = self.begun_us.filter(|_| !self.is_over())?;
        let more_us = self.decoder.come() as u64 * 1_000_000 / settings.min_rate.max(1);
        Some(begun_us + settings.message_timeout_us + more_us)
    }

    /// Decodes bytes, and adds what they hold to `heard`. If the connection is not open, only the close frame counts.
    /// The input is unmasked in place. Returns how many bytes were decoded: all, unless compressed messages have become
    /// so large that the host should take them first. Pass the rest again then.
    ///
    /// The rates are about what messages are after they were inflated. A compressed message over the rate of bytes also
    /// slows down the reading of a session, because a few bytes of it are much work, which a refusal does not save.
    ///
    /// A client that is sent much reports much. Reports therefore have a rate of their own, over which the client is
    /// read more slowly, and no report is lost. The server decides how many probes it sends, so one answer to each is
    /// free.
    pub fn hear(
        &mut self,
        input: &mut [u8],
        settings: &InboundSettings,
        is_open: bool,
        answers_probe: impl Fn(&[u8]) -> bool,
        now_us: u64,
        heard: &mut ReadOutcome,
    ) -> usize {
        if self.is_over {
            return input.len();
        }
        let input_len = input.len();
        let Self { decoder, rates, limits, session, answered, .. } = self;
        let (mut messages, mut reports, mut bytes, mut is_new, mut is_borne) = (0, 0, 0, false, true);
        let inflates = decoder.inflates();
        heard.bytes = 0;
        let mut refuse = |limits: &mut RateLimits, weight, heard: &mut ReadOutcome| {
            if limits.refused(rates, weight, now_us) {
                return;
            }
            if settings.dry_run {
                heard.items.push(InboundItem::Passed(Limit::Refused));
            } else {
                let reason = "the client sends too fast";
                heard.items.push(InboundItem::Broke(Violation {
                    code: close_code::POLICY,
                    reason,
                    limit: Some(Limit::Refused),
                }));
                is_borne = false;
            }
        };
        let result = decoder.decode(input, &mut |item| {
            let (payload, is_text) = match item {
                decoder::Decoded::Text(text) => (text.as_bytes(), true),
                decoder::Decoded::Binary(bytes) => (bytes, false),
                decoder::Decoded::Close(code, reason) => {
                    heard.items.push(InboundItem::Close(code, reason.into()));
                    return ControlFlow::Continue(());
                }
                decoder::Decoded::Ping(payload) | decoder::Decoded::Pong(payload) => {
                    let is_ping = matches!(item, decoder::Decoded::Ping(_));
                    let mut counts = is_open;
                    if !is_ping && payload > &**answered && answers_probe(payload) {
                        *answered = payload.into();
                    } else if is_open && !limits.ping(rates, now_us) {
                        heard.items.push(InboundItem::Passed(Limit::PingRate));
                        counts = settings.dry_run;
                        refuse(limits, if is_ping { PING_WEIGHT } else { 1.0 }, heard);
                    }
                    if counts {
                        heard.items.push(if is_ping {
                            InboundItem::Ping(payload.into())
                        } else {
                            InboundItem::Pong(payload.into())
                        });
                    }
                    return flow(heard.is_borne());
                }
            };
            is_new = true;
            if !is_open {
                return ControlFlow::Continue(());
            }
            heard.bytes += payload.len();
            let goes_on = !inflates || heard.bytes < INFLATED;
            let Some(codec) = *session else {
                (messages, bytes) = (messages + 1, bytes + payload.len());
                heard.push(payload, is_text, None);
                return flow(goes_on);
            };
            // The rate of reports is only for valid reports. The first bytes alone prove nothing.
            let may_be = is_text == codec.is_text() && begins_as_report(payload, is_text);
            if let Some(report) = may_be.then(|| Report::read(payload, codec)).flatten() {
                (reports, bytes) = (reports + 1, bytes + payload.len());
                heard.items.push(InboundItem::Report(report));
                return flow(goes_on);
            }
            if let Some(over) = limits.message(rates, payload.len(), now_us) {
                heard.items.push(InboundItem::Passed(over.limit));
                bytes += if inflates { payload.len() } else { 0 };
                let is_read = is_text == codec.is_text() && !settings.dry_run;
                match is_read.then(|| Surplus::read(payload, codec)).flatten() {
                    Some(Surplus::AboutLink) => {}
                    Some(Surplus::Refused(refused)) => heard.refuse(refused, payload.len(), over.wait_us),
                    None => heard.push(payload, is_text, Some(over.wait_us).filter(|_| !settings.dry_run)),
                }
                refuse(limits, 1.0, heard);
                return flow(goes_on && heard.is_borne());
            }
            heard.push(payload, is_text, None);
            flow(goes_on)
        });
        let decoded = result.unwrap_or_else(|violation| {
            heard.items.push(InboundItem::Broke(violation));
            input_len
        });
        bytes += self.decoder.take_surplus();
        self.is_over |= !is_borne;
        self.begun_us = match self.begun_us {
            _ if !self.decoder.is_within_message() => None,
            Some(begun_us) if !is_new => Some(begun_us),
            _ => Some(now_us),
        };
        if messages + reports + bytes > 0 {
            heard.items.extend(self.charge(settings, messages, reports, bytes, now_us).map(InboundItem::Passed));
        }
        decoded
    }

    /// Charges what is never refused. If a rate is passed, nothing should be read for a while, and the limit is
    /// returned.
    pub fn charge(
        &mut self,
        settings: &InboundSettings,
        messages: usize,
        reports: usize,
        bytes: usize,
        now_us: u64,
    ) -> Option<Limit> {
        let over = self.limits.flow(&self.rates, messages, reports, bytes, now_us)?;
        if !settings.dry_run {
            self.slowed_until_us = now_us + over.wait_us;
        }
        Some(over.limit)
    }
}

impl ReadOutcome {
    fn push(&mut self, payload: &[u8], is_text: bool, wait_us: Option<u64>) {
        self.batch.push(Received { payload, is_text, wait_us, refused: None });
        match self.items.last_mut() {
            Some(InboundItem::Messages(count)) => *count += 1,
            _ => self.items.push(InboundItem::Messages(1)),
        }
    }

    fn refuse(&mut self, refused: Refused, size: usize, wait_us: u64) {
        self.items.push(InboundItem::Refused(refused, wait_us));
        if self.batch.refuse(size) {
            self.items.push(InboundItem::Messages(1));
        }
    }

    /// Whether the connection goes on after the last item.
    fn is_borne(&self) -> bool {
        !matches!(self.items.last(), Some(InboundItem::Broke(_)))
    }
}

/// Whether a session's message may be a report. Only reports whose type is the first field are recognized; others count
/// as messages.
fn begins_as_report(payload: &[u8], is_text: bool) -> bool {
    if is_text {
        return [&br#"{"type":"received""#[..], br#"{"type": "received""#].iter().any(|it| payload.starts_with(it));
    }
    // A map of at most fifteen entries (fixmap).
    payload.first().is_some_and(|first| first & 0xF0 == 0x80) && payload[1..].starts_with(b"\xa4type\xa8received")
}

fn flow(goes_on: bool) -> ControlFlow<()> {
    if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// The bytes of a read, besides what the present frame lacks: a hundred messages of a hundred bytes. Messages that are
/// read together leave in fewer writes. With 4 KiB, 64 messages in flight took two rounds of writes.
const READ: usize = 12 << 10;

/// The same for a client whose last read was full. With it, a message of a hundred bytes costs a fifth less.
const READ_MUCH: usize = 16 << 10;

/// The bytes of messages after which no more is decoded of a read, if messages may be compressed. A read is as large
/// without compression; with it, it may stand for a thousand times as much. The last message may be larger.
const INFLATED: usize = 64 << 10;

#[cfg(test)]
mod tests;
