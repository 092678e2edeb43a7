//! Values as they are given, in JSON or by the application's program, and the checks of their limits.

use serde_json::Value as Json;

use crate::interest::value::{Few, NAMES, Number, Value, Values};

/// What is wrong with what is given, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterestFault {
    /// The place, such as `$.price.range[0]`.
    pub path: String,
    /// What is wrong there.
    pub text: String,
}

/// A value as it is given.
#[derive(Debug, Clone, Copy)]
pub enum Given<'a> {
    /// True or false.
    Flag(bool),
    /// A text.
    Text(&'a str),
    /// A number; none: a whole number that a double does not hold exactly.
    Number(Option<f64>),
    /// Anything else.
    Other,
}

impl Given<'_> {
    /// Takes a whole number; none: it has more than 64 bits.
    pub fn whole(number: Option<i64>) -> Self {
        Self::Number(number.filter(|whole| whole.unsigned_abs() <= WHOLE).map(|whole| whole as f64))
    }
}

impl<'a> From<&'a Json> for Given<'a> {
    fn from(json: &'a Json) -> Self {
        match json {
            Json::Bool(flag) => Self::Flag(*flag),
            Json::String(text) => Self::Text(text),
            Json::Number(number) if number.is_f64() => Self::Number(number.as_f64()),
            Json::Number(number) => Self::whole(number.as_i64()),
            _ => Self::Other,
        }
    }
}

/// Checks and counts the values of one expression, or of one set of names.
#[derive(Debug, Default)]
pub struct ValueReader {
    values: usize,
}

impl ValueReader {
    /// Takes a value. `path` is its place, for a fault.
    pub fn value(&mut self, given: Given<'_>, path: impl Fn() -> String) -> Result<Value, InterestFault> {
        self.values += 1;
        let wrong = |text: String| Err(fault(&path(), text));
        if self.values > VALUES {
            return wrong(format!("is one more than the {VALUES} values that are allowed"));
        }
        match given {
            Given::Flag(flag) => Ok(Value::Flag(flag)),
            Given::Text(text) if text.len() <= TEXT => Ok(Value::Text(text.into())),
            Given::Text(text) => wrong(format!("must have at most {TEXT} bytes, got {}", text.len())),
            Given::Number(number) => match number.and_then(Number::new) {
                Some(number) => Ok(Value::Number(number)),
                None => wrong("must be a whole number of at most 2**53, or a fraction".to_owned()),
            },
            Given::Other => wrong("must be a text, a number, true or false".to_owned()),
        }
    }
}

/// Reads named values, one after the other.
#[derive(Debug)]
pub struct NamedReader<'a> {
    path: &'a str,
    values: ValueReader,
    found: Values,
}

impl<'a> NamedReader<'a> {
    /// Begins with so many names. `path` is the place of all of them, for a fault.
    pub fn new(path: &'a str, names: usize) -> Result<Self, InterestFault> {
        match names {
            ..=NAMES => Ok(Self { path, values: ValueReader::default(), found: Values::new() }),
            _ => Err(fault(path, format!("must have at most {NAMES} names, got {names}"))),
        }
    }

    /// Takes a value of a name; `place`: its place in a list.
    pub fn value(&mut self, name: &str, place: Option<usize>, given: Given<'_>) -> Result<Value, InterestFault> {
        let Self { path, values, .. } = self;
        values.value(given, || match place {
            Some(place) => format!("{path}.{}[{place}]", shown(name)),
            None => format!("{path}.{}", shown(name)),
        })
    }

    /// Gives a name the values that were taken.
    pub fn put(&mut self, name: &str, values: Few) -> Result<(), InterestFault> {
        check_name(name, || format!("{}.{}", self.path, shown(name)))?;
        self.found.put(name.into(), values);
        Ok(())
    }

    /// Returns all names with their values.
    pub fn end(self) -> Values {
        self.found
    }
}

pub fn fault(path: &str, text: impl Into<String>) -> InterestFault {
    InterestFault { path: path.into(), text: text.into() }
}

/// Fails unless a text may be a name. `path` is its place, for a fault.
pub fn check_name(name: &str, path: impl Fn() -> String) -> Result<(), InterestFault> {
    if matches!(name, "and" | "or" | "not") {
        return Err(fault(&path(), "is a word of expressions, and cannot be a name"));
    }
    if name.is_empty() || name.len() > NAME {
        return Err(fault(&path(), format!("is a name of {} bytes; a name has 1 to {NAME}", name.len())));
    }
    Ok(())
}

/// Returns a name for a path, cut off if it is long.
pub fn shown(name: &str) -> &str {
    let end = (0..=NAME.min(name.len())).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    &name[..end]
}

/// The most values of an expression, or of all names together: every instrument of a large portfolio.
const VALUES: usize = 1_024;

/// The most bytes of a name.
const NAME: usize = 64;

/// The most bytes of a text.
const TEXT: usize = 255;

/// The largest whole number that a double holds exactly, with all below it.
const WHOLE: u64 = 1 << 53;
