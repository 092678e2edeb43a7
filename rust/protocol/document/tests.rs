//! Documents in both formats.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn packed(json: &str) -> Result<Vec<u8>, Fault> {
    let mut out = b"before".to_vec();
    let result = json_to_msgpack(json.as_bytes(), 64, &mut out);
    assert!(out.starts_with(b"before"));
    result.map(|()| out.split_off(6))
}

fn unpacked(msgpack: &[u8]) -> Result<String, Fault> {
    msgpack_to_json(msgpack, 64).map(|json| String::from_utf8(json).unwrap())
}

/// The path and text of the fault of a JSON document.
fn fault(json: &str) -> (String, String) {
    let fault = check_json(json.as_bytes(), 64).unwrap_err();
    (fault.path(), fault.text)
}

#[test]
fn what_json_can_say_and_a_document_cannot_is_refused_with_its_path() {
    for (json, path, text) in [
        (r#"{"a":[1,{"b":18446744073709551616}]}"#, "$.a[1].b", "must be an integer from"),
        (r#"{"a":-9223372036854775809}"#, "$.a", "must be an integer from"),
        ("[1e400]", "$[0]", "must be a number that fits"),
        ("[0,-1e400]", "$[1]", "must be a number that fits"),
        (r#"{"a":"\ud800"}"#, "$.a", "must be Unicode text"),
        (r#"{"a":"\ud800\u0041"}"#, "$.a", "must be Unicode text"),
        (r#"["\udc00"]"#, "$[0]", "must be Unicode text"),
        (r#"{"a":{"b":1,"b":2}}"#, "$.a.b", "must not come twice"),
        (r#"{"a":1,"\u0061":2}"#, "$.a", "must not come twice"),
        (r#"{"a":NaN}"#, "$.a", "must be JSON"),
        ("[Infinity]", "$[0]", "must be JSON"),
        ("[-Infinity]", "$[0]", "must be JSON"),
        ("", "$", "must be JSON"),
        ("1 2", "$", "must be JSON"),
    ] {
        let (at, why) = fault(json);
        assert_eq!(at, path, "{json}");
        assert!(why.starts_with(text), "{json}: {why}");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    for json in [
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "[1",
        "{\"a\":1",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "01",
        "1.",
        ".5",
        "1e",
        "+1",
        "--1",
        "- 1",
        "tru",
        "nul",
        "True",
        "'a'",
        "\"\n\"",
        "\"\\",
        "[1]]",
        "\u{feff}1",
        "\"\\ud800\\u\"",
    ] {
        assert!(check_json(json.as_bytes(), 64).is_err(), "{json}");
        assert!(packed(json).is_err(), "{json}");
    }
    assert!(check_json(b"\"\xff\"", 64).is_err());
}

#[test]
fn what_msgpack_can_say_and_a_document_cannot_is_refused_with_its_path() {
    for (msgpack, path) in [
        (&b"\x81\xa1a\x92\x01\xc4\x01\x00"[..], "$.a[1]"),
        (b"\x81\xa1a\xd6\xff\x00\x00\x00\x00", "$.a"),
        (b"\x91\xc7\x00\x05", "$[0]"),
        (b"\x81\x01\x02", "$"),
        (b"\x81\xa1a\x81\xc4\x01a\x02", "$.a"),
        (b"\x91\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "$[0]"),
        (b"\x91\xca\xff\x80\x00\x00", "$[0]"),
        (b"\x82\xa1a\x01\xa1a\x02", "$.a"),
        (b"\x91\xa1\xff", "$[0]"),
        (b"\x91\xc1", "$[0]"),
        (b"\x92\x01", "$[1]"),
        (b"\xdd\xff\xff\xff\xff", "$[0]"),
        (b"", "$"),
        (b"\x01\x02", "$"),
    ] {
        assert_eq!(unpacked(msgpack).unwrap_err().path(), path, "{msgpack:02x?}");
    }
}

#[test]
fn numbers_are_what_they_were() {
    for (json, same) in [
        ("960.4539460352057", "960.4539460352057"),
        ("5e-324", "5e-324"),
        ("-0.0", "-0.0"),
        ("-0", "0"),
        ("1.0", "1.0"),
        ("1E2", "100.0"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("0.1000000000000000055511151231257827021181583404541015625", "0.1"),
    ] {
        assert_eq!(unpacked(&packed(json).unwrap()).unwrap(), same);
    }
    // A float of 32 bits becomes one of 64 bits.
    assert_eq!(unpacked(b"\xca\x3d\xcc\xcc\xcd").unwrap(), "0.10000000149011612");
}

#[test]
fn depth_is_limited_by_exactly_so_many_levels() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = |levels| open.repeat(levels) + "1" + &close.repeat(levels);
        assert_eq!(check_json(deep(64).as_bytes(), 64), Ok(()));
        assert_eq!(glance(deep(64).as_bytes(), 64), (false, false));
        assert_eq!(glance(deep(65).as_bytes(), 64), (false, true));
        let packed = packed(&deep(64)).unwrap();
        assert!(unpacked(&packed).is_ok());
        let fault = check_json(deep(65).as_bytes(), 64).unwrap_err();
        assert_eq!(fault.text, "must not be nested deeper than 64 levels");
        assert_eq!(msgpack_to_json(&packed, 63).unwrap_err().path().matches(['a', '0']).count(), 63);
        assert!(check_json(open.repeat(1_000_000).as_bytes(), 64).is_err());
    }
    assert_eq!(glance(br#"[[[],[],[],[]],"null"]"#, 3), (true, false));
    assert_eq!(glance(br#"[[[[]],"]]]"],"\"[[[[","\\",[[[1]]]]"#, 4), (false, false));
    assert_eq!(glance(br#"[["]]]\\",[[1]]],[[[[]]]]]"#, 4), (false, true));
}

#[test]
fn the_payload_of_an_envelope_is_found_without_looking_into_it() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    for payload in [r#"{"a":"\ud800"}"#, "NaN", " 1e400 ", r#""\"}""#, "[1,{\"payload\":2}]", "[1 2]", &deep] {
        for (before, after) in
            [("{\"a\":\"payload\", \"payload\" :", "}"), ("{\"payload\":", ",\"b\":{\"payload\":1}}")]
        {
            let frame = format!("{before}{payload}{after}");
            let found = payload_of(frame.as_bytes(), true).unwrap();
            assert_eq!(&frame[found], payload);
        }
    }
    for frame in
        ["", "[]", "{}", "{\"payload\":[}", "{\"payload\":\"}", "{\"payload\":1", "}", "{\"a\":{\"payload\":1}}"]
    {
        assert_eq!(payload_of(frame.as_bytes(), true), None, "{frame}");
    }
}

#[test]
fn the_payload_of_a_packed_envelope_is_found_too() {
    let deep = [&b"\x91".repeat(1_000_000)[..], b"\xc0"].concat();
    let long = [&b"\xc6\x00\x01\x00\x00"[..], &[0; 1 << 16]].concat();
    for payload in [
        &b"\xc0"[..],
        b"\xc7\x02\x05ab",
        b"\xd8\x00abcdefghijklmnop",
        b"\xdc\x00\x02\x01\xcb12345678",
        b"\xde\x00\x01\xa1a\xd6\x001234",
        b"\x81\xa7payload\x01",
        b"\xcd12",
        b"\xd312345678",
        b"\xd9\x02ab",
        b"\xc1",
        &deep,
        &long,
    ] {
        let frame = [b"\x83\xa1a\xa7payload\xa7payload", payload, b"\xa1b\x01"].concat();
        assert_eq!(&frame[payload_of(&frame, false).unwrap()], payload);
        for end in 0..frame.len().min(80) - 3 {
            if end < 18 + payload.len() {
                assert_eq!(payload_of(&frame[..end], false), None);
            }
        }
    }
    assert_eq!(payload_of(b"\x81\xa7payload\xdd\xff\xff\xff\xff\xdd\xff\xff\xff\xff", false), None);
    assert_eq!(payload_of(b"\x81\xa7payload\xc6\xff\xff\xff\xff", false), None);
    assert_eq!(payload_of(b"\x92\xa7payload\x01", false), None);
}

#[test]
fn paths_are_of_bounded_length() {
    let key = "k".repeat(100_000);
    let (path, _) = fault(&format!("{{\"{key}\":{}2e999{}}}", "[".repeat(63), "]".repeat(63)));
    assert!(path.len() < 500, "{path}");
}

#[test]
fn maps_with_many_keys_have_each_once() {
    let keys: Vec<_> = (0..1000).map(|number| format!("\"k{number}\":0")).collect();
    assert_eq!(check_json(format!("{{{}}}", keys.join(",")).as_bytes(), 64), Ok(()));
    assert_eq!(fault(&format!("{{{},\"k7\":1}}", keys.join(","))).0, "$.k7");
}

fn documents() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO).prop_map(Value::from),
    ];
    let leaf = prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number, ".*".prop_map(Value::from)];
    leaf.prop_recursive(5, 64, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::vec((".{0,5}", inner), 0..20)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn a_document_is_the_same_in_both_forms(value in documents(), is_pretty: bool) {
        let json = if is_pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(check_json(json.as_bytes(), 64), Ok(()));
        let msgpack = packed(&json).unwrap();
        // An independent reader of all bits of floats, and of headers.
        let independent: Value = rmp_serde::from_slice(&msgpack).unwrap();
        prop_assert_eq!(&independent, &value);
        prop_assert_eq!(unpacked(&msgpack).unwrap(), serde_json::to_string(&value).unwrap());
    }

    #[test]
    fn any_bytes_are_a_document_or_refused(bytes: Vec<u8>, text in r#"[\[\]{}":,0-9eE+.\\ua-]*"#) {
        for data in [&bytes[..], text.as_bytes()] {
            let is_json = check_json(data, 64).is_ok();
            if let Ok(value) = serde_json::from_slice::<Value>(data) {
                // The other reader accepts integers of any length, and keys that are not unique.
                prop_assert!(is_json || !check_json(data, 64).unwrap_err().text.starts_with("must be JSON"), "{}", value);
            } else {
                prop_assert!(!is_json);
            }
            if let Ok(json) = msgpack_to_json(data, 64) {
                prop_assert_eq!(check_json(&json, 64), Ok(()));
            }
            for is_json in [true, false] {
                prop_assert!(payload_of(data, is_json).is_none_or(|found| data.get(found).is_some()));
            }
            let mut out = Vec::new();
            prop_assert!(!is_json || json_to_msgpack(data, 64, &mut out).is_ok());
        }
    }
}

#[test]
fn a_value_with_all_types() {
    let value = json!({"a": [null, true, false, 1, -1, 1.5, "x\n\u{1f600}"], "b": {}, "c": []});
    assert_eq!(rmp_serde::from_slice::<Value>(&packed(&value.to_string()).unwrap()).unwrap(), value);
    assert_eq!(packed(r#""\ud83d\ude00\/\b\f\r\t""#).unwrap(), b"\xa9\xf0\x9f\x98\x80/\x08\x0c\r\t");
}
