//! The border of documents: functions that check and translate them.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::interest;
use crate::protocol::document::{self, Fault};

#[pyfunction]
pub(super) fn check_json(document: &[u8], max_nesting: usize) -> Option<(String, String)> {
    document::check_json(document, allowed(max_nesting)).err().map(told)
}

#[pyfunction]
pub(super) fn check_filter(filter: &[u8]) -> Option<(String, String)> {
    interest::expression(filter).err().map(|fault| (fault.path, fault.text))
}

#[pyfunction]
pub(super) fn check_audience(audience: &[u8]) -> Option<(String, String)> {
    interest::Audience::parse(audience).err().map(|fault| (fault.path, fault.text))
}

#[pyfunction]
pub(super) fn payload_of(frame: &[u8], is_json: bool) -> Option<(usize, usize)> {
    document::payload_of(frame, is_json).map(|found| (found.start, found.end))
}

#[pyfunction]
pub(super) fn glance(document: &[u8], max_nesting: usize) -> u8 {
    let (has_null, is_deep) = document::glance(document, allowed(max_nesting));
    u8::from(has_null) | u8::from(is_deep) << 1
}

#[pyfunction]
pub(super) fn is_surely_finite(value: &Bound<'_, PyAny>) -> bool {
    is_finite_within(value, document::DEPTH_MAX)
}

/// Whether a value consists of the usual types only, and has no float that is not finite.
fn is_finite_within(value: &Bound<'_, PyAny>, levels: usize) -> bool {
    if let Ok(float) = value.cast_exact::<PyFloat>() {
        return float.value().is_finite();
    }
    if value.is_none() || value.is_exact_instance_of::<PyString>() || value.is_exact_instance_of::<PyInt>() {
        return true;
    }
    let Some(levels) = levels.checked_sub(1) else {
        return false;
    };
    if let Ok(map) = value.cast_exact::<PyDict>() {
        map.iter().all(|(_, value)| is_finite_within(&value, levels))
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        list.iter().all(|value| is_finite_within(&value, levels))
    } else {
        value.is_instance_of::<PyBool>()
    }
}

#[pyfunction]
pub(super) fn json_to_msgpack<'py>(
    py: Python<'py>,
    document: &[u8],
    max_nesting: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let mut out = Vec::with_capacity(document.len());
    match document::json_to_msgpack(document, allowed(max_nesting), &mut out) {
        Ok(()) => Ok(PyBytes::new(py, &out).into_any()),
        Err(fault) => Ok(told(fault).into_pyobject(py)?.into_any()),
    }
}

#[pyfunction]
pub(super) fn msgpack_to_json<'py>(
    py: Python<'py>,
    document: &[u8],
    max_nesting: usize,
) -> PyResult<Bound<'py, PyAny>> {
    match document::msgpack_to_json(document, allowed(max_nesting)) {
        Ok(json) => Ok(PyBytes::new(py, &json).into_any()),
        Err(fault) => Ok(told(fault).into_pyobject(py)?.into_any()),
    }
}

/// Bounds the recursion, whatever the caller asks for.
fn allowed(max_nesting: usize) -> usize {
    max_nesting.min(document::DEPTH_MAX)
}

fn told(fault: Fault) -> (String, String) {
    (fault.path(), fault.text)
}
