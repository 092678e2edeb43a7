//! Converts arguments from Python to values of the engine.

use std::os::fd::RawFd;
use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::engine::message_builder::{Draft, Stamp};
use crate::engine::{Transport, forgetting};
use crate::message::{Delivery, Role};
use crate::protocol::codec::Codec;
use crate::protocol::envelope::Kind;
use crate::python::accepting;
use crate::room::Position;
use crate::slots::ConnId;
use crate::wire::table::delivery;

pub(super) fn draft<'a>(
    payload: &'a Bound<'_, PyAny>,
    json: bool,
    key: Option<&'a str>,
    delivery: Option<&str>,
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
    Ok(Draft { kind, payload, role: Role::Data, id: None, ack: false, key, delivery })
}

/// Returns the draft of an entry of a log: a message or, without a payload, that a key was forgotten.
pub(super) fn logged<'a>(
    payload: Option<&'a Bound<'_, PyAny>>,
    json: bool,
    key: Option<&'a str>,
    delivery: Option<&str>,
) -> PyResult<Draft<'a>> {
    match payload {
        Some(payload) => draft(payload, json, key, delivery),
        None => Ok(forgetting(key.unwrap_or_default())),
    }
}

/// An older message: number, time, payload, whether that is JSON, key and delivery class.
pub(super) type Older<'py> = (u64, u64, Option<Bound<'py, PyAny>>, bool, Option<String>, Option<String>);

pub(super) fn stamped<'a>((seq, ts_ms, payload, json, key, delivery): &'a Older<'_>) -> PyResult<(Stamp, Draft<'a>)> {
    let draft = logged(payload.as_ref(), *json, key.as_deref(), delivery.as_deref())?;
    Ok((Stamp { seq: *seq, ts_ms: *ts_ms }, draft))
}

pub(super) fn transport(fd: Option<RawFd>, window: usize) -> PyResult<Transport> {
    match fd {
        None => Ok(Transport::Hosted { window, fd: None }),
        Some(fd) => {
            let owned = accepting::duplicate(fd)?;
            Ok(if window > 0 { Transport::Hosted { window, fd: Some(owned) } } else { Transport::Socket(owned) })
        }
    }
}

/// A numbering by its name. What is none is one that no room has.
pub(super) fn parse_epoch(epoch: &str) -> u64 {
    u64::from_str_radix(epoch, 16).unwrap_or(u64::MAX)
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
