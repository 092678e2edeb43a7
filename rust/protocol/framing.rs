//! The framing of a message: the bytes around it, by which its receiver finds its end. Pure.

use crate::wire::frame::{self, Opcode};

/// The kinds of framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Framing {
    /// A WebSocket message, text or binary, in one frame (RFC 6455 section 5.6).
    WebSocket,
}

impl Framing {
    /// The number of framings.
    pub const COUNT: usize = 1;

    /// Frames a whole message; it must be UTF-8 if it `is_text`.
    pub fn frame(self, is_text: bool, message: &[u8]) -> Box<[u8]> {
        match self {
            Self::WebSocket => frame::encode(opcode(is_text), message),
        }
    }

    /// Begins a message of about `size` bytes that is written in pieces.
    pub fn begin(self, size: usize) -> Framed {
        let mut bytes = Vec::with_capacity(HEADER + size);
        bytes.extend_from_slice(&[0; HEADER]);
        Framed { framing: self, bytes }
    }
}

/// A message that is being written. Its bytes stand after a gap for the frame's header, so that they are written once
/// and not moved: nearly every envelope has 126 to 65,535 bytes, and a header of four.
#[derive(Debug)]
pub struct Framed {
    framing: Framing,
    bytes: Vec<u8>,
}

impl Framed {
    /// Returns the buffer to append the message to.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Returns the framed message; it must be UTF-8 if it `is_text`.
    pub fn finish(mut self, is_text: bool) -> Box<[u8]> {
        match self.framing {
            Framing::WebSocket => {
                let mut header = frame::header(opcode(is_text), self.bytes.len() - HEADER);
                if header.len() == HEADER {
                    self.bytes[..HEADER].copy_from_slice(&header);
                } else {
                    header.extend_from_slice(&self.bytes[HEADER..]);
                    self.bytes = header;
                }
            }
        }
        self.bytes.into_boxed_slice()
    }
}

fn opcode(is_text: bool) -> Opcode {
    if is_text { Opcode::Text } else { Opcode::Binary }
}

/// The length of the usual frame header.
const HEADER: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_pieces_is_framed_like_a_whole_one() {
        for len in [0, 1, 125, 126, 0xFFFF, 0x1_0000] {
            for is_text in [true, false] {
                let message = vec![b'x'; len];
                let mut framed = Framing::WebSocket.begin(0);
                framed.bytes().extend_from_slice(&message);
                assert_eq!(framed.finish(is_text), Framing::WebSocket.frame(is_text, &message), "{len}");
            }
        }
    }
}
