//! The queues between threads: commands to a shard, events and clients' messages to the host. They hold plain values
//! and know no socket, only the descriptor that wakes the host's loop.

pub mod batch;
pub mod command;
pub mod connection_reading;
pub mod events;
pub mod fair_queue;
pub mod queue;
pub mod slow_readers;
pub mod wakeup;
