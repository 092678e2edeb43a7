//! Encodes the envelopes that a server sends (docs/protocol.md), in the form of their connection. Pure functions on
//! bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::protocol::document::{self, DEPTH_MAX};
pub use crate::protocol::envelope::control::{ping, pong, window};
use crate::protocol::framing::Framing;

/// The kind of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
    /// A JSON document.
    Json,
}

impl Kind {
    /// Whether it is UTF-8.
    pub fn is_text(self) -> bool {
        self != Self::Binary
    }
}

/// The id of a message.
#[derive(Debug, Clone, Copy)]
pub enum Id<'a> {
    /// An id that the sender has given.
    Given(&'a str),
    /// The epoch and the number in it.
    Numbered(u64, u64),
}

/// One message with all its fields. Absent fields are left out.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the fields are those of the protocol")]
pub struct Envelope<'a> {
    pub label: &'a str,
    pub id: Id<'a>,
    pub ts_ms: u64,
    pub re: Option<&'a str>,
    pub room: Option<&'a str>,
    pub seq: Option<u64>,
    pub prev: Option<u64>,
    pub base: Option<u64>,
    pub key: Option<&'a str>,
    pub ack: bool,
    pub kind: Kind,
    pub payload: &'a [u8],
}

/// Frames a JSON array of envelopes.
pub fn json_array<'a>(envelopes: impl ExactSizeIterator<Item = Envelope<'a>>, framing: Framing) -> Box<[u8]> {
    let mut out = framing.begin(ENVELOPE * envelopes.len());
    for (place, envelope) in envelopes.enumerate() {
        out.bytes().push(if place == 0 { b'[' } else { b',' });
        envelope.write_json(out.bytes());
    }
    out.bytes().push(b']');
    out.finish(true)
}

/// Frames a MessagePack array of envelopes.
pub fn msgpack_array<'a>(envelopes: impl ExactSizeIterator<Item = Envelope<'a>>, framing: Framing) -> Box<[u8]> {
    let mut out = framing.begin(ENVELOPE * envelopes.len());
    // Writing to a vector cannot fail.
    let _ = rmp::encode::write_array_len(out.bytes(), envelopes.len() as u32);
    for envelope in envelopes {
        envelope.write_msgpack(out.bytes());
    }
    out.finish(false)
}

