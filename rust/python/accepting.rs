//! The border of accepting: listening sockets, newcomers, and what the host is told about them.

use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::engine::Engine;
use crate::newcomers::{NewcomerEvent, Request};
use crate::python::exceptions::guard;
use crate::python::tls;
use crate::queues::command::UNRESUMED;
use crate::slots::ConnId;
use crate::wire::prefix::Prefix;

/// Returns the event about a newcomer as a tuple; none if it has gone since.
pub(super) fn news_tuple<'py>(py: Python<'py>, engine: &Engine, conn: ConnId) -> PyResult<Option<Bound<'py, PyAny>>> {
    let id = conn.as_u64();
    let Some(news) = guard(|| Ok(engine.news(conn)))? else { return Ok(None) };
    let tuple = match news {
        NewcomerEvent::Request(request) => {
            let Request {
                target,
                headers,
                remote,
                is_secure,
                is_origin_allowed,
                subprotocol,
                transport,
                tls,
                compression,
            } = *request;
            let (target, headers) = (PyBytes::new(py, &target), PyBytes::new(py, &headers));
            let tls = tls.as_deref().map(tls::info_tuple);
            let detail =
                (target, headers, remote, is_secure, is_origin_allowed, subprotocol, transport, tls, compression);
            (intern!(py, "request"), id, detail).into_pyobject(py)?
        }
        NewcomerEvent::Http { stream, data, peer, is_secure, tls } => {
            let tls = tls.as_deref().map(tls::info_tuple);
            // The host owns the descriptor from here on.
            let fd = stream.into_raw_fd();
            (intern!(py, "http"), id, (fd, PyBytes::new(py, &data), peer, is_secure, tls)).into_pyobject(py)?
        }
    };
    Ok(Some(tuple.into_any()))
}

/// Returns a duplicate of the host's descriptor.
pub(super) fn duplicate(fd: RawFd) -> PyResult<OwnedFd> {
    if fd < 0 {
        return Err(PyValueError::new_err(format!("fd must be a file descriptor, got {fd}")));
    }
    // SAFETY: the caller keeps the descriptor open during this call; the engine keeps only the duplicate made here.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(borrowed.try_clone_to_owned()?)
}

pub(super) fn prefix(name: &str, text: &str) -> PyResult<Prefix> {
    let wrong = || PyValueError::new_err(format!("{name} must be \"\" or a path such as \"/rt\", got {text:?}"));
    Prefix::new(text).ok_or_else(wrong)
}

/// Converts the first envelope of a link whose session cannot be resumed, for each reason.
pub(super) fn refused_replies(refused: &Bound<'_, PyDict>) -> PyResult<[Box<[u8]>; UNRESUMED.len()]> {
    let mut replies = UNRESUMED.map(|_| Box::default());
    for (reply, (_, reason)) in replies.iter_mut().zip(UNRESUMED) {
        let Some(envelope) = refused.get_item(reason)? else {
            return Err(PyValueError::new_err(format!("refused has no reply for the reason {reason:?}")));
        };
        *reply = envelope.extract::<&[u8]>()?.into();
    }
    Ok(replies)
}
