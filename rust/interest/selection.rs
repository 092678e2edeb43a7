//! The interest of a room's members within one shard, and who gets a message.

use std::sync::Arc;

use crate::interest::attributes::Attributes;
use crate::interest::audience::Audience;
use crate::interest::expression::Expression;
use crate::interest::filters::Filters;
use crate::interest::postings::FxSet;
use crate::interest::value::Values;
use crate::slots::ConnId;

/// What a member that joins wants to get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MemberWish {
    /// What it has wanted so far; a new member: every message that is for it.
    #[default]
    Keep,
    /// The messages that this filter lets through; none: without a filter.
    Filter(Option<Arc<Expression>>),
    /// Every message, whomever it is for. Only for the server's own program.
    Everything,
}

/// The interest of members. Exists in rooms in which a member has attributes, a filter, or wants everything.
#[derive(Debug, Default)]
pub struct RoomInterest {
    attributes: Attributes,
    filters: Filters,
    /// The members without a filter; only while another member has one.
    unfiltered: FxSet<ConnId>,
    /// The members that get every message.
    everything: FxSet<ConnId>,
}

impl RoomInterest {
    /// Whether it says nothing about any member.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.filters.is_empty() && self.everything.is_empty()
    }

    /// Notes a new member.
    pub fn joined(&mut self, conn: ConnId) {
        if !self.filters.is_empty() {
            self.unfiltered.insert(conn);
        }
    }

    /// Forgets a member.
    pub fn left(&mut self, conn: ConnId) {
        self.attributes.remove(conn);
        self.unfiltered.swap_remove(&conn);
        self.everything.swap_remove(&conn);
        self.filters.remove(conn);
        if self.filters.is_empty() {
            self.unfiltered = FxSet::default();
        }
    }

    /// Changes the attributes of a member that the change names.
    pub fn change(&mut self, conn: ConnId, change: Values) {
        self.attributes.change(conn, change);
    }

    /// Has a member get every message.
    pub fn want_everything(&mut self, conn: ConnId) {
        self.everything.insert(conn);
    }

    /// Gives a member a filter, or takes it away. `members` are all members of the room.
    pub fn filter(&mut self, conn: ConnId, filter: Option<&Arc<Expression>>, members: impl Iterator<Item = ConnId>) {
        match filter {
            Some(filter) => {
                if self.filters.is_empty() {
                    self.unfiltered.extend(members);
                }
                self.unfiltered.swap_remove(&conn);
                self.filters.set(conn, filter);
            }
            None if self.filters.has(conn) => {
                self.filters.remove(conn);
                self.unfiltered.insert(conn);
                if self.filters.is_empty() {
                    self.unfiltered = FxSet::default();
                }
            }
            None => {}
        }
    }

    /// Whether a member gets a message with this audience.
    pub fn wants(&self, conn: ConnId, audience: Option<&Audience>) -> bool {
        if self.everything.contains(&conn) {
            return true;
        }
        let condition = audience.and_then(|audience| audience.condition.as_ref());
        condition.is_none_or(|condition| self.attributes.of(conn).is_some_and(|values| condition.holds(values)))
            && self.filters.passes(conn, audience.map_or(&NO_TAGS, |audience| &audience.tags))
    }

    /// Returns the members that get a message with this audience, each once; none: all members do.
    pub fn select(&self, audience: Option<&Audience>) -> Option<Vec<ConnId>> {
        let condition = audience.and_then(|audience| audience.condition.as_ref());
        if condition.is_none() && self.filters.is_empty() {
            return None;
        }
        let tags = audience.map_or(&NO_TAGS, |audience| &audience.tags);
        let mut found = match condition {
            Some(condition) => {
                let mut found = self.attributes.find(condition);
                if !self.filters.is_empty() {
                    let groups = self.filters.matching(tags);
                    found.retain(|&conn| self.filters.is_among(conn, &groups));
                }
                found
            }
            None => {
                let mut found: Vec<_> = self.unfiltered.iter().copied().collect();
                for group in self.filters.matching(tags) {
                    found.extend(self.filters.members(group));
                }
                found
            }
        };
        if !self.everything.is_empty() {
            found.retain(|conn| !self.everything.contains(conn));
            found.extend(&self.everything);
        }
        Some(found)
    }
}

static NO_TAGS: Values = Values::new();
