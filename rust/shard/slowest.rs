//! Which connections of a shard are slow. Each connection is looked at, but only its counts; messages are looked at for
//! the few that are listed. And what one connection is doing. Nothing changes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::queues::connection_reading::ConnectionReading;
use crate::queues::slow_readers::{SlowReader, SlowReaders, WaitsFor};
use crate::shard::conn::Conn;
use crate::shard::{Link, Shard};
use crate::slots::ConnId;

impl<L: Link> Shard<L> {
    /// Returns the connections for which something waits that cannot leave: how many, and the `most` with most bytes.
    pub(super) fn slowest(&mut self, most: usize, now_us: u64) -> SlowReaders {
        let mut count = 0;
        let mut largest = BinaryHeap::with_capacity(most + 1);
        for (conn, slot) in self.slots.iter_mut(self.index) {
            let bytes = slot.outbox.bytes();
            if bytes == 0 || slot.waits_for().is_none() {
                continue;
            }
            count += 1;
            largest.push(Reverse((bytes, conn)));
            if largest.len() > most {
                largest.pop();
            }
        }
        let found = largest.into_sorted_vec().into_iter().filter_map(|Reverse((bytes, conn))| {
            let slot = self.slots.get_mut(conn)?;
            Some(SlowReader {
                bytes,
                conn,
                messages: slot.outbox.messages(),
                age_us: slot.outbox.oldest_us().map_or(0, |published_us| now_us.saturating_sub(published_us)),
                waits_for: slot.waits_for()?,
                sent: slot.account.messages,
                dropped: slot.account.drops().map(|(_, count)| count).sum(),
            })
        });
        SlowReaders { count, most: found.collect() }
    }

    /// Returns what a connection is doing; none if there is no such connection.
    pub(super) fn connection_reading(&mut self, conn: ConnId, now_us: u64) -> Option<ConnectionReading> {
        let slot = self.slots.get_mut(conn).filter(|slot| !slot.is_retired)?;
        let waiting_bytes = slot.outbox.bytes();
        Some(ConnectionReading {
            waiting_bytes,
            waiting_messages: slot.outbox.messages(),
            age_us: slot.outbox.oldest_us().map_or(0, |published_us| now_us.saturating_sub(published_us)),
            waits_for: slot.waits_for().filter(|_| waiting_bytes > 0),
            account: slot.account.clone(),
        })
    }
}

impl<L> Conn<L> {
    /// What its messages wait for; none if they are about to leave, or if it is closed for being slow.
    fn waits_for(&self) -> Option<WaitsFor> {
        match self {
            Self { is_retired: true, .. } | Self { is_slow: true, .. } => None,
            Self { link: None, .. } => Some(WaitsFor::Client),
            Self { is_blocked: true, .. } => Some(WaitsFor::Socket),
            Self { is_held: true, .. } => Some(WaitsFor::Window),
            _ => None,
        }
    }
}
