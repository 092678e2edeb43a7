//! Named values: the attributes of a member, or the tags of a message.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;
use std::{mem, slice, vec};

/// One value. Values of different types are never equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// True or false.
    Flag(bool),
    /// A finite number; 1 and 1.0 are the same.
    Number(Number),
    /// A text.
    Text(Box<str>),
}

/// A finite number with a total order.
#[derive(Debug, Clone, Copy)]
pub struct Number(f64);

impl Number {
    /// Returns a number; none if it is infinite or not a number.
    pub fn new(number: f64) -> Option<Self> {
        // Adding 0 turns -0 into 0, so that equal numbers have equal bits.
        number.is_finite().then_some(Self(number + 0.0))
    }

    /// Returns the number.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// Values by name. A name may have several values; they are sorted and differ from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(Vec<(Arc<str>, Few)>);

/// The values of one name. Most names have one, which needs no memory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Few {
    /// One value.
    One(Value),
    /// None or several; sorted and without doubles.
    Many(Box<[Value]>),
}

impl Deref for Few {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        match self {
            Self::One(value) => slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl Default for Few {
    /// No value.
    fn default() -> Self {
        Self::Many(Box::default())
    }
}

impl From<Vec<Value>> for Few {
    fn from(mut values: Vec<Value>) -> Self {
        values.sort_unstable();
        values.dedup();
        Self::Many(values.into())
    }
}

impl Values {
    /// Creates an empty set of names.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns the number of names.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a name may be set: it is there, or the number of names is below its limit.
    pub fn has_room(&self, name: &str) -> bool {
        self.0.len() < NAMES || self.find(name).is_ok()
    }

    /// Returns the values of a name; none: no value.
    pub fn of(&self, name: &str) -> &[Value] {
        self.find(name).ok().and_then(|place| self.0.get(place)).map_or(&[], |(_, values)| values)
    }

    /// Gives a name these values. With no values the name stays, so that a change can say that a name is taken away; see
    /// [`Self::set`].
    pub fn put(&mut self, name: Arc<str>, values: Few) {
        match self.find(&name) {
            Ok(place) => self.0[place].1 = values,
            Err(place) => self.0.insert(place, (name, values)),
        }
    }

    /// Gives a name these values, or takes it away if there are none. Returns the values that it had.
    pub fn set(&mut self, name: &Arc<str>, values: Few) -> Few {
        match self.find(name) {
            Ok(place) if values.is_empty() => self.0.remove(place).1,
            Ok(place) => mem::replace(&mut self.0[place].1, values),
            Err(_) if values.is_empty() => Few::default(),
            Err(place) => {
                self.0.insert(place, (Arc::clone(name), values));
                Few::default()
            }
        }
    }

    /// Returns the names and their values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Value])> {
        self.0.iter().map(|(name, values)| (&**name, &**values))
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

impl IntoIterator for Values {
    type Item = (Arc<str>, Few);
    type IntoIter = vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The most names of a member's attributes or a message's tags.
pub(super) const NAMES: usize = 32;
