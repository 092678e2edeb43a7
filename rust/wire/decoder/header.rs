//! Decodes the headers of frames (RFC 6455 section 5.2). They are checked byte by byte, before the payload comes.

use std::mem;

use crate::limit::Limit;
use crate::wire::decoder::{
    BINARY, CLOSE, CONTINUATION, Decoder, FIN, MASKED, PING, PONG, TEXT, TOO_LARGE, Violation, protocol,
};
use crate::wire::frame::{CONTROL_PAYLOAD_MAX, RSV1};
use crate::wire::table::close_code;

#[derive(Debug, Clone, Copy)]
pub(super) struct FrameHeader {
    pub(super) opcode: u8,
    pub(super) is_final: bool,
    pub(super) mask: [u8; 4],
    pub(super) len: usize,
    /// The bytes of the payload that have come.
    pub(super) come: usize,
}

impl Decoder {
    /// Reads a header; none if it is incomplete. The frame may have no payload.
    pub(super) fn header(&mut self, at: &mut usize, input: &[u8]) -> Result<Option<FrameHeader>, Violation> {
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
        let first = header[0];
        let frame = FrameHeader {
            opcode: first & 0x0F,
            is_final: first & FIN != 0,
            mask: [mask[0], mask[1], mask[2], mask[3]],
            len: usize::try_from(len).unwrap_or(usize::MAX),
            come: 0,
        };
        // "The minimal number of bytes MUST be used", and the highest bit must be 0 (section 5.2).
        if (header.len() == 8 && len < 126) || (header.len() == 14 && !(0x1_0000..1 << 63).contains(&len)) {
            return Err(protocol("a length in a form that it must not have"));
        }
        if frame.opcode < CLOSE {
            if frame.opcode != CONTINUATION {
                self.is_compressed = first & RSV1 != 0;
            }
            self.begin(frame)?;
        }
        self.frame = Some(frame);
        Ok(Some(frame))
    }

    /// Checks each of the first two bytes as soon as it has come.
    fn check_beginning(&self) -> Result<(), Violation> {
        let first = self.header[0];
        let opcode = first & 0x0F;
        // Only the first frame of a message says that it is compressed (RFC 7692 section 6).
        let reserved = if self.inflates && matches!(opcode, TEXT | BINARY) { RESERVED & !RSV1 } else { RESERVED };
        if first & reserved != 0 {
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

    /// Begins a data frame.
    fn begin(&mut self, frame: FrameHeader) -> Result<(), Violation> {
        let max_message = self.limits.max_message;
        // Data that does not compress gets larger, with the worst encoder by an eighth.
        let max = if self.is_compressed { max_message.saturating_add(max_message / 8 + ENDS) } else { max_message };
        if frame.len > max.saturating_sub(self.message.len()) {
            return Err(TOO_LARGE);
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
}

/// Returns the length of a header with this beginning, or how many bytes are needed to know it.
fn header_len(beginning: &[u8]) -> usize {
    match beginning.get(1).map(|second| second & 0x7F) {
        None => 2,
        Some(126) => 8,
        Some(127) => 14,
        Some(_) => 6,
    }
}

const RESERVED: u8 = 0x70;

/// Bytes for the headers and ends of blocks, which also a short message has.
const ENDS: usize = 64;

/// The length of the longest header: two bytes, a length of eight, and the mask.
pub(super) const HEADER_MAX: usize = 14;
