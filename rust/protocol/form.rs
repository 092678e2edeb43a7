//! The form of a message: its codec and its framing. All connections with the same form share its bytes.

use crate::protocol::codec::Codec;
use crate::protocol::framing::Framing;

/// A codec and a framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The format of the payload and its envelope.
    pub codec: Codec,
    /// The form on the transport.
    pub framing: Framing,
}

impl Form {
    /// The number of forms.
    pub const COUNT: usize = 3 * Framing::COUNT;

    /// The payload in a WebSocket frame.
    pub const RAW: Self = Self::websocket(Codec::Raw);
    /// A JSON envelope in a text frame.
    pub const JSON: Self = Self::websocket(Codec::Json);
    /// A MessagePack envelope in a binary frame.
    pub const MSGPACK: Self = Self::websocket(Codec::Msgpack);

    /// Returns WebSocket frames with this codec.
    pub const fn websocket(codec: Codec) -> Self {
        Self { codec, framing: Framing::WebSocket }
    }

    /// Returns its index, below [`Self::COUNT`].
    pub const fn index(self) -> usize {
        self.codec as usize * Framing::COUNT + self.framing as usize
    }

    /// Frames a whole envelope that was encoded elsewhere.
    pub fn frame(self, envelope: &[u8]) -> Box<[u8]> {
        self.framing.frame(self.codec.is_text(), envelope)
    }
}
