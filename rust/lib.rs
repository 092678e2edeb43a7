//! The broadcast engine of fanwire: a message is framed once, handed to every member of a room by
//! reference, and written with one vectored write per socket by threads that never hold the
//! interpreter.
//!
//! The modules below stand in the order of their dependencies: each imports only from those above it. A folder is one subject.
//!
//! First what all others share: errors, the budget of bytes, limits by name, connection ids, counters. Then the pure parts,
//! which know no socket, no thread and no clock: [`wire`] (HTTP heads and WebSocket frames, as bytes), [`protocol`] (codecs,
//! documents, envelopes), [`message`] (one published message in all forms), [`outbox`] (one connection's queue), [`room`] (numbers,
//! history, newest values, members) and [`admission`] (who may come in, and how many). [`queues`] are those between
//! threads. Two state machines decide what happens on connections: [`newcomers`] before the 101, [`shard`] after it; time comes
//! in as a number. [`io`] has the sockets and the threads that run them. [`engine`] owns it all, from start to shutdown.
//! [`cluster`] is what comes from other nodes, and `python` the border to the interpreter.
//!
//! The connection to NATS and the border are Cargo features; without them, nothing here can name async-nats or PyO3.

pub mod error;
pub mod budget;
pub mod limit;
pub mod process;
pub mod slots;
pub mod stats;

pub mod wire;
pub mod protocol;
pub mod message;
pub mod outbox;
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
