//! Recognizes a forked process: a fork copies memory, but no threads.
//!
//! Forks are counted, because asking the kernel for the process id is a system call and took a tenth of a microsecond
//! in each call of the engine.

use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A process, remembered by a value that was created in it.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    id: u32,
    /// The number of forks before it; none if forks are not counted.
    forks: Option<u32>,
}

impl Process {
    /// Returns the present process.
    pub fn here() -> Self {
        Self { id: process::id(), forks: is_counting().then(|| FORKS.load(Relaxed)) }
    }

    /// Returns its id.
    pub fn id(self) -> u32 {
        self.id
    }

    /// Whether it is the present process.
    pub fn is_here(self) -> bool {
        match self.forks {
            Some(forks) => forks == FORKS.load(Relaxed),
            None => self.id == process::id(),
        }
    }
}

/// Whether forks are counted, from the first call on.
fn is_counting() -> bool {
    // SAFETY: the handler may run between a fork and what the child does next, where only functions that are safe in a
    // signal handler may be called (pthread_atfork(3)). It adds to an atomic and does nothing else.
    *IS_COUNTING.get_or_init(|| unsafe { libc::pthread_atfork(None, None, Some(forked)) } == 0)
}

/// Called by the C library in the child of each fork.
extern "C" fn forked() {
    FORKS.fetch_add(1, Relaxed);
}

static FORKS: AtomicU32 = AtomicU32::new(0);

static IS_COUNTING: OnceLock<bool> = OnceLock::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_forks_are_counted_where_it_was_asked() {
        let here = Process::here();
        assert!(here.is_here());
        assert_eq!(here.id(), process::id());
        assert!(here.forks.is_some());
        // The test does not fork, because a fork copies no other threads; it counts as the handler does.
        let elsewhere = Process { forks: here.forks.map(|forks| forks.wrapping_sub(1)), ..here };
        assert!(!elsewhere.is_here());
        assert!(Process { forks: None, ..here }.is_here());
        assert!(!Process { forks: None, id: here.id ^ 1 }.is_here());
    }
}
