//! The values that a payload may hold, in JSON (RFC 8259) and in MessagePack: checked, and translated from one to the
//! other without changing a value. Pure functions on bytes; docs/values.md is their contract.
//!
//! A document holds null, booleans, integers of 64 bits (-2^63 to 2^64-1), finite floats of 64 bits, Unicode strings,
//! lists, and maps with unique string keys. Everything else is refused, with the path of the value. The depth is
//! limited, so recursion is safe.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use crate::protocol::document::json::{Discard, Json};
use crate::protocol::document::msgpack::{Msgpack, Packed};
pub use crate::protocol::document::scan::{glance, payload_of};

/// A value that a document must not hold, and its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The path from the inside to the outside.
    steps: Vec<Step>,
    /// What is wrong with the value.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Index(usize),
    Key(String),
}

impl Fault {
    fn new(text: impl Into<String>) -> Self {
        Self { steps: Vec::new(), text: text.into() }
    }

    fn below(mut self, step: impl FnOnce() -> Step) -> Self {
        self.steps.push(step());
        self
    }

    /// Returns the path: `$` is the document, `$.orders[3].price` a value inside. A long path ends with an ellipsis.
    pub fn path(&self) -> String {
        let mut path = String::from("$");
        for step in self.steps.iter().rev() {
            if path.len() > PATH_MAX {
                path.push('\u{2026}');
                break;
            }
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Key(key) => write!(path, ".{key}"),
            };
        }
        path
    }
}

/// Checks a JSON document.
pub fn check_json(json: &[u8], max_nesting: usize) -> Result<(), Fault> {
    Json::new(json)?.document(&mut Discard, max_nesting)
}

/// Appends a JSON document as MessagePack, with integers and headers in their shortest form. After a fault the buffer
/// is as before. Does not check that keys are unique, because documents are checked where they enter.
pub fn json_to_msgpack(json: &[u8], max_nesting: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    let result = Json::new(json).and_then(|mut json| json.document(&mut Packed(out), max_nesting));
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Translates a MessagePack document to JSON.
pub fn msgpack_to_json(msgpack: &[u8], max_nesting: usize) -> Result<Vec<u8>, Fault> {
    let mut from = Msgpack { rest: msgpack };
    let mut out = Vec::with_capacity(msgpack.len() * 2);
    from.value(&mut out, max_nesting, max_nesting)?;
    if from.rest.is_empty() {
        Ok(out)
    } else {
        Err(Fault::new("must be one MessagePack document, and more follows it"))
    }
}

/// The keys of one map.
#[derive(Default)]
struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    fn add(&mut self, key: Cow<'a, str>) -> Result<(), Fault> {
        let is_new = if self.few.len() < FEW && self.many.is_empty() {
            !self.few.contains(&key)
        } else {
            // The hash of the standard library has a secret key, so a peer cannot choose keys that collide.
            self.many.extend(self.few.drain(..));
            !self.many.contains(&key)
        };
        if !is_new {
            return Err(Fault::new("must not come twice in one map").below(|| step(&key)));
        }
        if self.many.is_empty() {
            self.few.push(key);
        } else {
            self.many.insert(key);
        }
        Ok(())
    }
}

fn below(levels: usize, max_nesting: usize) -> Result<usize, Fault> {
    levels.checked_sub(1).ok_or_else(|| Fault::new(format!("{TOO_DEEP} {max_nesting} levels")))
}

fn step(key: &str) -> Step {
    Step::Key(short(key))
}

/// Shortens a text for people.
fn short(text: &str) -> String {
    match text.char_indices().nth(SHORT) {
        None => text.into(),
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
    }
}

/// The limit on levels for any caller, because each level takes some hundred bytes of the stack. A server allows at
/// most 200, and a payload of the protocol may have some levels around what the application gives, such as a list of
/// members.
pub const DEPTH_MAX: usize = 256;

const TOO_DEEP: &str = "must not be nested deeper than";

/// Up to so many keys are compared one by one.
const FEW: usize = 16;

/// The limit on characters of a key or number in a fault.
const SHORT: usize = 40;

/// The approximate limit on bytes of a path.
const PATH_MAX: usize = 400;

mod json;
mod msgpack;
mod scan;
#[cfg(test)]
mod tests;
