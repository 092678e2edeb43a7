//! The broadcast engine of fanwire. A message is framed once, handed to every member of a room by reference, and
//! written with one vectored write per socket, by threads that never hold the interpreter.
//!
//! The modules below are in the order of their dependencies: each imports only from those above it. A folder is one
//! subject.
//!
//! First come what all others share: errors, the budget of bytes, limits, connection ids, counters. Then come the pure
//! parts, which know no socket, no thread and no clock: [`wire`] (HTTP heads and WebSocket frames), [`tls`]
//! (sessions, and settings from certificates), [`protocol`] (codecs, documents, envelopes), [`message`] (one published
//! message in all forms), [`outbox`] (one connection's queue), [`recording`] (what is
//! published, in files), [`room`] (numbers, history, newest values, members) and
//! [`admission`] (limits on connections). [`queues`] connect the threads. Two state machines decide what happens on connections: [`newcomers`] before the 101, [`shard`]
//! after it; the time is an argument. [`io`] has the sockets and the threads that run them. [`engine`] owns everything,
//! from start to shutdown. [`cluster`] handles messages of other nodes, and `python` is the border to the interpreter.
//!
//! The connection to NATS and the border are Cargo features; without them, nothing here depends on async-nats or PyO3.

pub mod error;
pub mod budget;
pub mod limit;
pub mod process;
pub mod slots;
pub mod stats;

pub mod wire;
pub mod tls;
pub mod protocol;
pub mod interest;
pub mod message;
pub mod outbox;
pub mod recording;
pub mod room;
pub mod admission;

pub mod queues;
pub mod newcomers;
pub mod shard;
pub mod io;
pub mod engine;
pub mod cluster;
#[cfg(feature = "python")]
mod python;
