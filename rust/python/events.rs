//! Converts events and messages to tuples, lists, strings and bytes.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::engine::Engine;
use crate::python::accepting;
use crate::queues::batch::{Messages, Received};
use crate::queues::command::{Cause, Event};

/// Returns the event as a tuple; none if it is about a newcomer that has gone since.
pub(super) fn event_tuple<'py>(py: Python<'py>, engine: &Engine, event: Event) -> PyResult<Option<Bound<'py, PyAny>>> {
    let tuple = match event {
        Event::Closing { conn, cause } => {
            (intern!(py, "closing"), conn.as_u64(), cause_name(cause)).into_pyobject(py)?.into_any()
        }
        Event::Closed { conn, cause } => {
            (intern!(py, "closed"), conn.as_u64(), cause_name(cause)).into_pyobject(py)?.into_any()
        }
        Event::Ended { conn, account } => {
            let drops = PyDict::new(py);
            for (name, count) in account.drops() {
                drops.set_item(name, count)?;
            }
            let median_age = account.median_age_ms().map(|age_ms| age_ms / 1e3);
            let detail = (account.messages, account.bytes, drops, account.highest_queue, median_age);
            (intern!(py, "ended"), conn.as_u64(), detail).into_pyobject(py)?.into_any()
        }
        Event::Parked { conn, cause } => {
            (intern!(py, "parked"), conn.as_u64(), cause_name(cause)).into_pyobject(py)?.into_any()
        }
        Event::Resumed { conn, link } => {
            (intern!(py, "resumed"), link.as_u64(), conn.as_u64()).into_pyobject(py)?.into_any()
        }
        Event::Refused { conn, link, why } => {
            (intern!(py, "refused"), link.as_u64(), (conn.as_u64(), why.name())).into_pyobject(py)?.into_any()
        }
        Event::Data { conn, bytes } => {
            (intern!(py, "data"), conn.as_u64(), PyBytes::new(py, &bytes)).into_pyobject(py)?.into_any()
        }
        Event::Messages { conn, of: _, messages } => {
            let detail = (messages.size(), message_list(py, messages)?);
            (intern!(py, "messages"), conn.as_u64(), detail).into_pyobject(py)?.into_any()
        }
        Event::PeerClosed { conn, code, reason } => {
            (intern!(py, "peer_closed"), conn.as_u64(), (code, &*reason)).into_pyobject(py)?.into_any()
        }
        Event::Broke { conn, code, reason } => {
            (intern!(py, "broke"), conn.as_u64(), (code, reason)).into_pyobject(py)?.into_any()
        }
        Event::Read { conn, bytes } => (intern!(py, "read"), conn.as_u64(), bytes).into_pyobject(py)?.into_any(),
        Event::Newcomer { conn } => return accepting::news_tuple(py, engine, conn),
        Event::NewcomerGone { conn } => (intern!(py, "gone"), conn.as_u64(), py.None()).into_pyobject(py)?.into_any(),
        Event::TurnedAway { remote, status, reason, suppressed, asked } => {
            let detail = (remote, status, &*reason, suppressed, &*asked.path, &*asked.user_agent);
            (intern!(py, "turned_away"), 0, detail).into_pyobject(py)?.into_any()
        }
        Event::Numbered { numbers } => (intern!(py, "numbered"), 0, numbers).into_pyobject(py)?.into_any(),
        Event::Tick { hz, number } => (intern!(py, "tick"), 0, (hz, number)).into_pyobject(py)?.into_any(),
        Event::Room { name } => (intern!(py, "room"), 0, &*name).into_pyobject(py)?.into_any(),
        Event::Failed { what } => (intern!(py, "failed"), 0, what).into_pyobject(py)?.into_any(),
    };
    Ok(Some(tuple))
}

fn message_list(py: Python<'_>, messages: Messages) -> PyResult<Bound<'_, PyList>> {
    let mut pieces = messages.into_pieces();
    let Some(first) = pieces.next() else { return Ok(PyList::empty(py)) };
    // The list is created with its usual length, because usually there is one piece.
    let objects = first.iter().map(|message| message_object(py, message)).collect::<PyResult<Vec<_>>>()?;
    let list = PyList::new(py, objects)?;
    for piece in pieces {
        for message in piece.iter() {
            list.append(message_object(py, message)?)?;
        }
    }
    Ok(list)
}

/// Returns a message; one that came too fast as a pair with the seconds to wait. Messages that were refused already are one
/// pair of their number and their bytes.
fn message_object<'py>(py: Python<'py>, message: Received<'_>) -> PyResult<Bound<'py, PyAny>> {
    let Received { payload, is_text, wait_us, refused } = message;
    if let Some(refused) = refused {
        return Ok(refused.into_pyobject(py)?.into_any());
    }
    let payload = match is_text {
        true => PyString::from_bytes(py, payload)?.into_any(),
        false => PyBytes::new(py, payload).into_any(),
    };
    match wait_us {
        None => Ok(payload),
        Some(wait_us) => Ok((payload, wait_us as f64 / 1e6).into_pyobject(py)?.into_any()),
    }
}

fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Slow => "slow",
        Cause::Budget => "budget",
        Cause::Unanswered => "unanswered",
        Cause::CloseTimeout => "close timeout",
        Cause::Reset => "reset",
        Cause::Eof => "eof",
        Cause::Over => "over",
        Cause::Cut => "cut",
    }
}
