//! The timers of newcomers. All waits of one kind have the same length, so the timers of each kind are in order.

use std::collections::VecDeque;

use crate::slots::ConnId;

/// A kind of wait.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row {
    /// For the request head.
    Head,
    /// For the request head of a newcomer that was refused when it was accepted.
    Refused,
    /// For the peer to take its answer.
    Linger,
    /// For the host's answer, until the peer is watched.
    Answer,
}

/// The timers, some of which may no longer count.
#[derive(Debug, Default)]
pub(super) struct Timers {
    rows: [VecDeque<(u64, ConnId)>; 4],
}

impl Timers {
    /// Adds a timer that is due after all others of its row. `is_live` says whether a timer still counts.
    pub(super) fn add(&mut self, row: Row, due_us: u64, id: ConnId, mut is_live: impl FnMut(ConnId, u64) -> bool) {
        let row = &mut self.rows[row as usize];
        if row.len() == row.capacity() {
            // Timers that no longer count are removed before the row grows.
            row.retain(|&(due_us, id)| is_live(id, due_us));
            row.reserve(row.len().max(MIN));
        }
        row.push_back((due_us, id));
    }

    /// Takes a timer that is due. If none is, the error says when the next will be.
    pub(super) fn due(
        &mut self,
        now_us: u64,
        mut is_live: impl FnMut(ConnId, u64) -> bool,
    ) -> Result<ConnId, Option<u64>> {
        let mut next = None;
        for row in &mut self.rows {
            while let Some(&(due_us, id)) = row.front() {
                let is_live = is_live(id, due_us);
                if is_live && due_us > now_us {
                    next = next.min(Some(due_us)).or(Some(due_us));
                    break;
                }
                row.pop_front();
                if is_live {
                    return Ok(id);
                }
            }
        }
        Err(next)
    }

    /// Takes the oldest timer of a row, due or not.
    pub(super) fn oldest(&mut self, row: Row, mut is_live: impl FnMut(ConnId, u64) -> bool) -> Option<ConnId> {
        let row = &mut self.rows[row as usize];
        while let Some((due_us, id)) = row.pop_front() {
            if is_live(id, due_us) {
                return Some(id);
            }
        }
        None
    }
}

/// The timers of a row before it is searched for timers that no longer count.
const MIN: usize = 64;
