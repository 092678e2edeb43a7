//! Sockets and threads: the links of connections, the thread of a shard, and the thread that accepts connections.
//! [`shard`](crate::shard) and [`newcomers`](crate::newcomers) decide what happens with the bytes.

mod tcp_info;
pub mod acceptor;
pub mod driver;
pub mod handshaker;
pub mod link;
pub mod lobby;
pub mod mailbox;
pub mod poll_link;
pub mod priority;
pub mod recorder;
pub mod recording_files;
pub mod socket_link;
pub mod spin;
pub mod tls_link;
pub mod tunnel;
pub mod tunnels;
