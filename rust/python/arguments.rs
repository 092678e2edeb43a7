//! Converts arguments from Python to values of the engine.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::engine::forgetting;
use crate::engine::message_builder::{Draft, Stamp};
use crate::interest::{self, Audience, InterestFault, MemberWish};
use crate::message::{Delivery, Priority, Role};
use crate::outbox::rates::MemberRates;
use crate::protocol::codec::Codec;
use crate::protocol::envelope::Kind;
use crate::room::Position;
use crate::slots::ConnId;
use crate::wire::table::delivery;

pub(super) fn draft<'a>(
    payload: &'a Bound<'_, PyAny>,
    json: bool,
    key: Option<&'a str>,
    delivery: Option<&str>,
    audience: Option<&'a Arc<Audience>>,
) -> PyResult<Draft<'a>> {
    let delivery = delivery.map(parse_delivery).transpose()?;
    let (kind, payload) = if let Ok(bytes) = payload.cast::<PyBytes>() {
        (if json { Kind::Json } else { Kind::Binary }, bytes.as_bytes())
    } else if let Ok(string) = payload.cast::<PyString>() {
        (if json { Kind::Json } else { Kind::Text }, string.to_str()?.as_bytes())
    } else {
        let kind = payload.get_type();
        return Err(PyTypeError::new_err(format!("payload must be bytes or str, not {}", kind.name()?)));
    };
    Ok(Draft { kind, payload, role: Role::Data, id: None, ack: false, key, delivery, audience })
}

/// Returns the draft of an entry of a log: a message or, without a payload, that a key was forgotten.
pub(super) fn logged<'a>(
    payload: Option<&'a Bound<'_, PyAny>>,
    json: bool,
    key: Option<&'a str>,
    delivery: Option<&str>,
    audience: Option<&'a Arc<Audience>>,
) -> PyResult<Draft<'a>> {
    match payload {
        Some(payload) => draft(payload, json, key, delivery, audience),
        None => Ok(forgetting(key.unwrap_or_default())),
    }
}

/// An older message: number, time, payload, whether that is JSON, key, delivery class and audience.
pub(super) type Older<'py> =
    (u64, u64, Option<Bound<'py, PyAny>>, bool, Option<String>, Option<String>, Option<Bound<'py, PyBytes>>);

pub(super) fn stamped<'a>(
    (seq, ts_ms, payload, json, key, delivery, _): &'a Older<'_>,
    audience: Option<&'a Arc<Audience>>,
) -> PyResult<(Stamp, Draft<'a>)> {
    let draft = logged(payload.as_ref(), *json, key.as_deref(), delivery.as_deref(), audience)?;
    Ok((Stamp::new(*seq, *ts_ms), draft))
}

/// A numbering by its name. What is none is one that no room has.
pub(super) fn parse_epoch(epoch: &str) -> u64 {
    u64::from_str_radix(epoch, 16).unwrap_or(u64::MAX)
}

pub(super) fn parse_rates(max_rate: Option<f64>, max_bytes: Option<u64>) -> PyResult<MemberRates> {
    MemberRates::new(max_rate, max_bytes).map_err(PyValueError::new_err)
}

pub(super) fn parse_position(epoch: &str, seq: u64) -> PyResult<Position> {
    // The parser alone would accept a sign.
    let digits = Some(epoch).filter(|epoch| epoch.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
        Some(epoch) => Ok(Position { epoch, seq }),
        None => Err(PyValueError::new_err(format!("epoch must be up to 16 hexadecimal digits, got {epoch:?}"))),
    }
}

pub(super) fn parse_codec(name: &str) -> PyResult<Codec> {
    match name {
        "raw" => Ok(Codec::Raw),
        "json" => Ok(Codec::Json),
        "msgpack" => Ok(Codec::Msgpack),
        _ => Err(PyValueError::new_err(format!("codec must be raw, json or msgpack, got {name:?}"))),
    }
}

pub(super) fn parse_delivery(name: &str) -> PyResult<Delivery> {
    match name {
        delivery::RELIABLE => Ok(Delivery::Reliable),
        delivery::LATEST => Ok(Delivery::Latest),
        delivery::DROP_OLDEST => Ok(Delivery::DropOldest),
        delivery::DROP_NEWEST => Ok(Delivery::DropNewest),
        _ => Err(PyValueError::new_err(format!(
            "delivery must be reliable, latest, drop-oldest or drop-newest, got {name:?}"
        ))),
    }
}

pub(super) fn parse_priority(name: &str) -> PyResult<Priority> {
    Priority::named(name)
        .ok_or_else(|| PyValueError::new_err(format!("priority must be high, normal or low, got {name:?}")))
}

/// Whom a message is for, from its JSON form.
pub(super) fn parse_audience(json: Option<&[u8]>) -> PyResult<Option<Arc<Audience>>> {
    json.map(Audience::parse).transpose().map_err(wrong)
}

/// What a member wants: everything, or the messages that a filter in its JSON form lets through; "" takes the filter
/// away.
pub(super) fn parse_wish(filter: Option<&[u8]>, everything: bool) -> PyResult<MemberWish> {
    Ok(match filter {
        _ if everything => MemberWish::Everything,
        None => MemberWish::Keep,
        Some(b"") => MemberWish::Filter(None),
        Some(json) => MemberWish::Filter(Some(Arc::new(interest::expression(json).map_err(wrong)?))),
    })
}

pub(super) fn wrong(InterestFault { path, text }: InterestFault) -> PyErr {
    PyValueError::new_err(format!("{path} {text}"))
}

pub(super) fn conn_ids(numbers: Vec<u64>) -> Vec<ConnId> {
    let mut conns: Vec<_> = numbers.into_iter().map(ConnId::from_u64).collect();
    conns.sort_unstable();
    conns
}

pub(super) fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        PyValueError::new_err(format!("a duration must be a number of seconds that is not negative, got {seconds}"))
    })
}

pub(super) fn micros(seconds: f64) -> PyResult<u64> {
    Ok(duration(seconds)?.as_micros() as u64)
}
