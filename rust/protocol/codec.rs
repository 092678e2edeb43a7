//! What a payload looks like.

/// What a connection gets for each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// The publisher's bytes and nothing else.
    Raw,
    /// An envelope of JSON.
    Json,
    /// An envelope of MessagePack.
    Msgpack,
}

impl Codec {
    /// Whether messages come in envelopes, which have a type, so that there may be others than data. It does not say
    /// whether the connection has a session.
    pub fn has_envelopes(self) -> bool {
        self != Self::Raw
    }

    /// Whether its envelopes are UTF-8.
    pub fn is_text(self) -> bool {
        self == Self::Json
    }
}
