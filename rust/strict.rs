//! How the engine reads what a client writes in an envelope: fields that are right, or nothing. Pure. The host reads what is
//! left to it, and says what is wrong.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::wire::table::limit;

/// A text. MessagePack's bytes are none, even if they are UTF-8.
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

/// Refuses to read unless something is right.
pub fn require<E: de::Error>(is_right: bool) -> Result<(), E> {
    if is_right { Ok(()) } else { Err(wrong()) }
}

/// What is wrong the host finds out.
pub fn wrong<E: de::Error>() -> E {
    E::custom("not what the engine reads")
}

/// Characters of an id.
pub const ID_MAX: usize = limit::ID_MAX;

/// Characters of a name of a room or a key.
pub const NAME_MAX: usize = limit::ROOM_MAX;
