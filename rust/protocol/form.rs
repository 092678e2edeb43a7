//! What a message is to one connection: its codec and its framing. All connections with the same form share the bytes.

use crate::protocol::codec::Codec;
use crate::protocol::framing::Framing;

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// What a payload looks like.
    pub codec: Codec,
    /// How it lies on the wire.
    pub framing: Framing,
}

impl Form {
    /// How many there are.
    pub const COUNT: usize = 3 * Framing::COUNT;

    /// The payload in a WebSocket frame.
    pub const RAW: Self = Self::websocket(Codec::Raw);
    /// An envelope of JSON in a text frame.
    pub const JSON: Self = Self::websocket(Codec::Json);
    /// An envelope of MessagePack in a binary frame.
    pub const MSGPACK: Self = Self::websocket(Codec::Msgpack);

    /// WebSocket frames with this codec.
    pub const fn websocket(codec: Codec) -> Self {
        Self { codec, framing: Framing::WebSocket }
    }

    /// Its place among all, below [`Self::COUNT`].
    pub const fn index(self) -> usize {
        self.codec as usize * Framing::COUNT + self.framing as usize
    }

    /// A whole envelope that was written by somebody else.
    pub fn frame(self, envelope: &[u8]) -> Box<[u8]> {
        self.framing.frame(self.codec.is_text(), envelope)
    }
}
