//! Sockets and threads: what carries a connection, the thread of a shard, and the thread that accepts connections. What is
//! done with the bytes is decided by [`shard`](crate::shard) and [`newcomers`](crate::newcomers).

pub mod acceptor;
pub mod driver;
pub mod link;
pub mod priority;
