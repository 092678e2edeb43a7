//! What one link hears: each frame to whom it is for. Not the reading of them. The rule: a message that is neither
//! compressed nor a batch costs nothing more than its stamp, and any other is decoded once for all links.

use std::collections::VecDeque;

use crate::base64;
use crate::inflate::{COMPRESSED, Inflater};
use crate::link::{Inflate, Role, State};
use crate::memo::Memo;
use crate::session::Seen;
use crate::tally::Tally;
use crate::{batch, frame, stamp};

use super::NORMAL;

/// What readers have received, since the beginning.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Bytes of sockets: with TLS, of its records.
    pub wire: u64,
    /// Bytes of whole frames or events.
    pub framed: u64,
    /// Frames or events.
    pub frames: u64,
    /// Frames whose message was compressed.
    pub compressed: u64,
    /// Batches.
    pub batches: u64,
    /// Compressed messages and batches that were decoded, because they were not known yet.
    pub decoded: u64,
}

/// The ear of one link, for one receive.
pub(super) struct Ear<'a> {
    pub(super) id: usize,
    pub(super) now: u64,
    pub(super) is_stream: bool,
    pub(super) role: &'a mut Role,
    pub(super) state: &'a mut State,
    pub(super) out: &'a mut Vec<u8>,
    pub(super) inflate: &'a mut Option<Inflate>,
    pub(super) started: u64,
    pub(super) common: &'a mut Common,
    pub(super) tally: &'a mut Tally,
    pub(super) ended: bool,
}

/// What all links of a swarm share.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) replies: VecDeque<Vec<u8>>,
    pub(super) opened: Vec<u64>,
    pub(super) traffic: Traffic,
    inflater: Option<Inflater>,
    pub(super) memo: Memo,
    stamps: Vec<(u64, u64)>,
}

impl Ear<'_> {
    /// Takes one frame, whose first byte is `first`.
    #[inline]
    pub(super) fn hear(&mut self, first: u8, payload: &[u8]) {
        self.common.traffic.frames += 1;
        let is_batch = matches!(self.role, Role::Session(..)) && batch::is_batch(payload);
        if first & COMPRESSED != 0 || is_batch {
            return self.hear_once(first, payload);
        }
        self.take(first, payload);
    }

    /// A message that was decoded before. Another copy of it is only compared.
    fn hear_once(&mut self, first: u8, payload: &[u8]) {
        let expected = match self.role {
            Role::Reader { next, .. } => *next,
            Role::Session(session, _) => session.next,
            _ => return self.ended = true,
        };
        let is_compressed = first & COMPRESSED != 0;
        self.common.traffic.compressed += u64::from(is_compressed);
        let takes_over = matches!(self.inflate, Some(Inflate::Takeover(_)));
        if is_compressed && self.inflate.is_none() {
            return self.ended = true;
        }
        if !takes_over && let Some(known) = self.common.memo.recall(expected, first, payload) {
            let count = known.stamps.len() as u64;
            self.common.traffic.batches += u64::from(count > 1);
            let next = match self.role {
                Role::Reader { next, .. } => next,
                Role::Session(session, _) => {
                    session.take_known(count, known.size, self.out);
                    &mut session.next
                }
                _ => return,
            };
            for &stamp in &known.stamps {
                self.tally.enter(self.id, next, Some(stamp), self.now);
            }
            return;
        }
        self.common.traffic.decoded += 1;
        // Taken out meanwhile, because what it lends must live while the rest of `self` is used.
        let mut shared = self.common.inflater.take().unwrap_or_default();
        let mut own = None;
        let plain = match (is_compressed, &mut *self.inflate) {
            (false, _) => Ok(payload),
            (true, Some(Inflate::Takeover(_))) => {
                own = self.inflate.take();
                match &mut own {
                    Some(Inflate::Takeover(inflater)) => inflater.open(payload, false),
                    _ => return,
                }
            }
            (true, _) => shared.open(payload, true),
        };
        match plain {
            Ok(plain) => self.decoded(expected, first, payload, plain),
            Err(_) => self.ended = true,
        }
        if own.is_some() {
            *self.inflate = own;
        }
        self.common.inflater = Some(shared);
    }

    fn decoded(&mut self, expected: u64, first: u8, payload: &[u8], plain: &[u8]) {
        self.common.stamps.clear();
        let is_batch = matches!(self.role, Role::Session(..)) && batch::is_batch(plain);
        self.common.traffic.batches += u64::from(is_batch);
        let (kind, mut size, mut is_pure) = (first & !COMPRESSED, 0, true);
        let mut each = |part: &[u8]| {
            size += part.len() as u64;
            match self.take(kind, part) {
                Some(stamp) => self.common.stamps.push(stamp),
                None => is_pure = false,
            }
        };
        if !is_batch {
            each(plain);
        } else if batch::split(plain, each).is_err() {
            return self.ended = true;
        }
        if is_pure {
            let Common { memo, stamps, .. } = &mut *self.common;
            memo.learn(expected, first, payload, stamps, size);
        }
    }

    /// Takes one message, or one envelope of a batch; gives the stamp of a message of ours.
    #[inline]
    fn take(&mut self, first: u8, payload: &[u8]) -> Option<(u64, u64)> {
        match (first & 0x0F, &mut *self.role) {
            (frame::CLOSE, _) => self.ended = true,
            (frame::PING, Role::Sink(_)) | (frame::PONG, _) => {}
            (frame::PING, _) => frame::push_masked(self.out, frame::PONG, payload),
            (kind, Role::Reader { next, .. }) => {
                // Text begins with the stamp, as a JSON object or in base64, and so do bytes in an event stream.
                let stamp = if kind == frame::TEXT && payload.starts_with(b"{") {
                    stamp::read_json(payload)
                } else if self.is_stream || kind == frame::TEXT {
                    payload.first_chunk().and_then(base64::decode).and_then(|stamp| stamp::read(&stamp))
                } else {
                    stamp::read(payload)
                };
                self.tally.enter(self.id, next, stamp, self.now);
                return stamp;
            }
            (_, Role::Session(session, _)) => match session.take(first, payload, self.out) {
                Ok(Seen::Message(stamp)) => {
                    self.tally.enter(self.id, &mut session.next, stamp, self.now);
                    return stamp;
                }
                Ok(Seen::Joined) => {
                    *self.state = State::Open;
                    self.common.opened.push(self.now - self.started);
                }
                Ok(Seen::Other) => {}
                Err(_) => self.ended = true,
            },
            (_, Role::Client(client)) => match client.take(first, payload, self.now, self.out) {
                Ok(true) => {
                    *self.state = State::Open;
                    self.common.opened.push(self.now - self.started);
                }
                Ok(false) => {}
                Err(_) => self.ended = true,
            },
            (_, Role::Talker) => self.common.replies.push_back(payload.to_vec()),
            (_, Role::Visitor { .. }) => frame::push_masked(self.out, frame::CLOSE, &NORMAL),
            (_, Role::Stalled { .. } | Role::Sink(_) | Role::Courier(_)) => {}
        }
        None
    }
}
