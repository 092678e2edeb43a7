//! Envelopes that are no messages: windows, pings and pongs. Pure functions on bytes.

use crate::protocol::codec::Codec;
use crate::protocol::envelope::{ENVELOPE, push_decimal, push_json_string, push_pair};
use crate::protocol::form::Form;
use crate::wire::table::kind;

/// Returns the envelope that tells the size of a room's window; none without envelopes.
pub fn window(form: Form, room: &str, bytes: usize) -> Option<Box<[u8]>> {
    let mut buf = Vec::with_capacity(ENVELOPE);
    match form.codec {
        Codec::Raw => return None,
        Codec::Json => {
            buf.extend_from_slice(b"{\"type\":\"window\",\"room\":");
            push_json_string(&mut buf, room);
            buf.extend_from_slice(b",\"payload\":{\"bytes\":");
            push_decimal(&mut buf, bytes as u64);
            buf.extend_from_slice(b"}}");
        }
        Codec::Msgpack => {
            // Writing to a vector cannot fail.
            let _ = rmp::encode::write_map_len(&mut buf, 3);
            push_pair(&mut buf, "type", kind::WINDOW);
            push_pair(&mut buf, "room", room);
            let _ = rmp::encode::write_str(&mut buf, "payload");
            let _ = rmp::encode::write_map_len(&mut buf, 1);
            let _ = rmp::encode::write_str(&mut buf, "bytes");
            let _ = rmp::encode::write_uint(&mut buf, bytes as u64);
        }
    }
    Some(form.frame(&buf))
}

/// Returns a ping that the client's program sees; none without envelopes.
pub fn ping(form: Form) -> Option<Box<[u8]>> {
    match form.codec {
        Codec::Raw => None,
        Codec::Json => Some(form.frame(br#"{"type":"ping"}"#)),
        Codec::Msgpack => Some(form.frame(b"\x81\xa4type\xa4ping")),
    }
}

/// Returns the answer to such a ping, or an unsolicited sign that the server is alive. It has no time, because an
/// unsolicited one says nothing about the delay.
pub fn pong(form: Form) -> Option<Box<[u8]>> {
    match form.codec {
        Codec::Raw => None,
        Codec::Json => Some(form.frame(br#"{"type":"pong"}"#)),
        Codec::Msgpack => Some(form.frame(b"\x81\xa4type\xa4pong")),
    }
}
