//! The reading side of one connection, from bytes to what counts of them: messages within their rates, control frames,
//! the end. Pure: no socket, and the clock is an argument.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::limit::Limit;
use crate::pace::{Over, PING_WEIGHT, Pace, RateSettings, Rates};
use crate::wire::decoder::{Decoder, Item, Limits, Violation};

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

/// A message of a client.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// What it says.
    pub payload: Payload,
    /// It came too fast, and is to be refused.
    pub over: Option<Over>,
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say nothing but their names")]
pub enum Payload {
    Text(Box<str>),
    Binary(Box<[u8]>),
}

impl Received {
    /// Its bytes.
    pub fn size(&self) -> usize {
        match &self.payload {
            Payload::Text(text) => text.len(),
            Payload::Binary(bytes) => bytes.len(),
        }
    }
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Received),
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
    /// A session can be told that it is too fast.
    is_session: bool,
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
    pub fn new(settings: &InboundSettings, rates: Arc<Rates>, is_session: bool) -> Self {
        Self {
            decoder: Decoder::new(settings.limits),
            rates,
            pace: Pace::default(),
            is_session,
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

    /// How much to read at once: enough to make the call cheap, and few enough messages that their limits hold.
    pub fn wanted(&self) -> usize {
        self.decoder.lacking().saturating_add(READ)
    }

    /// Until when nothing should be read, since the client is too fast.
    pub fn slowed_until_us(&self) -> u64 {
        self.slowed_until_us
    }

    /// Whether a close frame or a violation has come: nothing counts any more.
    pub fn is_over(&self) -> bool {
        self.is_over || self.decoder.is_over()
    }

    /// Nothing counts from here on.
    pub fn end(&mut self) {
        self.is_over = true;
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
        heard: &mut Vec<Heard>,
    ) {
        if self.is_over {
            return;
        }
        let Self { decoder, rates, pace, is_session, answered, .. } = self;
        let (mut messages, mut reports, mut bytes, mut is_new, mut is_borne) = (0, 0, 0, false, true);
        let mut refuse = |pace: &mut Pace, weight, heard: &mut Vec<Heard>| {
            if pace.refused(rates, weight, now_us) {
                return;
            }
            if settings.dry_run {
                heard.push(Heard::Passed(Limit::Refused));
            } else {
                let reason = "too much in too short a time";
                heard.push(Heard::Broke(Violation { code: 1008, reason, limit: Some(Limit::Refused) }));
                is_borne = false;
            }
        };
        let result = decoder.decode(input, &mut |item| {
            let payload = match item {
                Item::Close(code, reason) => {
                    heard.push(Heard::Close(code, reason.into()));
                    return ControlFlow::Continue(());
                }
                Item::Ping(payload) | Item::Pong(payload) => {
                    let is_ping = matches!(item, Item::Ping(_));
                    let mut counts = is_open;
                    if !is_ping && payload > &**answered && answers_probe(payload) {
                        *answered = payload.into();
                    } else if is_open && !pace.ping(rates, now_us) {
                        heard.push(Heard::Passed(Limit::PingRate));
                        counts = settings.dry_run;
                        refuse(pace, if is_ping { PING_WEIGHT } else { 1.0 }, heard);
                    }
                    if counts {
                        heard.push(if is_ping { Heard::Ping(payload.into()) } else { Heard::Pong(payload.into()) });
                    }
                    return flow(is_borne_after(heard));
                }
                Item::Text(text) => {
                    is_new = true;
                    Payload::Text(text.into())
                }
                Item::Binary(bytes) => {
                    is_new = true;
                    Payload::Binary(bytes.into())
                }
            };
            if !is_open {
                return ControlFlow::Continue(());
            }
            let is_report = *is_session && is_report(&payload);
            let mut received = Received { payload, over: None };
            let size = received.size();
            if is_report {
                (reports, bytes) = (reports + 1, bytes + size);
            } else if !*is_session {
                (messages, bytes) = (messages + 1, bytes + size);
            } else if let Some(over) = pace.message(rates, size, now_us) {
                heard.push(Heard::Passed(over.limit));
                received.over = Some(over).filter(|_| !settings.dry_run);
                heard.push(Heard::Message(received));
                refuse(pace, 1.0, heard);
                return flow(is_borne_after(heard));
            }
            heard.push(Heard::Message(received));
            ControlFlow::Continue(())
        });
        if let Err(violation) = result {
            heard.push(Heard::Broke(violation));
        }
        self.is_over |= !is_borne;
        self.begun_us = match self.begun_us {
            _ if !self.decoder.is_within_message() => None,
            Some(begun_us) if !is_new => Some(begun_us),
            _ => Some(now_us),
        };
        if messages + reports > 0 {
            heard.extend(self.charge(settings, messages, reports, bytes, now_us).map(Heard::Passed));
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

/// Whether a session's message is a report of what it has received: as those write it that put the type first. Others
/// count as messages.
fn is_report(payload: &Payload) -> bool {
    match payload {
        Payload::Text(text) => {
            [r#"{"type":"received""#, r#"{"type": "received""#].iter().any(|it| text.starts_with(it))
        }
        // A map of up to fifteen entries.
        Payload::Binary(bytes) => {
            bytes.first().is_some_and(|first| first & 0xF0 == 0x80) && bytes[1..].starts_with(b"\xa4type\xa8received")
        }
    }
}

/// Whether the last that was heard lets more count.
fn is_borne_after(heard: &[Heard]) -> bool {
    !matches!(heard.last(), Some(Heard::Broke(_)))
}

fn flow(goes_on: bool) -> ControlFlow<()> {
    if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// Bytes of a read, besides what a frame lacks: some hundreds of the smallest messages, forty of a hundred bytes.
const READ: usize = 4096;

#[cfg(test)]
mod tests;
