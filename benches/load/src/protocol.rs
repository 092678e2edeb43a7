//! The subprotocols of Fanwire (docs/protocol.md): what a reader says in each, and single fields of what a server says.
//! Not a parser of envelopes: a field is searched by its name.

use crate::frame;

/// The `id` of the one message that wants an answer.
pub(crate) const JOIN: &str = "join";
/// No field that a server writes before the payload is longer; beyond it nothing is looked for.
const HEAD: usize = 1024;

/// A subprotocol of Fanwire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// Text messages of JSON.
    #[value(name = "fanwire.v1.json")]
    Json,
    /// Binary messages of MessagePack.
    #[value(name = "fanwire.v1.msgpack")]
    Msgpack,
}

impl Protocol {
    /// Its name in the handshake.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "fanwire.v1.json",
            Self::Msgpack => "fanwire.v1.msgpack",
        }
    }

    pub(crate) fn opcode(self) -> u8 {
        match self {
            Self::Json => frame::TEXT,
            Self::Msgpack => frame::BINARY,
        }
    }

    /// What a value of the key `name` comes after.
    fn key(self, name: &str) -> Vec<u8> {
        match self {
            Self::Json => format!("\"{name}\":").into_bytes(),
            Self::Msgpack => text(name),
        }
    }

    pub(crate) fn join(self, room: &str) -> Vec<u8> {
        match self {
            Self::Json => serde_json::json!({"type": "join", "id": JOIN, "room": room}).to_string().into_bytes(),
            Self::Msgpack => {
                let words = ["type", "join", "id", JOIN, "room", room];
                [vec![0x83], words.map(text).concat()].concat()
            }
        }
    }

    /// So many messages have come; all that are of the room `taken` were taken.
    pub(crate) fn received(self, count: u64, taken: Option<&str>) -> Vec<u8> {
        match self {
            Self::Json => {
                let taken = taken.map_or(String::new(), |room| format!(r#","taken":{{"{room}":{{"count":{count}}}}}"#));
                format!(r#"{{"type":"received","payload":{{"count":{count}{taken}}}}}"#).into_bytes()
            }
            Self::Msgpack => {
                let head = [&[0x82][..], &text("type"), &text("received"), &text("payload")].concat();
                let count = [&text("count")[..], &[0xCF], &count.to_be_bytes()].concat();
                let taken = taken.map(|room| [&text("taken")[..], &[0x81], &text(room), &[0x81], &count].concat());
                let fields = 0x81 + u8::from(taken.is_some());
                [&head[..], &[fields], &count, taken.as_deref().unwrap_or_default()].concat()
            }
        }
    }

    pub(crate) fn pong(self) -> Vec<u8> {
        match self {
            Self::Json => br#"{"type":"pong"}"#.to_vec(),
            Self::Msgpack => [vec![0x81], text("type"), text("pong")].concat(),
        }
    }

    /// A short word of an envelope, such as its `type`. Fanwire writes that first, but the protocol does not promise it.
    pub(crate) fn word<'a>(self, envelope: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let rest = &envelope[after(envelope, &self.key(name))?..];
        match self {
            Self::Json => rest.strip_prefix(b"\"")?.split(|&b| b == b'"').next(),
            Self::Msgpack => match *rest.first()? {
                short @ 0xA0..=0xBF => rest.get(1..1 + usize::from(short & 0x1F)),
                _ => None,
            },
        }
    }

    /// An unsigned number of the payload.
    pub(crate) fn number(self, envelope: &[u8], name: &str) -> Option<u64> {
        let rest = &envelope[after(envelope, &self.key(name))?..];
        match self {
            Self::Json => {
                let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
                std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
            }
            Self::Msgpack => match *rest.first()? {
                small @ 0..0x80 => Some(u64::from(small)),
                form @ 0xCC..=0xCF => {
                    let bytes = rest.get(1..1 + (1 << (form - 0xCC)))?;
                    Some(bytes.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
                }
                _ => None,
            },
        }
    }
}

/// Where what follows the first `key` begins.
pub(crate) fn after(envelope: &[u8], key: &[u8]) -> Option<usize> {
    let head = &envelope[..envelope.len().min(HEAD)];
    head.windows(key.len()).position(|part| part == key).map(|at| at + key.len())
}

/// A short string of MessagePack. A room of a bench has a name of a few bytes; the length is cut to what fits.
pub(crate) fn text(word: &str) -> Vec<u8> {
    let size = u8::try_from(word.len()).unwrap_or(u8::MAX);
    let mut out = if size < 32 { vec![0xA0 | size] } else { vec![0xD9, size] };
    out.extend_from_slice(&word.as_bytes()[..usize::from(size)]);
    out
}
