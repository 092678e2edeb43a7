//! What one connection is doing, as an operator sees it. Plain values.

use crate::outbox::account::Account;
use crate::queues::slow_readers::WaitsFor;

/// A look at one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionReading {
    /// Bytes that wait for it, overhead included.
    pub waiting_bytes: usize,
    /// Messages that wait for it.
    pub waiting_messages: usize,
    /// The age of the oldest of them in microseconds; 0 if none waits.
    pub age_us: u64,
    /// What they wait for; none if nothing waits, or it is about to leave.
    pub waits_for: Option<WaitsFor>,
    /// What it was sent so far, and what was dropped for it.
    pub account: Account,
}
