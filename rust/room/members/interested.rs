//! The interest of members: attributes, filters, and whom a message is for.

use crate::interest::{MemberWish, Values};
use crate::message::{Message, RoomId};
use crate::room::members::{Members, RoomMembers};
use crate::slots::ConnId;

impl Members {
    /// Changes the attributes of a member that the change names. Those of a connection that is no member yet are kept
    /// for its join, of [`AHEAD`] rooms at most. The caller knows that the connection exists.
    pub fn change_attributes(&mut self, room: RoomId, conn: ConnId, change: Values) {
        if let Some(members) = self.rooms.get_mut(&room)
            && members.contains(conn)
        {
            members.interest.get_or_insert_default().change(conn, change);
            return members.settle();
        }
        let ahead = self.ahead.entry(conn).or_default();
        match ahead.iter_mut().find(|(id, _)| *id == room) {
            Some((_, values)) => {
                for (name, new) in change {
                    if values.has_room(&name) {
                        values.set(&name, new);
                    }
                }
            }
            None => {
                if ahead.len() >= AHEAD {
                    ahead.remove(0);
                }
                ahead.push((room, change));
            }
        }
    }

    /// Notes what a member wants to get.
    pub fn wish(&mut self, room: RoomId, conn: ConnId, wish: &MemberWish) {
        let Some(members) = self.rooms.get_mut(&room).filter(|members| members.contains(conn)) else { return };
        match wish {
            MemberWish::Keep => return,
            MemberWish::Filter(None) if members.interest.is_none() => return,
            MemberWish::Filter(filter) => {
                let rated = members.rated.iter().flat_map(|rated| rated.iter());
                let all = members.plain.iter().copied().chain(rated);
                members.interest.get_or_insert_default().filter(conn, filter.as_ref(), all);
            }
            MemberWish::Everything => members.interest.get_or_insert_default().want_everything(conn),
        }
        members.settle();
    }

    /// Whether a member gets a message, by its attributes and its filter.
    pub fn wants(&self, conn: ConnId, message: &Message) -> bool {
        if !message.is_data() {
            return true;
        }
        let audience = message.audience().map(|audience| &**audience);
        match self.rooms.get(&message.room()).and_then(|members| members.interest.as_ref()) {
            Some(interest) => interest.wants(conn, audience),
            None => audience.is_none_or(|audience| audience.condition.is_none()),
        }
    }

    /// Gives a new member the attributes that came ahead of its join.
    pub(super) fn take_ahead(&mut self, room: RoomId, conn: ConnId) {
        let Some(ahead) = self.ahead.get_mut(&conn) else { return };
        if let Some(place) = ahead.iter().position(|(id, _)| *id == room) {
            let (_, values) = ahead.swap_remove(place);
            if ahead.is_empty() {
                self.ahead.remove(&conn);
            }
            self.change_attributes(room, conn, values);
        }
    }
}

impl RoomMembers {
    /// Returns the members that get a message, each once, and how many do not; none: all members do.
    pub fn select(&self, message: &Message) -> Option<(Vec<ConnId>, usize)> {
        let audience = message.audience();
        if (self.interest.is_none() && audience.is_none()) || !message.is_data() {
            return None;
        }
        let audience = audience.map(|audience| &**audience);
        let found = match &self.interest {
            Some(interest) => interest.select(audience)?,
            None if audience.is_some_and(|audience| audience.condition.is_some()) => Vec::new(),
            None => return None,
        };
        let others = self.count().saturating_sub(found.len());
        Some((found, others))
    }

    /// Frees the interest when it says nothing any more.
    pub(super) fn settle(&mut self) {
        self.interest.take_if(|interest| interest.is_empty());
    }
}

/// The most rooms for which one connection has attributes ahead of its join. With one more, the oldest are forgotten.
const AHEAD: usize = 64;
