//! Whether this is still the process in which something was made: a fork copies memory, but no threads.
//!
//! Asking the kernel is a system call, and was a tenth of a microsecond for each call of the engine.

use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A process, as something that was made in it remembers it.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    id: u32,
    /// How often there had been a fork; none where forks are not counted.
    forks: Option<u32>,
}

impl Process {
    /// The one that runs this.
    pub fn here() -> Self {
        Self { id: process::id(), forks: is_counting().then(|| FORKS.load(Relaxed)) }
    }

    /// Its number.
    pub fn id(self) -> u32 {
        self.id
    }

    /// Whether it is the one that runs this.
    pub fn is_here(self) -> bool {
        match self.forks {
            Some(forks) => forks == FORKS.load(Relaxed),
            None => self.id == process::id(),
        }
    }
}

/// Whether forks are counted, from the first call on.
fn is_counting() -> bool {
    // SAFETY: the handler may run between fork and whatever the child does next, where only what is safe in a signal handler
    // may be called (pthread_atfork(3)): it adds to an atomic, and does nothing else.
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
        // No fork in a test, whose other threads it would not copy: the handler is what a fork calls.
        let elsewhere = Process { forks: here.forks.map(|forks| forks.wrapping_sub(1)), ..here };
        assert!(!elsewhere.is_here());
        assert!(Process { forks: None, ..here }.is_here());
        assert!(!Process { forks: None, id: here.id ^ 1 }.is_here());
    }
}
