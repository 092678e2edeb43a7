//! The form of a message: its codec, its framing, whether it is joined with others, how it is compressed, and whether it
//! may be a delta. All connections with the same form share its bytes.

use crate::protocol::codec::Codec;
use crate::protocol::framing::Framing;
pub use crate::wire::deflate::Deflate;

/// How the bytes of a message look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The format of the payload and its envelope.
    pub codec: Codec,
    /// The form on the transport.
    pub framing: Framing,
    /// Whether messages that were joined are one message, an array of their envelopes. Only of codecs with envelopes.
    pub is_batched: bool,
    /// How it is compressed. Only in WebSocket frames.
    pub deflate: Deflate,
    /// Whether a message may be a delta to the value before. Only of codecs with envelopes.
    pub has_deltas: bool,
}

impl Form {
    /// The number of plain forms.
    pub const PLAIN: usize = 3 * Framing::COUNT;

    /// The payload in a WebSocket frame.
    pub const RAW: Self = Self::websocket(Codec::Raw);
    /// A JSON envelope in a text frame.
    pub const JSON: Self = Self::websocket(Codec::Json);
    /// A MessagePack envelope in a binary frame.
    pub const MSGPACK: Self = Self::websocket(Codec::Msgpack);

    /// Returns WebSocket frames with this codec.
    pub const fn websocket(codec: Codec) -> Self {
        Self::plain(codec, Framing::WebSocket)
    }

    /// Returns events of an event stream with this codec.
    pub const fn event_stream(codec: Codec) -> Self {
        Self::plain(codec, Framing::EventStream)
    }

    /// Returns the form with this codec and framing in which each message stands alone, whole and not compressed.
    pub const fn plain(codec: Codec, framing: Framing) -> Self {
        Self { codec, framing, is_batched: false, deflate: Deflate::None, has_deltas: false }
    }

    /// Whether each message stands alone, whole and not compressed.
    pub const fn is_plain(self) -> bool {
        !self.is_batched && matches!(self.deflate, Deflate::None) && !self.has_deltas
    }

    /// Returns the index of the plain form with its codec and framing, below [`Self::PLAIN`].
    pub const fn index(self) -> usize {
        self.codec as usize * Framing::COUNT + self.framing as usize
    }

    /// Frames a whole envelope that was encoded elsewhere.
    pub fn frame(self, envelope: &[u8]) -> Box<[u8]> {
        self.framing.frame(self.codec.is_text(), envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_plain_form_has_a_place_of_its_own() {
        let codecs = [Codec::Raw, Codec::Json, Codec::Msgpack];
        let forms = codecs.map(Form::websocket).into_iter().chain(codecs.map(Form::event_stream));
        let mut places: Vec<_> = forms.map(Form::index).collect();
        places.sort_unstable();
        assert_eq!(places, (0..Form::PLAIN).collect::<Vec<_>>());
    }
}
