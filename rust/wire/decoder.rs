//! Messages from the bytes that a client sends after its handshake (RFC 6455 sections 5 to 7). Pure: no socket, no clock.
//!
//! Everything is checked where it stands: sizes at the header, before a byte of the payload has come; text byte by byte.
//! After a violation, and after a close frame, nothing more counts.

use std::mem;
use std::ops::ControlFlow;

use crate::frame::{CONTROL_PAYLOAD_MAX, is_sendable_code};
use crate::limit::Limit;
use crate::wire::mask::unmask;
use crate::wire::table::close_code;
use crate::wire::utf8::Utf8;

/// What one client may send.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a message, all its fragments together.
    pub max_message: usize,
    /// How many fragments a message may have. Empty ones add no bytes.
    pub max_fragments: usize,
}

/// What has come. The bytes are gone when the call that brought it returns.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A whole text message.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A ping, which wants a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The close frame; without a code it has no reason either.
    Close(Option<u16>, &'a str),
}

/// The client broke a rule: its connection must be failed with this code (RFC 6455 section 7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// The close code.
    pub code: u16,
    /// What was wrong.
    pub reason: &'static str,
    /// The limit that was passed, if it was that.
    pub limit: Option<Limit>,
}

/// The reading side of one connection.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// The beginning of a header that has not come whole.
    header: [u8; HEADER_MAX],
    header_len: usize,
    /// The frame whose payload is coming.
    frame: Option<Frame>,
    /// Bytes of a control frame that is coming.
    control: Vec<u8>,
    /// Bytes of the message that is coming, all fragments so far.
    message: Vec<u8>,
    /// Whether a message has begun and is not over, and whether it is text.
    open: Option<bool>,
    fragments: usize,
    text: Utf8,
    is_over: bool,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: u8,
    is_final: bool,
    mask: [u8; 4],
    len: usize,
    /// Bytes of the payload that have come.
    come: usize,
}

