//! An expression over named values: equality with one of several values, ranges of numbers, and, or, not.

use crate::interest::value::{Number, Value, Values};

/// An expression. Two that say the same in the same order are equal, so that they are evaluated once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expression {
    /// The name has one of these values, which are sorted.
    Any(Box<str>, Box<[Value]>),
    /// The name has a number from the first to the second, both included; none: no bound.
    Range(Box<str>, Option<Number>, Option<Number>),
    /// All hold; without parts it holds.
    And(Box<[Expression]>),
    /// One holds at least; without parts it does not hold.
    Or(Box<[Expression]>),
    /// It does not hold.
    Not(Box<Expression>),
}

impl Expression {
    /// Whether it holds for these values. A name that is missing, or has a value of another type, is no match.
    pub fn holds(&self, values: &Values) -> bool {
        match self {
            Self::Any(name, wanted) => values.of(name).iter().any(|value| wanted.binary_search(value).is_ok()),
            Self::Range(name, low, high) => values.of(name).iter().any(|value| within(value, *low, *high)),
            Self::And(parts) => parts.iter().all(|part| part.holds(values)),
            Self::Or(parts) => parts.iter().any(|part| part.holds(values)),
            Self::Not(part) => !part.holds(values),
        }
    }

    /// Adds names with values of which at least one is there wherever the expression holds. Returns false, and what was
    /// added is useless, if there are none. Of the parts of an `and` that has the fewest is used.
    pub fn needs<'a>(&'a self, found: &mut Vec<(&'a str, &'a Value)>) -> bool {
        match self {
            Self::Any(name, values) => {
                found.extend(values.iter().map(|value| (&**name, value)));
                true
            }
            Self::Range(..) | Self::Not(_) => false,
            Self::Or(parts) => parts.iter().all(|part| part.needs(found)),
            Self::And(parts) => {
                let each = parts.iter().filter_map(|part| {
                    let mut own = Vec::new();
                    part.needs(&mut own).then_some(own)
                });
                each.min_by_key(Vec::len).map(|fewest| found.extend(fewest)).is_some()
            }
        }
    }
}

/// Whether a value is a number between two bounds.
fn within(value: &Value, low: Option<Number>, high: Option<Number>) -> bool {
    match value {
        Value::Number(number) => low.is_none_or(|low| low <= *number) && high.is_none_or(|high| *number <= high),
        _ => false,
    }
}
