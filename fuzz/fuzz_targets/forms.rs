//! One message in each of its forms, decoded by other decoders and compared with its content.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use fanwire::budget::Budget;
use fanwire::message::{Message, OVERHEAD, Role};
use fanwire::protocol::document;
use fanwire::protocol::envelope::Kind;
use fanwire::protocol::form::Form;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Draft;
use crate::wire::{self, Frame};

/// A JSON envelope. A duplicate or unknown field is an error.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    r#type: String,
    id: String,
    ts: u64,
    re: Option<String>,
    room: Option<String>,
    seq: Option<u64>,
    key: Option<String>,
    ack: Option<bool>,
    encoding: Option<String>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

pub fn check(draft: &Draft<'_>, message: &Arc<Message>, budget: &Arc<Budget>) {
    let (kind, payload) = draft.payload();
    let raw = wire::only(message.frame(Form::RAW));
    assert_eq!(raw, Frame { first: if kind == Kind::Binary { 0x82 } else { 0x81 }, payload: &payload });
    if draft.role() == Role::Whole {
        for form in [Form::JSON, Form::MSGPACK] {
            assert_eq!(message.frame(form), message.frame(Form::RAW));
        }
    } else {
        let frame = wire::only(message.frame(Form::JSON));
        assert_eq!(frame.first, 0x81);
        check_json(draft, kind, &payload, frame.payload);
        let frame = wire::only(message.frame(Form::MSGPACK));
        assert_eq!(frame.first, 0x82);
        check_msgpack(draft, kind, &payload, frame.payload);
    }
    for form in [Form::RAW, Form::JSON, Form::MSGPACK] {
        assert_eq!(message.cost(form), message.frame(form).len() + OVERHEAD);
    }
    assert_eq!(message.size(), budget.used());
}

fn check_json(draft: &Draft<'_>, kind: Kind, payload: &[u8], document: &[u8]) {
    // A payload that claims to be JSON and is not would break the document around it; real payloads are checked before.
    let Ok(is_json) = is_json(kind, payload) else { return };
    let read: Envelope<'_> = serde_json::from_slice(document).expect("an envelope");
    assert_eq!(read.r#type, label(draft));
    assert_eq!(read.id, id(draft));
    assert_eq!(read.ts, draft.ts_ms);
    assert_eq!(read.re.as_deref(), draft.re);
    assert_eq!(read.room.as_deref(), draft.room_name);
    assert_eq!(read.seq, draft.room_name.map(|_| draft.seq));
    assert_eq!(read.key.as_deref(), draft.key.filter(|key| !key.is_empty()));
    assert_eq!(read.ack, draft.ack.then_some(true));
    assert_eq!(read.encoding.as_deref(), (kind == Kind::Binary).then_some("base64"));
    if is_json {
        assert_eq!(read.payload.get().as_bytes(), payload.trim_ascii());
        return;
    }
    let text: String = serde_json::from_str(read.payload.get()).expect("a string");
    match kind {
        Kind::Binary => assert_eq!(BASE64.decode(text).expect("base64"), payload),
        Kind::Text | Kind::Json => assert_eq!(text.as_bytes(), payload),
    }
}

fn check_msgpack(draft: &Draft<'_>, kind: Kind, payload: &[u8], mut document: &[u8]) {
    let read = rmpv::decode::read_value(&mut document).expect("a document");
    assert!(document.is_empty(), "{} bytes after the document", document.len());
    let is_readable = document::json_to_msgpack(payload, document::DEPTH_MAX, &mut Vec::new()).is_ok();
    let is_unreadable = kind == Kind::Json && !payload.is_empty() && !is_readable;
    let payload = match kind {
        Kind::Binary => Some(rmpv::Value::Binary(payload.to_vec())),
        Kind::Text => Some(String::from_utf8_lossy(payload).into()),
        Kind::Json if payload.is_empty() => None,
        Kind::Json if is_unreadable => Some(rmpv::Value::Nil),
        // This parser is not the one that wrote the document, and it accepts fewer levels.
        Kind::Json => match serde_json::from_slice(payload) {
            Ok(value) => Some(value),
            Err(_) => return,
        },
    };
    let fields = [
        ("type", Some(label(draft).into())),
        ("id", Some(id(draft).into())),
        ("ts", Some(draft.ts_ms.into())),
        ("re", draft.re.map(Into::into)),
        ("room", draft.room_name.map(Into::into)),
        ("key", draft.key.filter(|key| !key.is_empty()).map(Into::into)),
        ("seq", draft.room_name.map(|_| draft.seq.into())),
        ("ack", draft.ack.then_some(true.into())),
        ("payload", payload),
        ("encoding", is_unreadable.then_some("unreadable".into())),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.into(), value?)));
    let expected = rmpv::Value::Map(fields.collect());
    assert!(is_same(&read, &expected), "{read} instead of {expected}");
}

/// Whether two values are equal. The parser of the expected one reads `-0` as a float; the engine reads it as the
/// integer 0.
fn is_same(read: &rmpv::Value, expected: &rmpv::Value) -> bool {
    use rmpv::Value::{Array, F64, Integer, Map};
    match (read, expected) {
        (Map(read), Map(expected)) => {
            let is_pair_same = |(a, b): (&(_, _), &(_, _))| is_same(&a.0, &b.0) && is_same(&a.1, &b.1);
            read.len() == expected.len() && read.iter().zip(expected).all(is_pair_same)
        }
        (Array(read), Array(expected)) => {
            read.len() == expected.len() && read.iter().zip(expected).all(|(a, b)| is_same(a, b))
        }
        (Integer(read), F64(expected)) if *expected == 0.0 && expected.is_sign_negative() => read.as_u64() == Some(0),
        (F64(read), F64(expected)) => read.to_bits() == expected.to_bits(),
        _ => read == expected,
    }
}

/// Whether the payload stands in a document as JSON; an error if it claims to and is not.
fn is_json(kind: Kind, payload: &[u8]) -> Result<bool, serde_json::Error> {
    match kind {
        Kind::Json => serde_json::from_slice::<&RawValue>(payload).map(|_| true),
        Kind::Text | Kind::Binary => Ok(false),
    }
}

fn label(draft: &Draft<'_>) -> &'static str {
    match draft.role() {
        Role::Event(label) => label,
        Role::Data | Role::Whole | Role::Urgent => "message",
    }
}

fn id(draft: &Draft<'_>) -> String {
    draft.id.map_or_else(|| format!("{:x}-{}", draft.epoch, draft.seq), String::from)
}