impl Decoder {
    /// Nothing has come.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            header: [0; HEADER_MAX],
            header_len: 0,
            frame: None,
            control: Vec::new(),
            message: Vec::new(),
            open: None,
            fragments: 0,
            text: Utf8::default(),
            is_over: false,
        }
    }

    /// Bytes of memory for a message that has not come whole.
    pub fn held(&self) -> usize {
        self.message.capacity()
    }

    /// Bytes that the frame whose payload is coming still lacks.
    pub fn lacking(&self) -> usize {
        self.frame.map_or(0, |frame| frame.len - frame.come)
    }

    /// Bytes of the message that is coming.
    pub fn come(&self) -> usize {
        self.message.len()
    }

    /// Whether a message has begun to come, and is not whole.
    pub fn is_within_message(&self) -> bool {
        self.open.is_some()
    }

    /// Whether a close frame or a violation has come: nothing counts any more.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Nothing counts any more, and nothing is kept of a message that has not come whole.
    pub fn end(&mut self) {
        self.is_over = true;
        self.message = Vec::new();
    }

    /// Takes bytes, and gives what has come whole to `visit`, in order, until it breaks. Returns how many were taken: all,
    /// unless `visit` has broken; the rest is to be given again. The mask is taken off in place.
    pub fn decode(
        &mut self,
        input: &mut [u8],
        visit: &mut impl FnMut(Item<'_>) -> ControlFlow<()>,
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
        // What follows a close frame does not count (RFC 6455 section 5.5.1), and is taken.
        Ok(input.len())
    }

    /// Whether a message of one frame, of some kilobytes at most, lies here as a whole: most do. Whether it is text, and where
    /// its header and its payload end. Whatever is unusual about it is looked at elsewhere.
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

    /// Reads a header; none if it has not come whole. Its frame may have no payload.
    fn header(&mut self, at: &mut usize, input: &[u8]) -> Result<Option<Frame>, Violation> {
        loop {
            let wanted = header_len(&self.header[..self.header_len]);
            if self.header_len == wanted {
                break;
            }
            let Some(piece) =
                input.get(*at..input.len().min(*at + wanted - self.header_len)).filter(|it| !it.is_empty())
            else {
                return Ok(None);
            };
            self.header[self.header_len..self.header_len + piece.len()].copy_from_slice(piece);
            self.header_len += piece.len();
            *at += piece.len();
            self.check_beginning()?;
        }
        let header = &self.header[..mem::take(&mut self.header_len)];
        let (len, mask) = match header.len() {
            6 => (u64::from(header[1] & 0x7F), &header[2..]),
            8 => (u64::from(u16::from_be_bytes([header[2], header[3]])), &header[4..]),
            _ => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&header[2..10]);
                (u64::from_be_bytes(bytes), &header[10..])
            }
        };
        let frame = Frame {
            opcode: header[0] & 0x0F,
            is_final: header[0] & FIN != 0,
            mask: [mask[0], mask[1], mask[2], mask[3]],
            len: usize::try_from(len).unwrap_or(usize::MAX),
            come: 0,
        };
        // "The minimal number of bytes MUST be used", and the highest bit be 0 (section 5.2).
        if (header.len() == 8 && len < 126) || (header.len() == 14 && !(0x1_0000..1 << 63).contains(&len)) {
            return Err(protocol("a length in a form that it must not have"));
        }
        if frame.opcode < CLOSE {
            self.begin(frame)?;
        }
        self.frame = Some(frame);
        Ok(Some(frame))
    }

    /// Checks the first two bytes as soon as each is there.
    fn check_beginning(&self) -> Result<(), Violation> {
        let first = self.header[0];
        let opcode = first & 0x0F;
        if first & RESERVED != 0 {
            return Err(protocol("a reserved bit without an extension"));
        }
        let is_control = opcode >= CLOSE;
        if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(protocol("an opcode that does not exist"));
        }
        if is_control && first & FIN == 0 {
            return Err(protocol("a fragmented control frame"));
        }
        if opcode == CONTINUATION && self.open.is_none() {
            return Err(protocol("a continuation of no message"));
        }
        if matches!(opcode, TEXT | BINARY) && self.open.is_some() {
            return Err(protocol("a new message within a fragmented one"));
        }
        if self.header_len > 1 {
            let second = self.header[1];
            if second & MASKED == 0 {
                return Err(protocol("a frame without a mask"));
            }
            if is_control && usize::from(second & 0x7F) > CONTROL_PAYLOAD_MAX {
                return Err(protocol("a control frame of more than 125 bytes"));
            }
        }
        Ok(())
    }

    /// A data frame begins.
    fn begin(&mut self, frame: Frame) -> Result<(), Violation> {
        let left = self.limits.max_message.saturating_sub(self.message.len());
        if frame.len > left {
            return Err(Violation {
                code: close_code::TOO_BIG,
                reason: "too large a message",
                limit: Some(Limit::Message),
            });
        }
        if frame.opcode != CONTINUATION {
            self.open = Some(frame.opcode == TEXT);
            self.fragments = 0;
        }
        self.fragments += 1;
        if self.fragments > self.limits.max_fragments.max(1) {
            let limit = Some(Limit::Fragments);
            return Err(Violation { code: close_code::TOO_BIG, reason: "a message of too many fragments", limit });
        }
        Ok(())
    }

    /// Takes bytes of a frame's payload, without their mask.
    fn payload(
        &mut self,
        frame: Frame,
        piece: &[u8],
        visit: &mut impl FnMut(Item<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        let is_whole = frame.come + piece.len() == frame.len;
        self.frame = (!is_whole).then_some(Frame { come: frame.come + piece.len(), ..frame });
        if frame.opcode >= CLOSE {
            return self.control(frame, piece, is_whole, visit);
        }
        let is_text = self.open == Some(true);
        let is_over = is_whole && frame.is_final;
        if is_over && self.message.is_empty() && frame.come == 0 {
            // All of it lies here: most messages do, and are not copied.
            self.open = None;
            return self.give(is_text, piece, visit);
        }
        if is_text {
            self.text.push(piece).map_err(|_| NOT_UTF8)?;
        }
        self.message.extend_from_slice(piece);
        if !is_over {
            return Ok(ControlFlow::Continue(()));
        }
        self.open = None;
        // The buffer goes with it: most connections are idle, and nothing is kept for them.
        let message = mem::take(&mut self.message);
        self.give(is_text, &message, visit)
    }

    fn give(
        &mut self,
        is_text: bool,
        payload: &[u8],
        visit: &mut impl FnMut(Item<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Violation> {
        self.text = Utf8::default();
        if is_text {
            let text = std::str::from_utf8(payload).map_err(|_| NOT_UTF8)?;
            return Ok(visit(Item::Text(text)));
        }
        Ok(visit(Item::Binary(payload)))
    }

    fn control(
        &mut self,
        frame: Frame,
        piece: &[u8],
        is_whole: bool,
        visit: &mut impl FnMut(Item<'_>) -> ControlFlow<()>,
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
            PING => visit(Item::Ping(payload)),
            PONG => visit(Item::Pong(payload)),
            _ => {
                let (code, reason) = close_of(payload)?;
                self.is_over = true;
                visit(Item::Close(code, reason))
            }
        })
    }
}

/// The payload of a close frame (RFC 6455 sections 5.5.1 and 7.4).
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

/// Bytes of a header with this beginning, or as many as are needed to know.
fn header_len(beginning: &[u8]) -> usize {
    match beginning.get(1).map(|second| second & 0x7F) {
        None => 2,
        Some(126) => 8,
        Some(127) => 14,
        Some(_) => 6,
    }
}

fn protocol(reason: &'static str) -> Violation {
    Violation { code: close_code::PROTOCOL_ERROR, reason, limit: None }
}

const NOT_UTF8: Violation = Violation { code: close_code::INVALID_DATA, reason: "text that is not UTF-8", limit: None };

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

const WHOLE_TEXT: u8 = FIN | TEXT;
const WHOLE_BINARY: u8 = FIN | BINARY;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// Bytes of the longest header: two, a length of eight, and the mask.
const HEADER_MAX: usize = 14;

#[cfg(test)]
mod tests;
