//! Errors, sorted by who must act.
//!
//! A stale connection id is no error: connections end at any moment, so a call for one that is gone does nothing.

use std::io;

/// Why the engine could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller used the engine after `shutdown`.
    #[error("the engine has been shut down")]
    ShutDown,
    /// The caller used the engine in a process that was forked after the engine had started.
    #[error(
        "the engine belongs to process {owner}; start a new one in this process (a fork does not copy its threads)"
    )]
    Forked {
        /// The process that started the engine.
        owner: u32,
    },
    /// The caller passed a value that is never accepted.
    #[error("{0}")]
    Invalid(String),
    /// The caller may try again later: a bounded queue or table is full.
    #[error("the engine is overloaded: {what} is at its limit of {limit}; nothing was queued, try again later")]
    Overloaded {
        /// What is full.
        what: &'static str,
        /// Its limit.
        limit: usize,
        /// The configuration field of the limit.
        field: &'static str,
    },
    /// The caller may try again when a member has left.
    #[error("{what} is full: its limit is {limit}")]
    Full {
        /// What is full.
        what: &'static str,
        /// Its limit.
        limit: usize,
    },
    /// A thread of the engine panicked, which is a bug in fanwire. The operator restarts the server.
    #[error("the engine failed: {0}; this is a bug in fanwire, restart the server")]
    Failed(String),
    /// The operating system refused. The operator looks at limits and memory.
    #[error(transparent)]
    Io(#[from] io::Error),
}
