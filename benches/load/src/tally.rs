//! What has arrived: who has which message, in which order, how late. Pure: the time comes in as an argument. Not a
//! report. The rule: every delivery a server owes is in the end either counted once or reported as missing.

use std::collections::{BTreeSet, HashMap};

use crate::histogram::Histogram;
use crate::stamp;

/// What went wrong with order and number, over all connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Order {
    /// Numbers a connection has skipped although a later one arrived.
    pub lost: u64,
    /// Numbers that arrived after a later one.
    pub out_of_order: u64,
    /// Numbers that arrived again.
    pub duplicates: u64,
    /// Messages nobody published to this connection: another room's, or not ours at all.
    pub foreign: u64,
    /// Messages of an earlier phase that had been given up.
    pub late: u64,
}

/// The books of one phase. Message numbers run on over the phases.
#[derive(Debug)]
pub struct Tally {
    stride: u64,
    base: u64,
    /// Recipients that still miss a message, by number since `base`.
    left: Vec<u32>,
    done: u64,
    expected: u64,
    deliveries: u64,
    last_at: u64,
    latency: Histogram,
    last: Histogram,
    order: Order,
    /// The skipped numbers of a connection; only connections that skipped have an entry.
    missing: HashMap<usize, BTreeSet<u64>>,
}

impl Tally {
    /// Books for `rooms` rooms whose messages are numbered in turn, so that one room's numbers are `rooms` apart.
    #[must_use]
    pub fn new(rooms: u64) -> Self {
        Self {
            stride: rooms.max(1),
            base: 0,
            left: Vec::new(),
            done: 0,
            expected: 0,
            deliveries: 0,
            last_at: 0,
            latency: Histogram::default(),
            last: Histogram::default(),
            order: Order::default(),
            missing: HashMap::new(),
        }
    }

    /// Closes the books of the last phase and opens new ones.
    pub fn begin(&mut self) {
        let next = self.next();
        *self = Self { base: next, ..Self::new(self.stride) };
    }

    /// The number the next message will have.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.base + self.left.len() as u64
    }

    /// Enters one message owed to `recipients` connections and returns its number.
    pub fn publish(&mut self, recipients: u32) -> u64 {
        let number = self.next();
        self.left.push(recipients);
        self.expected += u64::from(recipients);
        self.done += u64::from(recipients == 0);
        number
    }

    /// Enters one arrival on connection `conn`, whose next number in order is `next`.
    #[inline]
    pub fn deliver(&mut self, conn: usize, next: &mut u64, payload: &[u8], now: u64) {
        self.enter(conn, next, stamp::read(payload), now);
    }

    /// Enters one arrival with this stamp, the time of sending and the number. An arrival without a stamp belongs to no sender.
    #[inline]
    pub fn enter(&mut self, conn: usize, next: &mut u64, stamp: Option<(u64, u64)>, now: u64) {
        let Some((sent, number)) = stamp else {
            self.order.foreign += 1;
            return;
        };
        if number == *next {
            *next = number + self.stride;
        } else if !self.reorder(conn, next, number) {
            return;
        }
        let index = usize::try_from(number.wrapping_sub(self.base)).unwrap_or(usize::MAX);
        let Some(left) = self.left.get_mut(index) else {
            if number < self.base {
                self.order.late += 1
            } else {
                self.order.foreign += 1
            }
            return;
        };
        let latency = now.saturating_sub(sent);
        self.deliveries += 1;
        self.last_at = now;
        self.latency.record(latency);
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.done += 1;
            self.last.record(latency);
        }
    }

    /// Messages of this phase that are not yet with all their recipients.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.left.len() as u64 - self.done
    }

    /// Messages of this phase.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.left.len() as u64
    }

    /// Deliveries this phase owes.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// First deliveries of this phase.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.deliveries
    }

    /// When the newest delivery came; 0 before the first.
    #[must_use]
    pub fn last_at(&self) -> u64 {
        self.last_at
    }

    /// Publish-to-receipt of all deliveries.
    #[must_use]
    pub fn latency(&self) -> &Histogram {
        &self.latency
    }

    /// Publish-to-receipt of the last recipient of each message.
    #[must_use]
    pub fn last(&self) -> &Histogram {
        &self.last
    }

    /// What went wrong with the order.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// An arrival that is not the next in order: true if it is a first delivery all the same.
    #[cold]
    fn reorder(&mut self, conn: usize, next: &mut u64, number: u64) -> bool {
        // The bound also keeps `missing` from growing beyond what was published.
        if number >= self.next() || !number.abs_diff(*next).is_multiple_of(self.stride) {
            self.order.foreign += 1;
            return false;
        }
        let missing = self.missing.entry(conn).or_default();
        if number > *next {
            let mut skipped = *next;
            while skipped < number {
                missing.insert(skipped);
                self.order.lost += 1;
                skipped += self.stride;
            }
            *next = number + self.stride;
            return true;
        }
        if missing.remove(&number) {
            self.order.lost -= 1;
            self.order.out_of_order += 1;
            return true;
        }
        self.order.duplicates += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(tally: &mut Tally, next: &mut u64, number: u64) {
        let mut payload = [0; stamp::SIZE];
        stamp::write(&mut payload, 100, number);
        tally.deliver(0, next, &payload, 150);
    }

    #[test]
    fn a_message_is_done_with_its_last_recipient() {
        let mut tally = Tally::new(1);
        tally.publish(2);
        let (mut a, mut b) = (0, 0);
        arrive(&mut tally, &mut a, 0);
        assert_eq!((tally.in_flight(), tally.last().total()), (1, 0));
        arrive(&mut tally, &mut b, 0);
        assert_eq!((tally.in_flight(), tally.last().total(), tally.deliveries()), (0, 1, 2));
        assert_eq!(tally.order(), Order::default());
    }

    #[test]
    fn a_gap_is_lost_until_it_is_filled_and_then_out_of_order() {
        let mut tally = Tally::new(1);
        (0..5).for_each(|_| _ = tally.publish(1));
        let mut next = 0;
        arrive(&mut tally, &mut next, 3);
        assert_eq!(tally.order().lost, 3);
        arrive(&mut tally, &mut next, 1);
        arrive(&mut tally, &mut next, 1);
        let order = tally.order();
        assert_eq!((order.lost, order.out_of_order, order.duplicates), (2, 1, 1));
        assert_eq!(tally.deliveries(), 2);
    }

    #[test]
    fn another_rooms_message_and_an_unpublished_number_are_foreign() {
        let mut tally = Tally::new(3);
        (0..6).for_each(|_| _ = tally.publish(1));
        let mut next = 1;
        arrive(&mut tally, &mut next, 1);
        arrive(&mut tally, &mut next, 4);
        arrive(&mut tally, &mut next, 5);
        arrive(&mut tally, &mut next, 10);
        tally.deliver(0, &mut next, b"short", 0);
        assert_eq!((tally.order().foreign, tally.deliveries(), next), (3, 2, 7));
    }

    #[test]
    fn what_a_phase_gave_up_is_late_in_the_next() {
        let mut tally = Tally::new(1);
        tally.publish(1);
        tally.begin();
        assert_eq!(tally.publish(1), 1);
        let mut next = 0;
        arrive(&mut tally, &mut next, 0);
        arrive(&mut tally, &mut next, 1);
        assert_eq!((tally.order().late, tally.deliveries(), tally.in_flight()), (1, 1, 0));
    }
}
