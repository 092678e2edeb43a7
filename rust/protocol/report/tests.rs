//! Reports in both codecs.

use super::*;
use serde_json::{Value, json};

/// The report of a document. Both codecs must agree.
fn read(document: &Value) -> Option<Report> {
    let json = Report::read(document.to_string().as_bytes(), Codec::Json);
    let msgpack = Report::read(&rmp_serde::to_vec(document).unwrap(), Codec::Msgpack);
    assert_eq!(json, msgpack, "{document}");
    json
}

fn with(payload: Value) -> Value {
    json!({"type": "received", "payload": payload})
}

fn taken(room: &str, count: u64, ts_ms: Option<u64>) -> RoomReport {
    RoomReport { room: room.into(), count, ts_ms }
}

#[test]
fn a_count_and_what_was_taken_room_by_room() {
    assert_eq!(read(&with(json!({"count": 3}))), Some(Report { count: 3, taken: None }));
    assert_eq!(read(&with(json!({"count": 3, "taken": null}))), Some(Report { count: 3, taken: None }));
    assert_eq!(read(&with(json!({"count": 0, "taken": {}}))), Some(Report { count: 0, taken: Some(vec![]) }));
    let payload = json!({"count": 9, "taken": {"a.1": {"count": 5, "ts": 40}, "b": {"count": i64::MAX, "ts": null}}});
    let rooms = vec![taken("a.1", 5, Some(40)), taken("b", i64::MAX as u64, None)];
    assert_eq!(read(&with(payload)), Some(Report { count: 9, taken: Some(rooms) }));
}

#[test]
fn what_else_an_envelope_may_have_changes_nothing() {
    let payload = json!({"count": 3, "more": [1, {"count": 4}]});
    let document = json!({"id": "1", "re": null, "room": "ü".repeat(255), "key": "k", "encoding": null,
        "other": {"payload": 1}, "payload": payload, "type": "received"});
    assert_eq!(read(&document).map(|report| report.count), Some(3));
    let spaced = br#" { "type" : "rec\u0065ived" , "payload" : { "count" : 3 } } "#;
    assert_eq!(Report::read(spaced, Codec::Json).map(|report| report.count), Some(3));
}

#[test]
fn an_invalid_report_is_left_to_the_host() {
    let names: serde_json::Map<_, _> = (0..=ROOMS_MAX).map(|name| (name.to_string(), json!({"count": 1}))).collect();
    for payload in [
        json!(null),
        json!([3]),
        json!(3),
        json!({}),
        json!({"count": "1"}),
        json!({"count": -1}),
        json!({"count": 1.0}),
        json!({"count": true}),
        json!({"count": 1_u64 << 63}),
        json!({"count": null}),
        json!({"count": 1, "taken": 1}),
        json!({"count": 1, "taken": [["b", {"count": 1}]]}),
        json!({"count": 1, "taken": {"b": 1}}),
        json!({"count": 1, "taken": {"b": {}}}),
        json!({"count": 1, "taken": {"b": [1]}}),
        json!({"count": 1, "taken": {"b": {"count": 1, "ts": -1}}}),
        json!({"count": 1, "taken": {"b": {"count": 1, "ts": 0.5}}}),
        json!({"count": 1, "taken": {"": {"count": 1}}}),
        json!({"count": 1, "taken": {"n".repeat(256): {"count": 1}}}),
        json!({"count": 1, "taken": names}),
    ] {
        assert_eq!(read(&with(payload.clone())), None, "{payload}");
    }
    let right = json!({"count": 1});
    for document in [
        json!(["received", right]),
        json!({"type": "received"}),
        json!({"payload": right}),
        json!({"type": "join", "payload": right}),
        json!({"type": 1, "payload": right}),
        json!({"type": "received", "payload": right, "id": ""}),
        json!({"type": "received", "payload": right, "id": 1}),
        json!({"type": "received", "payload": right, "re": "x".repeat(65)}),
        json!({"type": "received", "payload": right, "room": "ü".repeat(256)}),
        json!({"type": "received", "payload": right, "encoding": "base64"}),
    ] {
        assert_eq!(read(&document), None, "{document}");
    }
}

#[test]
fn what_a_document_of_json_cannot_be_either() {
    for text in [
        r#"{"type":"received","payload":{"count":1}}x"#,
        r#"{"type":"received","payload":{"count":1}"#,
        r#"{"type":"received","type":"join","payload":{"count":1}}"#,
        r#"{"type":"received","payload":{"count":1},"payload":{"count":2}}"#,
        r#"{"type":"received","payload":{"count":1,"taken":{},"taken":{}}}"#,
        r#"{"type":"received","payload":{"count":1,"taken":{"a":{"count":1},"a":{"count":1}}}}"#,
        r#"{"type":"received","payload":{"count":01}}"#,
        r#"{"type":"received","payload":{"count":1e2}}"#,
    ] {
        assert_eq!(Report::read(text.as_bytes(), Codec::Json), None, "{text}");
    }
    assert_eq!(Report::read(br#"{"type":"received","payload":{"count":1}}"#, Codec::Raw), None);
}

#[test]
fn what_a_document_of_messagepack_cannot_be_either() {
    let right = b"\x82\xa4type\xa8received\xa7payload\x81\xa5count\x01";
    assert!(Report::read(right, Codec::Msgpack).is_some());
    for wrong in [
        &[&right[..], b"\x00"].concat()[..],
        &right[..right.len() - 1],
        // Bytes instead of a text, as a value and as a key.
        b"\x82\xa4type\xc4\x08received\xa7payload\x81\xa5count\x01",
        b"\x82\xa4type\xa8received\xa7payload\x81\xc4\x05count\x01",
        b"\x82\xa4type\xa8received\xa7payload\x82\xa5count\x01\xa5taken\x81\xc4\x01a\x81\xa5count\x01",
        // Invalid UTF-8.
        b"\x82\xa4type\xa8received\xa7payload\x82\xa5count\x01\xa5taken\x81\xa1\xff\x81\xa5count\x01",
        // A float, and an extension.
        b"\x82\xa4type\xa8received\xa7payload\x81\xa5count\xca\x3f\x80\x00\x00",
        b"\x82\xa4type\xa8received\xa7payload\x81\xa5count\xd4\x01\x01",
    ] {
        assert_eq!(Report::read(wrong, Codec::Msgpack), None, "{wrong:x?}");
    }
    let deep = [&b"\x83\xa4type\xa8received\xa1x"[..], &[0x91; 100_000], b"\xc0\xa7payload\x81\xa5count\x01"].concat();
    assert_eq!(Report::read(&deep, Codec::Msgpack), None);
    let (open, close) = ("[".repeat(100), "]".repeat(100));
    let deep = format!(r#"{{"type":"received","x":{open}{close},"payload":{{"count":1}}}}"#);
    assert_eq!(Report::read(deep.as_bytes(), Codec::Json), None);
}

#[test]
fn one_that_names_many_rooms_counts_as_several() {
    let weight = |rooms| Report { count: 1, taken: Some(vec![taken("r", 1, None); rooms]) }.weight();
    assert_eq!([0, 1, 16, 17, 1024].map(weight), [1, 1, 1, 2, 64]);
    assert_eq!(Report::default().weight(), 1);
}
