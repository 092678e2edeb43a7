//! Reads the attributes of a member from the keywords that Python gives.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};

use crate::interest::{Few, Given, NamedReader, Values};
use crate::python::arguments::wrong;

/// Reads a change of attributes. Names without values are those to take away.
pub(super) fn attributes(named: &Bound<'_, PyDict>) -> PyResult<Values> {
    let mut reader = NamedReader::new("$", named.len()).map_err(wrong)?;
    for (name, value) in named {
        let name = name.cast::<PyString>()?.to_str()?;
        let values = if value.is_none() {
            Few::default()
        } else if is_list(&value) {
            let mut list = Vec::new();
            for value in value.try_iter()? {
                list.push(reader.value(name, Some(list.len()), given(&value?)?).map_err(wrong)?);
            }
            list.into()
        } else {
            Few::One(reader.value(name, None, given(&value)?).map_err(wrong)?)
        };
        reader.put(name, values).map_err(wrong)?;
    }
    Ok(reader.end())
}

fn given<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<Given<'a>> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Given::Text(text.to_str().map_err(|error| unusable(error.value(value.py())))?));
    }
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(Given::Flag(flag.is_true()));
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(Given::whole(value.extract().ok()));
    }
    if let Ok(float) = value.cast::<PyFloat>() {
        return match float.value() {
            number if number.is_finite() => Ok(Given::Number(Some(number))),
            _ => Err(unusable("numbers must be finite")),
        };
    }
    if value.is_none() || value.is_instance_of::<PyDict>() || is_list(value) {
        return Ok(Given::Other);
    }
    Err(unusable(format_args!("a value is of the type {}", value.get_type().name()?)))
}

fn is_list(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyList>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PySet>()
        || value.is_instance_of::<PyFrozenSet>()
}

fn unusable(why: impl std::fmt::Display) -> PyErr {
    PyTypeError::new_err(format!("attributes must consist of texts, numbers, bools and lists of them: {why}"))
}
