//! Who publishes what in a phase: when, where to, and the payloads, each with its stamp.

use crate::quote::Quotes;
use crate::stamp;

/// When messages are published.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// This many are always in flight; a message is done when all its recipients have it.
    Window(u64),
    /// `burst` messages together, `rate` a second, by the clock, whatever has become of the earlier ones.
    Paced {
        /// Messages per second.
        rate: f64,
        /// Messages of the same instant.
        burst: u64,
    },
}

/// Who publishes what.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// When.
    pub load: Load,
    /// Bytes of a payload.
    pub size: usize,
    /// Where to.
    pub to: To,
    /// What messages are.
    pub content: Content,
}

/// What messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Bytes, the same ones but for the stamp.
    Bytes,
    /// Text, the same but for the stamp, which is base64 at its beginning.
    Text,
    /// Quotes, each another one; sessions get them as JSON.
    Quotes {
        /// Of the feed.
        seed: u64,
        /// Whether they are published as JSON and not as text.
        is_json: bool,
    },
}

/// Where messages are published to.
#[derive(Debug, Clone, Copy)]
pub enum To {
    /// The one room, through `/pub`.
    Room,
    /// So many rooms in turn, through `/pubrooms`.
    Rooms(u64),
    /// So many keys of the room of latest values in turn, through `/publatest`.
    Keys(u64),
}

impl To {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Room => "/pub",
            Self::Rooms(_) => "/pubrooms",
            Self::Keys(_) => "/publatest",
        }
    }

    /// What goes before the payload: the name of a room, or of a key.
    pub(crate) fn name(self, number: u64) -> Option<String> {
        match self {
            Self::Room => None,
            Self::Rooms(count) | Self::Keys(count) => Some((number % count).to_string()),
        }
    }
}

/// One payload, written over for each message, and the name that goes before it.
pub(crate) struct Payload {
    bytes: Vec<u8>,
    to: To,
    size: usize,
    content: Content,
    quotes: Option<Quotes>,
}

impl Payload {
    pub(crate) fn new(plan: &Plan) -> Self {
        let (size, quotes) = match plan.content {
            Content::Bytes => (plan.size.max(stamp::SIZE), None),
            Content::Text => (plan.size.max(stamp::TEXT), None),
            Content::Quotes { seed, .. } => (0, Some(Quotes::new(seed))),
        };
        Self { bytes: vec![b'.'; size], to: plan.to, size, content: plan.content, quotes }
    }

    /// The payload of a message.
    pub(crate) fn stamped(&mut self, sent: u64, number: u64) -> &[u8] {
        if let Some(quotes) = &mut self.quotes {
            quotes.write(&mut self.bytes, sent, number);
            return &self.bytes;
        }
        if let Some(name) = self.to.name(number) {
            self.bytes.clear();
            self.bytes.extend_from_slice(&u16::try_from(name.len()).unwrap_or(0).to_be_bytes());
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.resize(2 + name.len() + self.size, b'.');
        }
        let start = self.bytes.len() - self.size;
        if self.content == Content::Text {
            stamp::write_text(&mut self.bytes[start..], sent, number);
        } else {
            stamp::write(&mut self.bytes[start..], sent, number);
        }
        &self.bytes
    }
}

impl Content {
    pub(crate) fn is_text(self) -> bool {
        self != Self::Bytes
    }

    pub(crate) fn is_json(self) -> bool {
        matches!(self, Self::Quotes { is_json: true, .. })
    }
}
