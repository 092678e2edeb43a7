//! Decodes the messages that a client sends after its handshake (RFC 6455 sections 5 to 7). Pure: no socket, no clock.
//!
//! Everything is checked as early as possible: sizes in the header, before the payload comes, and text byte by byte. A
//! message that is compressed (RFC 7692) is inflated and checked when it is complete, within the same limit on bytes.
//! After a violation or a close frame, nothing more counts.

use std::mem;
use std::ops::ControlFlow;

use crate::limit::Limit;
use crate::wire::decoder::header::{FrameHeader, HEADER_MAX};
use crate::wire::deflate::{InflateFault, inflate};
use crate::wire::frame::is_sendable_code;
use crate::wire::mask::unmask;
use crate::wire::table::close_code;
use crate::wire::utf8::Utf8;

/// The limits on messages of one client.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The limit on bytes of a message, all fragments together.
    pub max_message: usize,
    /// The limit on fragments of a message. Empty fragments add no bytes, so they need a limit of their own.
    pub max_fragments: usize,
}

/// What the decoder has found. The bytes are valid only during the call.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A ping, which needs a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The close frame. Without a code it has no reason either.
    Close(Option<u16>, &'a str),
}

/// The client broke a rule: its connection must be failed with this code (RFC 6455 section 7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// The close code.
    pub code: u16,
    /// What was wrong.
    pub reason: &'static str,
    /// The limit that was exceeded, if there was one.
    pub limit: Option<Limit>,
}

/// The decoder of one connection.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// Whether messages may be compressed.
    inflates: bool,
    /// The beginning of an incomplete header.
    header: [u8; HEADER_MAX],
    header_len: usize,
    /// The frame whose payload is coming.
    frame: Option<FrameHeader>,
    /// The bytes of an incomplete control frame.
    control: Vec<u8>,
    /// The bytes of an incomplete message, all fragments so far, as they came.
    message: Vec<u8>,
    /// Whether the message that has begun is compressed.
    is_compressed: bool,
    /// See [`Self::take_surplus`].
    surplus: usize,
    /// Whether the incomplete message is text; none if no message has begun.
    open: Option<bool>,
    fragments: usize,
    text: Utf8,
    is_over: bool,
}

