//! The busiest rooms: those with most deliveries since they were last looked at. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A busy room. The fields stand in the order by which rooms are compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BusyRoom {
    /// Its messages since it was last looked at, once for each member.
    pub deliveries: u64,
    /// Its members.
    pub members: usize,
    /// Its messages since it was last looked at.
    pub messages: u64,
    /// Its name.
    pub name: Box<str>,
}

/// Keeps the busiest of all rooms that it is shown.
#[derive(Debug)]
pub struct Busiest {
    most: usize,
    rooms: BinaryHeap<Reverse<BusyRoom>>,
}

impl Busiest {
    /// Creates an empty list for `most` rooms.
    pub fn new(most: usize) -> Self {
        Self { most, rooms: BinaryHeap::new() }
    }

    /// Takes a room, if it is busier than another one of the list. Its name is copied only then.
    pub fn take(&mut self, name: &str, members: usize, messages: u64) {
        let deliveries = messages.saturating_mul(members as u64);
        if self.rooms.len() >= self.most {
            let Some(Reverse(least)) = self.rooms.peek() else { return };
            if (deliveries, members, messages, name) <= (least.deliveries, least.members, least.messages, &*least.name)
            {
                return;
            }
            self.rooms.pop();
        }
        self.rooms.push(Reverse(BusyRoom { deliveries, members, messages, name: name.into() }));
    }

    /// Returns the list, the busiest room first.
    pub fn into_list(self) -> Vec<BusyRoom> {
        self.rooms.into_sorted_vec().into_iter().map(|Reverse(room)| room).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_with_most_deliveries_stay_and_then_those_with_most_members() {
        let mut busiest = Busiest::new(3);
        for (name, members, messages) in [("a", 5, 0), ("b", 2, 50), ("c", 9, 0), ("d", 100, 2), ("e", 1, 0)] {
            busiest.take(name, members, messages);
        }
        let names: Vec<_> = busiest.into_list().into_iter().map(|room| (room.name, room.deliveries)).collect();
        assert_eq!(names, [("d".into(), 200), ("b".into(), 100), ("c".into(), 0)]);
        let mut none = Busiest::new(0);
        none.take("a", 1, 1);
        assert_eq!(none.into_list(), []);
    }
}
