//! The attributes of a room's members within one shard, indexed by value.
//!
//! Each value has the list of its members (a posting list), so a condition looks at the members that have one of the
//! values it asks for, and not at the others. A change of one value takes constant time.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::interest::expression::Expression;
use crate::interest::postings::FxSet;
use crate::interest::value::{Number, Value, Values};
use crate::slots::ConnId;

/// The attributes of members.
#[derive(Debug, Default)]
pub struct Attributes {
    members: FxHashMap<ConnId, Values>,
    /// By name: usually there are a few.
    names: BTreeMap<Arc<str>, NameIndex>,
}

#[derive(Debug)]
struct NameIndex {
    /// The name, which all members share.
    name: Arc<str>,
    values: BTreeMap<Value, FxSet<ConnId>>,
    /// Members with more than one value of this name.
    several: usize,
}

/// Members that are candidates for a condition.
#[derive(Default)]
struct Candidates<'a> {
    lists: Vec<&'a FxSet<ConnId>>,
    /// Whether the condition holds for all of them.
    is_exact: bool,
    /// Whether one member may be in several lists.
    is_doubled: bool,
}

impl Candidates<'_> {
    fn len(&self) -> usize {
        self.lists.iter().map(|list| list.len()).sum()
    }
}

impl Attributes {
    /// Whether no member has attributes.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns the attributes of a member.
    pub fn of(&self, conn: ConnId) -> Option<&Values> {
        self.members.get(&conn)
    }

    /// Changes the attributes of a member that the change names. A name without values is taken away. Does nothing if
    /// the member would have too many names.
    pub fn change(&mut self, conn: ConnId, change: Values) {
        let own = self.members.entry(conn).or_default();
        for (name, new) in change {
            if !own.has_room(&name) {
                continue;
            }
            let index = match self.names.get_mut(&name) {
                Some(index) => index,
                None if new.is_empty() => continue,
                None => self.names.entry(Arc::clone(&name)).or_insert_with(|| NameIndex::new(name)),
            };
            for value in own.of(&index.name).iter().filter(|value| new.binary_search(value).is_err()) {
                index.remove(value, conn);
            }
            for value in new.iter() {
                index.add(value, conn);
            }
            index.several += usize::from(new.len() > 1);
            let old = own.set(&index.name, new);
            index.several -= usize::from(old.len() > 1);
            if index.values.is_empty() {
                let name = Arc::clone(&index.name);
                self.names.remove(&name);
            }
        }
        if own.is_empty() {
            self.members.remove(&conn);
        }
    }

    /// Removes a member.
    pub fn remove(&mut self, conn: ConnId) {
        for (name, values) in self.members.remove(&conn).into_iter().flatten() {
            let Some(index) = self.names.get_mut(&name) else { continue };
            index.several -= usize::from(values.len() > 1);
            for value in values.iter() {
                index.remove(value, conn);
            }
            if index.values.is_empty() {
                self.names.remove(&name);
            }
        }
    }

    /// Returns the members for which a condition holds, each once. Members without attributes are never among them.
    pub fn find(&self, condition: &Expression) -> Vec<ConnId> {
        let holds = |values: &Values| condition.holds(values);
        let Some(Candidates { lists, is_exact, is_doubled }) = self.candidates(condition) else {
            return self.members.iter().filter(|&(_, values)| holds(values)).map(|(&conn, _)| conn).collect();
        };
        let all = lists.into_iter().flatten().copied();
        let mut found: Vec<_> = match is_exact {
            true => all.collect(),
            false => all.filter(|conn| self.members.get(conn).is_some_and(holds)).collect(),
        };
        if is_doubled {
            found.sort_unstable();
            found.dedup();
        }
        found
    }

    /// Returns candidates that contain every member for which the condition holds; none: only a look at all members
    /// finds them.
    fn candidates<'a>(&'a self, condition: &Expression) -> Option<Candidates<'a>> {
        match condition {
            Expression::Any(name, values) => {
                let Some(index) = self.names.get(&**name) else { return Some(Candidates::none()) };
                let lists: Vec<_> = values.iter().filter_map(|value| index.values.get(value)).collect();
                let is_doubled = lists.len() > 1 && index.several > 0;
                Some(Candidates { lists, is_exact: true, is_doubled })
            }
            Expression::Range(name, low, high) => {
                let Some(index) = self.names.get(&**name) else { return Some(Candidates::none()) };
                let lists: Vec<_> = index.numbers(*low, *high).collect();
                let is_doubled = lists.len() > 1 && index.several > 0;
                Some(Candidates { lists, is_exact: true, is_doubled })
            }
            Expression::And(parts) => {
                let best = parts.iter().filter_map(|part| self.candidates(part)).min_by_key(Candidates::len)?;
                Some(Candidates { is_exact: best.is_exact && parts.len() == 1, ..best })
            }
            Expression::Or(parts) => {
                let mut all = Candidates { is_exact: true, is_doubled: parts.len() > 1, ..Candidates::default() };
                for part in parts {
                    let one = self.candidates(part)?;
                    all.lists.extend(one.lists);
                    all.is_exact &= one.is_exact;
                    all.is_doubled |= one.is_doubled;
                }
                Some(all)
            }
            Expression::Not(_) => None,
        }
    }
}

impl Candidates<'_> {
    /// Nobody: no member has the name.
    fn none() -> Self {
        Self { is_exact: true, ..Self::default() }
    }
}

impl NameIndex {
    fn new(name: Arc<str>) -> Self {
        Self { name, values: BTreeMap::new(), several: 0 }
    }

    fn add(&mut self, value: &Value, conn: ConnId) {
        if let Some(list) = self.values.get_mut(value) {
            list.insert(conn);
        } else {
            self.values.entry(value.clone()).or_default().insert(conn);
        }
    }

    fn remove(&mut self, value: &Value, conn: ConnId) {
        if let Some(list) = self.values.get_mut(value) {
            list.swap_remove(&conn);
            if list.is_empty() {
                self.values.remove(value);
            }
        }
    }

    /// Returns the lists of the numbers between two bounds.
    fn numbers(&self, low: Option<Number>, high: Option<Number>) -> impl Iterator<Item = &FxSet<ConnId>> {
        // Numbers stand behind flags and before texts.
        let from = low.map_or(Value::Flag(true), Value::Number);
        let values = self.values.range(from..).skip_while(|(value, _)| matches!(value, Value::Flag(_)));
        let is_within = move |value: &Value| match value {
            Value::Number(number) => high.is_none_or(|high| *number <= high),
            _ => false,
        };
        values.take_while(move |(value, _)| is_within(value)).map(|(_, list)| list)
    }
}
