//! The codec: the format of payloads.

/// The format in which a connection gets messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// The publisher's bytes and nothing else.
    Raw,
    /// A JSON envelope.
    Json,
    /// A MessagePack envelope.
    Msgpack,
}

impl Codec {
    /// Whether messages come in envelopes, which have a type, so that there are others than data. It does not tell
    /// whether the connection has a session.
    pub fn has_envelopes(self) -> bool {
        self != Self::Raw
    }

    /// Whether its envelopes are UTF-8.
    pub fn is_text(self) -> bool {
        self == Self::Json
    }
}
