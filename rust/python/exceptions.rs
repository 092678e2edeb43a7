//! The engine's errors as exceptions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::{create_exception, intern};

use crate::error::Error;
use crate::io::driver::panic_text;

// The tree is drawn in `python/fanwire/errors.py`, with the exceptions that Python defines.
create_exception!(fanwire, FanwireError, PyException, "What all exceptions of fanwire derive from.");
create_exception!(
    fanwire,
    Closed,
    FanwireError,
    "The caller used a server that is not running, or a client that is closed. The caller starts it, or stops calling."
);
create_exception!(
    fanwire,
    Overloaded,
    FanwireError,
    "A bounded queue or table is full. Nothing was queued and no sequence number was taken; the caller tries again later."
);
create_exception!(
    fanwire.errors,
    RoomFull,
    Overloaded,
    "The room has as many members as it may have. The caller tries again when a member has left."
);
create_exception!(
    fanwire.errors,
    EngineFailed,
    FanwireError,
    "A thread of the engine has panicked: a bug in fanwire. Every later call raises this; the operator restarts the server."
);

/// Runs the engine's code; its errors become exceptions and so does a panic, which must not unwind into the
/// interpreter: PyO3 would raise a `BaseException` that no handler expects.
pub(super) fn guard<R>(call: impl FnOnce() -> Result<R, Error>) -> PyResult<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(to_exception),
        Err(panic) => Err(to_exception(Error::Failed(panic_text(&*panic)))),
    }
}

fn to_exception(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::ShutDown | Error::Forked { .. } => Closed::new_err(text),
        Error::Invalid(_) => PyValueError::new_err(text),
        Error::Overloaded { field, .. } => with_limit(Overloaded::new_err(text), field),
        Error::Full { .. } => with_limit(RoomFull::new_err(text), "max_members"),
        Error::Failed(_) => EngineFailed::new_err(text),
        Error::Io(error) => PyOSError::new_err((error.raw_os_error(), text)),
    }
}

/// Names the limit that was met.
fn with_limit(error: PyErr, field: &str) -> PyErr {
    Python::attach(|py| error.value(py).setattr(intern!(py, "limit"), field).err().unwrap_or(error))
}
