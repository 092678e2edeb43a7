//! Tests of merge patches: that a patch makes the new document of the old one, and is refused where it could not.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// Applies a patch, as RFC 7396 section 2 has it.
fn apply(base: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else { return patch };
    let mut members = match base {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            let old = members.remove(&name).unwrap_or(Value::Null);
            members.insert(name, apply(old, value));
        }
    }
    Value::Object(members)
}

fn text(base: &str, new: &str) -> Option<String> {
    diff(base.as_bytes(), new.as_bytes(), usize::MAX).map(|patch| String::from_utf8(patch).unwrap())
}

#[test]
fn it_has_what_has_changed_and_nothing_else() {
    for (base, new, patch) in [
        (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":3}"#, r#"{"b":3}"#),
        (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, "{}"),
        (r#"{"a":1,"b":2}"#, r#"{"b":2}"#, r#"{"a":null}"#),
        (r#"{"a":1}"#, r#"{"a":1,"b":{"c":[null]}}"#, r#"{"b":{"c":[null]}}"#),
        (r#"{"a":{"x":1,"y":[1,2]}}"#, r#"{"a":{"x":1,"y":[1,3]}}"#, r#"{"a":{"y":[1,3]}}"#),
        (r#"{"a":{"x":1}}"#, r#"{"a":{}}"#, r#"{"a":{"x":null}}"#),
        (r#"{"a":{"x":1}}"#, r#"{"a":7}"#, r#"{"a":7}"#),
        (r#"{"a":7}"#, r#"{"a":{"x":1}}"#, r#"{"a":{"x":1}}"#),
        (r#"{"a":null,"b":1}"#, r#"{"a":null,"b":2}"#, r#"{"b":2}"#),
        (r#" { "a\n" : 1 } "#, r#"{"a\u000a":2,"":3}"#, r#"{"a\n":2,"":3}"#),
        ("{}", "{}", "{}"),
    ] {
        assert_eq!(text(base, new).as_deref(), Some(patch), "{base} to {new}");
    }
}

#[test]
fn numbers_keep_their_text() {
    let (base, new) = (r#"{"p":1.10,"n":1}"#, r#"{"p":1.1,"n":123456789012345678901234567890,"e":1E400}"#);
    assert_eq!(text(base, new).unwrap(), r#"{"p":1.1,"n":123456789012345678901234567890,"e":1E400}"#);
}

#[test]
fn what_a_patch_cannot_say_has_none() {
    for (base, new) in [
        (r#"{"a":1}"#, r#"{"a":null}"#),
        (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
        (r#"{"a":1}"#, r#"{"a":{"b":null}}"#),
        (r#"{"a":{"b":1}}"#, r#"{"a":{"b":null}}"#),
        (r#"{"a":1}"#, r#"{"a":2,"a":3}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        (r#"{"a":1}"#, r#"{"b":{"c":1,"c":2}}"#),
        ("[1]", "[2]"),
        ("{}", "7"),
        ("{}", "{"),
        ("{}", "{} {}"),
        ("{}", ""),
    ] {
        assert_eq!(text(base, new), None, "{base} to {new}");
    }
    assert_eq!(diff(br#"{"a":1}"#, br#"{"a":2}"#, 6), None);
    assert!(diff(br#"{"a":1}"#, br#"{"a":2}"#, 7).is_some());
}

#[test]
fn a_deep_document_needs_no_stack() {
    let deep = |leaf: &str| format!("{}{leaf}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    assert_eq!(text(&deep("1"), &deep("2")), None);
    assert_eq!(text(r#"{"a":1}"#, &deep("2")), None);
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        3 => any::<bool>().prop_map(Value::from),
        5 => (0..4_i64).prop_map(Value::from),
        5 => "[a-c\n\"]{0,2}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 24, 4, |inner| {
        let names = "[a-d\u{e9}\"]{0,1}";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(names, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map("[a-d]", value, 0..5).prop_map(|map| Value::Object(map.into_iter().collect()))
}

proptest! {
    #[test]
    fn a_patch_makes_the_new_document_of_the_old_one(base in document(), new in document()) {
        let [old, now] = [&base, &new].map(|value| serde_json::to_vec(value).unwrap());
        if let Some(patch) = diff(&old, &now, usize::MAX) {
            prop_assert_eq!(apply(base, serde_json::from_slice(&patch).unwrap()), new);
        }
    }

    #[test]
    fn a_document_without_null_has_a_patch(base in document(), new in document()) {
        prop_assume!(!new.to_string().contains("null"));
        let [base, new] = [base, new].map(|value| serde_json::to_vec(&value).unwrap());
        prop_assert!(diff(&base, &new, usize::MAX).is_some());
    }
}

#[test]
fn the_examples_of_the_standard_hold_for_the_function_that_checks_patches() {
    for (base, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        assert_eq!(apply(base, patch), result);
    }
}
