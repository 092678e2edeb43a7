//! How the engine reads the fields of an envelope that a client wrote: all of them are valid, or the message is left to
//! the host, which answers with the error. Pure.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::wire::table::limit;

/// A text. MessagePack's binary type is refused, even if it holds UTF-8.
#[derive(Debug)]
pub struct Text(pub Box<str>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(document: D) -> Result<Self, D::Error> {
        document.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.into()))
    }
}

/// Whether a text has 1 to `most` characters.
pub fn fits(text: &str, most: usize) -> bool {
    !text.is_empty() && (text.len() <= most || text.chars().count() <= most)
}

/// Fails unless `is_right`.
pub fn require<E: de::Error>(is_right: bool) -> Result<(), E> {
    if is_right { Ok(()) } else { Err(wrong()) }
}

/// The error of every message that is left to the host. It is never shown, so it does not say what is wrong.
pub fn wrong<E: de::Error>() -> E {
    E::custom("the message is left to the host")
}

/// The limit on characters of an id.
pub const ID_MAX: usize = limit::ID_MAX;

/// The limit on characters of a room's name or a key.
pub const NAME_MAX: usize = limit::ROOM_MAX;
