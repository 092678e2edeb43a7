//! The words of the protocol where the engine has them in another form: in bytes, in an order, or as an enum.

use serde_json::{Value, json};

use super::{
    DELIVERIES, RECONNECT, UNCOUNTED, close_code, delivery, joined_reason, kind, skipped_reason, welcome_reason,
};
use crate::message::{Delivery, delivery_name};
use crate::protocol::codec::Codec;
use crate::protocol::envelope;
use crate::protocol::form::Form;
use crate::protocol::report::Report;
use crate::queues::command::{Event, UNRESUMED, Unresumed};
use crate::room::{Unrecovered, unrecovered_name};
use crate::stats::DROPS;
use crate::stats::Drop;
use crate::wire::frame::is_sendable_code;

/// The document in a frame of the server's with a short payload.
fn document(form: Form, frame: &[u8]) -> Value {
    match form.codec {
        Codec::Json => serde_json::from_slice(&frame[2..]).unwrap(),
        _ => rmp_serde::from_slice(&frame[2..]).unwrap(),
    }
}

#[test]
fn envelopes_that_are_written_as_bytes_have_the_types_of_the_table() {
    for form in [Form::JSON, Form::MSGPACK] {
        for (frame, name) in [
            (envelope::ping(form), kind::PING),
            (envelope::pong(form), kind::PONG),
            (envelope::window(form, "r", 1), kind::WINDOW),
        ] {
            assert_eq!(document(form, &frame.unwrap())["type"], json!(name));
            assert!(UNCOUNTED.contains(&name), "{name}");
        }
    }
}

#[test]
fn a_report_is_the_type_of_the_table() {
    let document = json!({"type": kind::RECEIVED, "payload": {"count": 3}});
    assert!(Report::read(document.to_string().as_bytes(), Codec::Json).is_some());
    assert!(UNCOUNTED.contains(&kind::RECEIVED));
}

#[test]
fn delivery_classes_have_the_order_of_the_table() {
    let classes = [Delivery::Reliable, Delivery::Latest, Delivery::DropOldest, Delivery::DropNewest];
    assert_eq!(classes.map(delivery_name), DELIVERIES);
    assert_eq!(classes.map(|class| class as usize), [0, 1, 2, 3]);
    assert_eq!(delivery_name(Delivery::Latest), delivery::LATEST);
}

#[test]
fn reasons_are_those_of_the_table() {
    // Clients are not told of the others.
    let told = DROPS.iter().filter(|(drop, _)| !matches!(drop, Drop::Closed | Drop::Filtered | Drop::Rate));
    let names: Vec<_> = told.map(|(_, name)| *name).collect();
    let words = [skipped_reason::REPLACED, skipped_reason::OLDEST, skipped_reason::NEWEST, skipped_reason::BUDGET];
    assert_eq!(names, words);
    let names = [Unrecovered::Epoch, Unrecovered::History, Unrecovered::Position].map(unrecovered_name);
    assert_eq!(names, [joined_reason::EPOCH, joined_reason::HISTORY, joined_reason::POSITION]);
    assert_eq!(
        UNRESUMED.map(|(_, name)| name),
        [Unresumed::Closed, Unresumed::Overflow, Unresumed::Codec].map(Unresumed::name)
    );
    assert_eq!(Unresumed::Closed.name(), welcome_reason::CLOSED);
}

#[test]
fn a_client_that_closes_with_a_code_of_the_range_may_come_back() {
    for code in [*RECONNECT.start(), *RECONNECT.end(), close_code::RECONNECT, close_code::SLOW_CONSUMER] {
        assert!(Event::may_ask(Some(code)) && is_sendable_code(code), "{code}");
    }
    for code in [RECONNECT.start() - 1, RECONNECT.end() + 1, close_code::NORMAL, close_code::TAKEN_OVER] {
        assert!(!Event::may_ask(Some(code)), "{code}");
    }
}
