//! The framing of a message: the bytes around it, by which its receiver finds its end. Pure.

use crate::wire::event_stream::{self, TEXT};
use crate::wire::frame::{self, Opcode};

/// The kinds of framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Framing {
    /// A WebSocket message, text or binary, in one frame (RFC 6455 section 5.6).
    WebSocket,
    /// An event of an event stream ([`event_stream`]), over which the peer sends nothing.
    EventStream,
}

impl Framing {
    /// The number of framings.
    pub const COUNT: usize = 2;

    /// Whether only the server sends. The peer's messages come by other requests.
    pub fn is_one_way(self) -> bool {
        self == Self::EventStream
    }

    /// Frames a whole message; it must be UTF-8 if it `is_text`.
    pub fn frame(self, is_text: bool, message: &[u8]) -> Box<[u8]> {
        match self {
            Self::WebSocket => frame::encode(opcode(is_text), message),
            Self::EventStream => event_stream::message(is_text, message),
        }
    }

    /// Returns the bytes of the messages that were framed, without what stands around them.
    pub fn inner_len(self, framed: &[u8]) -> usize {
        match self {
            Self::WebSocket => frame::payload_len(framed),
            Self::EventStream => event_stream::data_len(framed),
        }
    }

    /// Begins a message of about `size` bytes that is written in pieces.
    pub fn begin(self, size: usize) -> Framed {
        let mut bytes = Vec::with_capacity(BEGINNING_MAX + size);
        match self {
            Self::WebSocket => bytes.extend_from_slice(&[0; HEADER]),
            Self::EventStream => bytes.extend_from_slice(TEXT),
        }
        Framed { framing: self, bytes }
    }

    /// Returns a sign of life that the peer's program does not see. A WebSocket's peer answers it with this payload.
    pub fn ping(self, payload: &[u8]) -> Box<[u8]> {
        match self {
            Self::WebSocket => frame::control(Opcode::Ping, payload),
            Self::EventStream => event_stream::HEARTBEAT.into(),
        }
    }

    /// Returns the last frame of a connection.
    pub fn close(self, code: Option<u16>, reason: &str) -> Box<[u8]> {
        match self {
            Self::WebSocket => frame::close(code, reason),
            Self::EventStream => event_stream::close(code, reason),
        }
    }
}

/// A message that is being written. In a WebSocket its bytes stand after a gap for the frame's header, so that they are
/// written once and not moved: nearly every envelope has 126 to 65,535 bytes, and a header of four.
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
            Framing::EventStream if is_text => return event_stream::finish_text(self.bytes),
            Framing::EventStream => return event_stream::message(false, &self.bytes[TEXT.len()..]),
        }
        self.bytes.into_boxed_slice()
    }
}

fn opcode(is_text: bool) -> Opcode {
    if is_text { Opcode::Text } else { Opcode::Binary }
}

/// The length of the usual frame header.
const HEADER: usize = 4;

/// The bytes that any framing has around the usual message.
const BEGINNING_MAX: usize = TEXT.len() + 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_in_pieces_is_framed_like_a_whole_one() {
        for framing in [Framing::WebSocket, Framing::EventStream] {
            for len in [0, 1, 125, 126, 0xFFFF, 0x1_0000] {
                for (is_text, byte) in [(true, b'x'), (true, b'\n'), (false, 0xFF)] {
                    let message = vec![byte; len];
                    let mut framed = framing.begin(0);
                    framed.bytes().extend_from_slice(&message);
                    assert_eq!(framed.finish(is_text), framing.frame(is_text, &message), "{len}");
                }
            }
        }
    }

    #[test]
    fn control_frames_are_those_of_the_framing() {
        assert_eq!(*Framing::WebSocket.ping(b"hi"), [0x89, 2, b'h', b'i']);
        assert_eq!(*Framing::EventStream.ping(b"hi"), *b":\n\n");
        assert_eq!(Framing::WebSocket.close(Some(1001), "bye"), frame::close(Some(1001), "bye"));
        assert_eq!(Framing::EventStream.close(None, ""), event_stream::close(None, ""));
        assert_eq!([Framing::WebSocket, Framing::EventStream].map(Framing::is_one_way), [false, true]);
    }
}