impl Envelope<'_> {
    /// Encodes it in JSON.
    pub fn json(&self, framing: Framing) -> Box<[u8]> {
        let mut out = framing.begin(ENVELOPE + self.payload.len());
        self.write_json(out.bytes());
        out.finish(true)
    }

    /// It in JSON, without what stands around it.
    pub fn write_json(&self, buf: &mut Vec<u8>) {
        buf.extend_from_slice(b"{\"type\":\"");
        buf.extend_from_slice(self.label.as_bytes());
        buf.extend_from_slice(b"\",\"id\":");
        match self.id {
            Id::Given(id) => push_json_string(buf, id),
            Id::Numbered(epoch, seq) => {
                buf.push(b'"');
                push_hex(buf, epoch);
                buf.push(b'-');
                push_decimal(buf, seq);
                buf.push(b'"');
            }
        }
        buf.extend_from_slice(b",\"ts\":");
        push_decimal(buf, self.ts_ms);
        for (name, value) in [(&b",\"re\":"[..], self.re), (b",\"room\":", self.room), (b",\"key\":", self.key)] {
            if let Some(value) = value {
                buf.extend_from_slice(name);
                push_json_string(buf, value);
            }
        }
        for (name, value) in [(&b",\"seq\":"[..], self.seq), (b",\"prev\":", self.prev), (b",\"base\":", self.base)] {
            if let Some(value) = value {
                buf.extend_from_slice(name);
                push_decimal(buf, value);
            }
        }
        if self.ack {
            buf.extend_from_slice(b",\"ack\":true");
        }
        match self.kind {
            Kind::Json if !self.has_payload() => {}
            Kind::Json => {
                buf.extend_from_slice(b",\"payload\":");
                buf.extend_from_slice(self.payload);
            }
            Kind::Text => {
                buf.extend_from_slice(b",\"payload\":");
                push_json_string(buf, &String::from_utf8_lossy(self.payload));
            }
            Kind::Binary => {
                buf.extend_from_slice(b",\"encoding\":\"base64\",\"payload\":\"");
                buf.extend_from_slice(BASE64.encode(self.payload).as_bytes());
                buf.push(b'"');
            }
        }
        buf.push(b'}');
    }

    /// Encodes it in MessagePack.
    pub fn msgpack(&self, framing: Framing) -> Box<[u8]> {
        let mut out = framing.begin(ENVELOPE + self.payload.len());
        self.write_msgpack(out.bytes());
        out.finish(false)
    }

    /// No JSON document is empty, so an empty one means that there is no payload.
    fn has_payload(&self) -> bool {
        self.kind != Kind::Json || !self.payload.is_empty()
    }

    /// It in MessagePack, without what stands around it.
    pub fn write_msgpack(&self, buf: &mut Vec<u8>) {
        let optional = [("re", self.re), ("room", self.room), ("key", self.key)];
        let numbers = [("seq", self.seq), ("prev", self.prev), ("base", self.base)];
        let fields = 3
            + usize::from(self.has_payload())
            + optional.iter().filter(|(_, value)| value.is_some()).count()
            + numbers.iter().filter(|(_, value)| value.is_some()).count()
            + usize::from(self.ack);
        // Writing to a vector cannot fail, so the results below are ignored.
        let header = buf.len();
        let _ = rmp::encode::write_map_len(buf, fields as u32);
        push_pair(buf, "type", self.label);
        match self.id {
            Id::Given(id) => push_pair(buf, "id", id),
            Id::Numbered(epoch, seq) => push_pair(buf, "id", &format!("{epoch:x}-{seq}")),
        }
        let _ = rmp::encode::write_str(buf, "ts");
        let _ = rmp::encode::write_uint(buf, self.ts_ms);
        for (name, value) in optional {
            if let Some(value) = value {
                push_pair(buf, name, value);
            }
        }
        for (name, value) in numbers {
            if let Some(value) = value {
                let _ = rmp::encode::write_str(buf, name);
                let _ = rmp::encode::write_uint(buf, value);
            }
        }
        if self.ack {
            let _ = rmp::encode::write_str(buf, "ack");
            let _ = rmp::encode::write_bool(buf, true);
        }
        if !self.has_payload() {
            return;
        }
        let _ = rmp::encode::write_str(buf, "payload");
        match self.kind {
            Kind::Json => {
                if document::json_to_msgpack(self.payload, DEPTH_MAX, buf).is_err() {
                    // Documents are checked where they enter, so this one was not. The receiver is told that it is
                    // unreadable.
                    let _ = rmp::encode::write_nil(buf);
                    push_pair(buf, "encoding", UNREADABLE);
                    buf[header] += 1;
                }
            }
            Kind::Text => drop(rmp::encode::write_str(buf, &String::from_utf8_lossy(self.payload))),
            Kind::Binary => drop(rmp::encode::write_bin(buf, self.payload)),
        }
    }
}

fn push_pair(buf: &mut Vec<u8>, name: &str, value: &str) {
    let _ = rmp::encode::write_str(buf, name);
    let _ = rmp::encode::write_str(buf, value);
}

fn push_json_string(buf: &mut Vec<u8>, text: &str) {
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(buf, text);
}

fn push_decimal(buf: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    buf.extend_from_slice(&digits[at..]);
}

fn push_hex(buf: &mut Vec<u8>, number: u64) {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    buf.extend((0..digits).rev().map(|digit| b"0123456789abcdef"[(number >> (4 * digit)) as usize & 0xF]));
}

/// The encoding named in an envelope whose payload claims to be a document and is none.
const UNREADABLE: &str = "unreadable";

/// The usual bytes of an envelope around its payload.
const ENVELOPE: usize = 160;

mod control;
#[cfg(test)]
mod tests;