impl Decoder {
    /// Creates a decoder.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            inflates: false,
            header: [0; HEADER_MAX],
            header_len: 0,
            frame: None,
            control: Vec::new(),
            message: Vec::new(),
            is_compressed: false,
            surplus: 0,
            open: None,
            fragments: 0,
            text: Utf8::default(),
            is_over: false,
        }
    }

    /// Takes compressed messages, too, if that was agreed (RFC 7692).
    pub fn inflating(self, inflates: bool) -> Self {
        Self { inflates, ..self }
    }

    /// Whether messages may be compressed.
    pub fn inflates(&self) -> bool {
        self.inflates
    }

    /// Returns how many bytes of compressed messages have come since the last call, beyond those that they were inflated
    /// to: data without content, which still was work.
    pub fn take_surplus(&mut self) -> usize {
        mem::take(&mut self.surplus)
    }

    /// Returns the bytes of memory for an incomplete message.
    pub fn held(&self) -> usize {
        self.message.capacity()
    }

    /// Returns the bytes that are missing from the present frame.
    pub fn lacking(&self) -> usize {
        self.frame.map_or(0, |frame| frame.len - frame.come)
    }

    /// Returns the bytes of the incomplete message.
    pub fn come(&self) -> usize {
        self.message.len()
    }

    /// Whether a message has begun and is incomplete.
    pub fn is_within_message(&self) -> bool {
        self.open.is_some()
    }

    /// Whether a close frame or a violation has come, so that nothing more counts.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Ends decoding: nothing more counts, and an incomplete message is freed.
    pub fn end(&mut self) {
        self.is_over = true;
        self.message = Vec::new();
    }

    /// Decodes bytes and passes each whole item to `visit`, in order, until it breaks. Returns how many bytes were
    /// consumed: all, unless `visit` has broken; pass the rest again. Unmasks in place.
    pub fn decode(
        &mut self,
        input: &mut [u8],
        visit: &mut impl FnMut(Decoded<'_>) -> ControlFlow<()>,
    ) -> Result<usize, Violation> {
        let mut at = 0;
        while at < input.len() && !self.is_over {
            if let Some((is_text, header, end)) = self.whole(&input[at..]) {
                let (header, payload) = input[at..at + end].split_at_mut(header);
                at += end;
                let mut mask = [0; 4];
                mask.copy_from_slice(&header[header.len() - 4..]);
                unmask(payload, mask, 0);
                if self.give(is_text, payload, visit).inspect_err(|_| self.is_over = true)?.is_break() {
                    return Ok(at);
                }
                continue;
            }
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.header(&mut at, input).inspect_err(|_| self.is_over = true)? {
                    Some(frame) => frame,
                    None => break,
                },
            };
            let end = input.len().min(at + (frame.len - frame.come));
            let piece = &mut input[at..end];
            at = end;
            unmask(piece, frame.mask, frame.come);
            let flow = self.payload(frame, piece, visit).inspect_err(|_| self.is_over = true)?;
            if flow.is_break() {
                return Ok(at);
            }
        }
        // What follows a close frame is consumed and ignored (RFC 6455 section 5.5.1).
        Ok(input.len())
    }

    /// Finds a whole message of one frame and at most some kilobytes, as most are. Returns whether it is text, and the
    /// ends of its header and payload. Everything unusual is left to the general path.
    fn whole(&self, input: &[u8]) -> Option<(bool, usize, usize)> {
        let &[first, second, high, low, ..] = input else { return None };
        let is_first = self.frame.is_none() && self.header_len == 0 && self.open.is_none();
        if !is_first || !matches!(first, WHOLE_TEXT | WHOLE_BINARY) {
            return None;
        }
        let (header, len) = match second.checked_sub(MASKED)? {
            127 => return None,
            126 => (8, usize::from(u16::from_be_bytes([high, low]))),
            len => (6, usize::from(len)),
        };
        let is_fitting = len <= self.limits.max_message && header + len <= input.len() && (header == 6 || len >= 126);
        is_fitting.then_some((first == WHOLE_TEXT, header, header + len))
    }

    /// Consumes unmasked bytes of a frame's payload.
    fn payload(
        &mut self,
        frame: FrameHeader,
        piece: &[u8],
        visit: &mut impl FnMut(Decoded<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        let is_whole = frame.come + piece.len() == frame.len;
        self.frame = (!is_whole).then_some(FrameHeader { come: frame.come + piece.len(), ..frame });
        if frame.opcode >= CLOSE {
            return self.control(frame, piece, is_whole, visit);
        }
        let is_text = self.open == Some(true);
        let is_over = is_whole && frame.is_final;
        if is_over && self.message.is_empty() && frame.come == 0 {
            // The whole message is here, as most are, so it is not copied.
            self.open = None;
            return self.give(is_text, piece, visit);
        }
        if is_text && !self.is_compressed {
            self.text.push(piece).map_err(|_| NOT_UTF8)?;
        }
        self.message.extend_from_slice(piece);
        if !is_over {
            return Ok(ControlFlow::Continue(()));
        }
        self.open = None;
        // Also frees the buffer, because most connections are idle.
        let message = mem::take(&mut self.message);
        self.give(is_text, &message, visit)
    }

    fn give(
        &mut self,
        is_text: bool,
        payload: &[u8],
        visit: &mut impl FnMut(Decoded<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        self.text = Utf8::default();
        if !mem::take(&mut self.is_compressed) {
            return pass(is_text, payload, visit);
        }
        let passed = inflate(payload, self.limits.max_message, |inflated| {
            self.surplus += payload.len().saturating_sub(inflated.len());
            pass(is_text, inflated, visit)
        });
        passed.map_err(|fault| match fault {
            InflateFault::TooLarge => TOO_LARGE,
            InflateFault::Corrupt => CORRUPT,
        })?
    }

    fn control(
        &mut self,
        frame: FrameHeader,
        piece: &[u8],
        is_whole: bool,
        visit: &mut impl FnMut(Decoded<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        if !is_whole {
            self.control.extend_from_slice(piece);
            return Ok(ControlFlow::Continue(()));
        }
        let mut kept = mem::take(&mut self.control);
        let payload = if kept.is_empty() {
            piece
        } else {
            kept.extend_from_slice(piece);
            &kept
        };
        Ok(match frame.opcode {
            PING => visit(Decoded::Ping(payload)),
            PONG => visit(Decoded::Pong(payload)),
            _ => {
                let (code, reason) = close_of(payload)?;
                self.is_over = true;
                visit(Decoded::Close(code, reason))
            }
        })
    }
}

/// Passes a whole message on.
fn pass(
    is_text: bool,
    message: &[u8],
    visit: &mut impl FnMut(Decoded<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Violation> {
    if is_text {
        let text = std::str::from_utf8(message).map_err(|_| NOT_UTF8)?;
        return Ok(visit(Decoded::Text(text)));
    }
    Ok(visit(Decoded::Binary(message)))
}

/// Parses the payload of a close frame (RFC 6455 sections 5.5.1 and 7.4).
fn close_of(payload: &[u8]) -> Result<(Option<u16>, &str), Violation> {
    match payload {
        [] => Ok((None, "")),
        [_] => Err(protocol("a close frame of one byte")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_sendable_code(code) {
                return Err(protocol("a close code that must not be sent"));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| NOT_UTF8)?;
            Ok((Some(code), reason))
        }
    }
}

fn protocol(reason: &'static str) -> Violation {
    Violation { code: close_code::PROTOCOL_ERROR, reason, limit: None }
}

const NOT_UTF8: Violation = Violation { code: close_code::INVALID_DATA, reason: "text that is not UTF-8", limit: None };

const CORRUPT: Violation =
    Violation { code: close_code::INVALID_DATA, reason: "compressed data that cannot be inflated", limit: None };

const TOO_LARGE: Violation =
    Violation { code: close_code::TOO_BIG, reason: "too large a message", limit: Some(Limit::Message) };

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

const WHOLE_TEXT: u8 = FIN | TEXT;
const WHOLE_BINARY: u8 = FIN | BINARY;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

mod header;
#[cfg(test)]
mod tests;
