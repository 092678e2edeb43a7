//! The queues between threads: commands to a shard; events and the messages of clients to the host. What waits in them are
//! plain values. They know no socket, only the descriptor that wakes the host's loop.

pub mod batch;
pub mod command;
pub mod events;
pub mod fair_queue;
pub mod queue;
pub mod wakeup;
