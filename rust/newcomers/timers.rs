//! When something is to be done about newcomers. Each kind of wait has one length, so that its timers stand in a row.

use std::collections::VecDeque;

use crate::slots::ConnId;

/// A kind of wait.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row {
    /// For a request head.
    Head,
    /// The same, of one that is refused in any case.
    Refused,
    /// For the peer to take a refusal.
    Linger,
    /// For the host's answer, before the peer is watched.
    Answer,
}

/// Timers, and some that stand no more.
#[derive(Debug, Default)]
pub(super) struct Timers {
    rows: [VecDeque<(u64, ConnId)>; 4],
}

impl Timers {
    /// Adds a timer that is due after all others of its row. `is_live` says of a timer whether it still stands.
    pub(super) fn add(&mut self, row: Row, due_us: u64, id: ConnId, mut is_live: impl FnMut(ConnId, u64) -> bool) {
        let row = &mut self.rows[row as usize];
        if row.len() == row.capacity() {
            // Before it grows, what stands no more is forgotten.
            row.retain(|&(due_us, id)| is_live(id, due_us));
            row.reserve(row.len().max(MIN));
        }
        row.push_back((due_us, id));
    }

    /// Takes a timer that is due; none is: when the next will be.
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

/// Timers of a row before it is looked through.
const MIN: usize = 64;
