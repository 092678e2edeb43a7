//! The filters of a room's members within one shard. Members with equal filters are one group, and a message is
//! evaluated once for each group at most.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::interest::expression::Expression;
use crate::interest::postings::FxSet;
use crate::interest::value::{Value, Values};
use crate::slots::ConnId;

/// The filters of members.
#[derive(Debug, Default)]
pub struct Filters {
    groups: Vec<FilterGroup>,
    free: Vec<usize>,
    by_filter: FxHashMap<Arc<Expression>, usize>,
    by_member: FxHashMap<ConnId, usize>,
    /// The groups whose filters ask for a value, by name and value: only these can match a message with that tag.
    needing: FxHashMap<Box<str>, FxHashMap<Value, FxSet<usize>>>,
    /// The groups that may match whatever the tags are.
    others: FxSet<usize>,
}

#[derive(Debug)]
struct FilterGroup {
    filter: Arc<Expression>,
    members: FxSet<ConnId>,
}

impl Filters {
    /// Whether no member has a filter.
    pub fn is_empty(&self) -> bool {
        self.by_member.is_empty()
    }

    /// Returns how many members have a filter.
    pub fn len(&self) -> usize {
        self.by_member.len()
    }

    /// Whether a member has a filter.
    pub fn has(&self, conn: ConnId) -> bool {
        self.by_member.contains_key(&conn)
    }

    /// Whether a member has no filter, or that of one of these groups, which are sorted.
    pub fn is_among(&self, conn: ConnId, groups: &[usize]) -> bool {
        self.by_member.get(&conn).is_none_or(|group| groups.binary_search(group).is_ok())
    }

    /// Whether a member gets a message with these tags.
    pub fn passes(&self, conn: ConnId, tags: &Values) -> bool {
        self.by_member.get(&conn).and_then(|&group| self.groups.get(group)).is_none_or(|group| group.filter.holds(tags))
    }

    /// Gives a member a filter, in place of the one that it has.
    pub fn set(&mut self, conn: ConnId, filter: &Arc<Expression>) {
        if let Some(&group) = self.by_filter.get(filter)
            && self.by_member.get(&conn) == Some(&group)
        {
            return;
        }
        self.remove(conn);
        let group = match self.by_filter.get(filter) {
            Some(&group) => group,
            None => self.add(filter),
        };
        self.groups[group].members.insert(conn);
        self.by_member.insert(conn, group);
    }

    /// Takes the filter of a member away.
    pub fn remove(&mut self, conn: ConnId) {
        let Some(place) = self.by_member.remove(&conn) else { return };
        let Some(group) = self.groups.get_mut(place) else { return };
        group.members.swap_remove(&conn);
        if group.members.is_empty() {
            let filter = Arc::clone(&group.filter);
            self.by_filter.remove(&filter);
            self.forget(&filter, place);
            self.free.push(place);
        }
    }

    /// Returns the groups whose filter holds for these tags, sorted; see [`Self::members`].
    pub fn matching(&self, tags: &Values) -> Vec<usize> {
        let needed = tags.iter().filter_map(|(name, values)| Some((self.needing.get(name)?, values)));
        let needed = needed.flat_map(|(by_value, values)| values.iter().filter_map(|value| by_value.get(value)));
        let mut found: Vec<usize> = needed.flatten().chain(&self.others).copied().collect();
        found.sort_unstable();
        found.dedup();
        found.retain(|&group| self.groups[group].filter.holds(tags));
        found
    }

    /// Returns the members of a group.
    pub fn members(&self, group: usize) -> impl Iterator<Item = ConnId> {
        self.groups.get(group).into_iter().flat_map(|group| group.members.iter().copied())
    }

    fn add(&mut self, filter: &Arc<Expression>) -> usize {
        let group = FilterGroup { filter: Arc::clone(filter), members: FxSet::default() };
        let place = match self.free.pop() {
            Some(place) => {
                self.groups[place] = group;
                place
            }
            None => {
                self.groups.push(group);
                self.groups.len() - 1
            }
        };
        self.by_filter.insert(Arc::clone(filter), place);
        let mut needs = Vec::new();
        if filter.needs(&mut needs) {
            for (name, value) in needs {
                let by_value = match self.needing.get_mut(name) {
                    Some(by_value) => by_value,
                    None => self.needing.entry(name.into()).or_default(),
                };
                by_value.entry(value.clone()).or_default().insert(place);
            }
        } else {
            self.others.insert(place);
        }
        place
    }

    fn forget(&mut self, filter: &Expression, place: usize) {
        let mut needs = Vec::new();
        if !filter.needs(&mut needs) {
            self.others.swap_remove(&place);
            return;
        }
        for (name, value) in needs {
            let Some(by_value) = self.needing.get_mut(name) else { continue };
            if let Some(groups) = by_value.get_mut(value) {
                groups.swap_remove(&place);
                if groups.is_empty() {
                    by_value.remove(value);
                }
            }
            if by_value.is_empty() {
                self.needing.remove(name);
            }
        }
    }
}
