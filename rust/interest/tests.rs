//! Compares the index of attributes and the groups of filters with a look at every member.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::interest::{Audience, Expression, RoomInterest, Value, Values, expression, values};
use crate::slots::{ConnId, Ids};

fn bag(json: &str) -> Values {
    values(json.as_bytes()).unwrap()
}

fn filter(json: &str) -> Expression {
    expression(json.as_bytes()).unwrap()
}

fn conns(count: usize) -> Vec<ConnId> {
    let mut ids = Ids::new(0);
    (0..count).map(|_| ids.take().unwrap()).collect()
}

#[test]
fn expressions_hold() {
    let tags = bag(r#"{"symbol":"EURUSD","price":1.5,"live":true,"venue":["X","Y"],"size":2}"#);
    for (json, expected) in [
        (r#"{"symbol":"EURUSD"}"#, true),
        (r#"{"symbol":{"eq":"GBPUSD"}}"#, false),
        (r#"{"symbol":{"in":["GBPUSD","EURUSD"]}}"#, true),
        (r#"{"symbol":{"in":[]}}"#, false),
        (r#"{"venue":"Y"}"#, true),
        (r#"{"venue":{"in":["Z"]}}"#, false),
        (r#"{"price":{"range":[1,2]}}"#, true),
        (r#"{"price":{"range":[1.5,1.5]}}"#, true),
        (r#"{"price":{"range":[null,1.4]}}"#, false),
        (r#"{"price":{"range":[1.6,null]}}"#, false),
        (r#"{"price":{"range":[null,null]}}"#, true),
        (r#"{"size":2.0}"#, true),
        (r#"{"live":true}"#, true),
        (r#"{"live":1}"#, false),
        (r#"{"symbol":{"range":[0,1]}}"#, false),
        (r#"{"size":"2"}"#, false),
        (r#"{"nothing":1}"#, false),
        (r#"{"not":{"nothing":1}}"#, true),
        (r#"{"symbol":"EURUSD","price":{"range":[2,3]}}"#, false),
        (r#"{"or":[{"symbol":"x"},{"price":1.5}]}"#, true),
        (r#"{"and":[{"symbol":"x"},{"price":1.5}]}"#, false),
    ] {
        assert_eq!(filter(json).holds(&tags), expected, "{json}");
    }
}

#[test]
fn faults_name_the_place() {
    let many = format!(r#"{{"s":{{"in":[{}]}}}}"#, vec!["1"; 1025].join(","));
    let conditions = format!(r#"{{"or":[{}]}}"#, vec![r#"{"a":1}"#; 64].join(","));
    let deep = format!("{}{}{}", r#"{"not":"#.repeat(9), r#"{"a":1}"#, "}".repeat(9));
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(256));
    let name = format!(r#"{{"{}":1}}"#, "x".repeat(65));
    for (json, path) in [
        ("1", "$"),
        ("{", "$"),
        ("{}", "$"),
        (r#"{"a":null}"#, "$.a"),
        (r#"{"a":{}}"#, "$.a"),
        (r#"{"a":{"eq":1,"in":[1]}}"#, "$.a"),
        (r#"{"a":{"like":"x"}}"#, "$.a.like"),
        (r#"{"a":{"in":1}}"#, "$.a.in"),
        (r#"{"a":{"in":[1,{}]}}"#, "$.a.in[1]"),
        (r#"{"a":{"range":[1]}}"#, "$.a.range"),
        (r#"{"a":{"range":[1,"x"]}}"#, "$.a.range[1]"),
        (r#"{"a":{"range":[2,1.5]}}"#, "$.a.range"),
        (r#"{"a":9007199254740993}"#, "$.a"),
        (r#"{"and":{"a":1}}"#, "$.and"),
        (r#"{"and":[]}"#, "$.and"),
        (r#"{"or":[{"a":1},{"b":{"in":7}}]}"#, "$.or[1].b.in"),
        (r#"{"not":[]}"#, "$.not"),
        (r#"{"":1}"#, "$."),
        (&many, "$.s.in[1024]"),
        (&conditions, "$.or[63].a"),
        (&long, "$.a"),
    ] {
        assert_eq!(expression(json.as_bytes()).unwrap_err().path, path, "{json}");
    }
    assert!(expression(deep.as_bytes()).unwrap_err().text.contains("8 levels"));
    assert!(expression(name.as_bytes()).unwrap_err().text.contains("1 to 64"));
    for json in ["[]", r#"{"and":1}"#, r#"{"a":{}}"#, r#"{"a":[[1]]}"#] {
        assert!(values(json.as_bytes()).is_err(), "{json}");
    }
    assert!(Audience::parse(br#"{"tags":{"a":1},"where":{"b":2}}"#).is_ok());
    assert_eq!(Audience::parse(br#"{"tags":[]}"#).unwrap_err().path, "$.tags");
    assert_eq!(Audience::parse(br#"{"where":{"a":[]}}"#).unwrap_err().path, "$.where.a");
    assert!(Audience::parse(br#"{"who":{}}"#).is_err());
}

#[test]
fn a_member_without_attributes_gets_no_message_with_a_condition() {
    let all = conns(2);
    let mut interest = RoomInterest::default();
    interest.change(all[0], bag(r#"{"team":"red"}"#));
    let not_blue = Audience::parse(br#"{"where":{"not":{"team":"blue"}}}"#).unwrap();
    assert_eq!(interest.select(Some(&not_blue)), Some(vec![all[0]]));
    assert!(interest.wants(all[0], Some(&not_blue)) && !interest.wants(all[1], Some(&not_blue)));
    assert_eq!(interest.select(None), None);
    interest.change(all[0], bag(r#"{"team":null}"#));
    assert!(interest.is_empty());
}

#[test]
fn equal_filters_are_one_group_and_leave_nothing_behind() {
    let all = conns(4);
    let mut interest = RoomInterest::default();
    let euro = Arc::new(filter(r#"{"symbol":{"in":["A","B"]}}"#));
    let same = Arc::new(filter(r#"{"symbol":{"in":["B","A","A"]}}"#));
    interest.filter(all[0], Some(&euro), all.iter().copied());
    interest.filter(all[1], Some(&same), all.iter().copied());
    interest.filter(all[2], Some(&Arc::new(filter(r#"{"not":{"symbol":"A"}}"#))), all.iter().copied());
    let get = |interest: &RoomInterest, json: &str| {
        let mut found = interest.select(Some(&Audience::parse(json.as_bytes()).unwrap())).unwrap();
        found.sort_unstable();
        found
    };
    assert_eq!(get(&interest, r#"{"tags":{"symbol":"A"}}"#), [all[0], all[1], all[3]]);
    assert_eq!(get(&interest, r#"{"tags":{"symbol":"C"}}"#), [all[2], all[3]]);
    assert_eq!(interest.select(None).unwrap().len(), 2);
    interest.want_everything(all[3]);
    assert_eq!(get(&interest, r#"{"where":{"x":1}}"#), [all[3]]);
    interest.filter(all[1], None, all.iter().copied());
    assert_eq!(get(&interest, r#"{"tags":{"symbol":"Z"}}"#), [all[1], all[2], all[3]]);
    all.iter().for_each(|&conn| interest.left(conn));
    assert!(interest.is_empty());
    assert_eq!(interest.select(None), None);
}

/// An expression over the names a, b and c with few values.
fn any_expression() -> impl Strategy<Value = serde_json::Value> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c")];
    let value = prop_oneof![(0..4).prop_map(|n| serde_json::json!(n)), Just("x".into()), Just(true.into())];
    let leaf = (name, prop::collection::vec(value, 0..3), 0..4_i32, 0..4_i32, any::<bool>()).prop_map(
        |(name, values, low, high, is_range)| match is_range {
            true => serde_json::json!({name: {"range": [low.min(high), low.max(high)]}}),
            false => serde_json::json!({name: {"in": values}}),
        },
    );
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| serde_json::json!({"and": parts})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| serde_json::json!({"or": parts})),
            inner.prop_map(|part| serde_json::json!({"not": part})),
        ]
    })
}

fn any_values() -> impl Strategy<Value = Values> {
    let value = prop_oneof![(0..4).prop_map(|n| format!("{n}")), Just(r#""x""#.to_owned()), Just("true".to_owned()),];
    let name = prop_oneof![Just("a"), Just("b"), Just("c")];
    prop::collection::btree_map(name, prop::collection::vec(value, 0..3), 0..4).prop_map(|map| {
        let fields: Vec<_> = map.iter().map(|(name, values)| format!(r#""{name}":[{}]"#, values.join(","))).collect();
        bag(&format!("{{{}}}", fields.join(",")))
    })
}

#[derive(Debug, Clone)]
enum Step {
    Change(usize, Values),
    Filter(usize, Option<serde_json::Value>),
    Leave(usize),
    Join(usize),
    Publish(Option<serde_json::Value>, Values),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..MEMBERS, any_values()).prop_map(|(member, values)| Step::Change(member, values)),
        2 => (0..MEMBERS, prop::option::of(any_expression())).prop_map(|(member, filter)| Step::Filter(member, filter)),
        1 => (0..MEMBERS).prop_map(Step::Leave),
        1 => (0..MEMBERS).prop_map(Step::Join),
        4 => (prop::option::of(any_expression()), any_values()).prop_map(|(found, tags)| Step::Publish(found, tags)),
    ]
}

const MEMBERS: usize = 6;

proptest! {
    #[test]
    fn the_indexes_find_whom_a_look_at_every_member_finds(steps in prop::collection::vec(any_step(), 1..60)) {
        let all = conns(MEMBERS);
        let mut interest = RoomInterest::default();
        let mut model: BTreeMap<ConnId, (Values, Option<Expression>)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Join(member) => {
                    if model.insert(all[member], Default::default()).is_none() {
                        interest.joined(all[member]);
                    } else {
                        model.remove(&all[member]);
                        interest.left(all[member]);
                    }
                }
                Step::Leave(member) => {
                    if model.remove(&all[member]).is_some() {
                        interest.left(all[member]);
                    }
                }
                Step::Change(member, values) => {
                    if let Some((own, _)) = model.get_mut(&all[member]) {
                        for (name, values) in values.clone() {
                            own.set(&name, values);
                        }
                        interest.change(all[member], values);
                    }
                }
                Step::Filter(member, json) => {
                    let members: Vec<_> = model.keys().copied().collect();
                    if let Some((_, own)) = model.get_mut(&all[member]) {
                        *own = json.map(|json| filter(&json.to_string()));
                        let wanted = own.clone().map(Arc::new);
                        interest.filter(all[member], wanted.as_ref(), members.into_iter());
                    }
                }
                Step::Publish(condition, tags) => {
                    let tags: serde_json::Map<_, _> = tags.iter().map(|(name, values)| {
                        (name.to_owned(), values.iter().map(shown).collect())
                    }).collect();
                    let mut json = serde_json::json!({"tags": tags});
                    if let Some(condition) = condition {
                        json["where"] = condition;
                    }
                    let audience = Audience::parse(json.to_string().as_bytes()).unwrap();
                    let wants = |(own, filter): &(Values, Option<Expression>)| {
                        audience.condition.as_ref().is_none_or(|condition| !own.is_empty() && condition.holds(own))
                            && filter.as_ref().is_none_or(|filter| filter.holds(&audience.tags))
                    };
                    let expected: Vec<_> = model.iter().filter(|(_, member)| wants(member)).map(|(&conn, _)| conn).collect();
                    let mut found = interest.select(Some(&audience)).unwrap_or_else(|| model.keys().copied().collect());
                    found.sort_unstable();
                    prop_assert_eq!(&found, &expected);
                    for &conn in model.keys() {
                        prop_assert_eq!(interest.wants(conn, Some(&audience)), expected.contains(&conn));
                    }
                }
            }
        }
        all.iter().for_each(|&conn| interest.left(conn));
        prop_assert!(interest.is_empty());
    }
}

fn shown(value: &Value) -> serde_json::Value {
    match value {
        Value::Flag(flag) => (*flag).into(),
        Value::Text(text) => (&**text).into(),
        Value::Number(number) => serde_json::from_str(&format!("{}", number.value())).unwrap(),
    }
}
