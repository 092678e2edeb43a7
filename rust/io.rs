//! Sockets and threads: the links of connections, the thread of a shard, and the thread that accepts connections.
//! [`shard`](crate::shard) and [`newcomers`](crate::newcomers) decide what happens with the bytes.

mod tcp_info;
pub mod acceptor;
pub mod driver;
pub mod link;
pub mod priority;
