//! The broadcast engine of fanwire: a message is framed once, handed to every member of a room by
//! reference, and written with one vectored write per socket by threads that never hold the
//! interpreter.
//!
//! The files below stand in the order of their dependencies; each imports only those above it. First the
//! pure parts, which know no socket, no thread and no clock, from [`frame`] to the state machine that
//! joins them, [`shard`]. Then the edge: [`queue`] and [`events`] between threads, [`link`] (what carries a connection),
//! the thread itself in [`driver`], the table of [`rooms`], and [`engine`], which owns it all. Then what comes from
//! other nodes: [`parcel`], [`values`], [`inlet`], and the connection to NATS in `line`. That and the border to Python are Cargo
//! features; without them, nothing here can name async-nats or PyO3.

pub mod error;
pub mod budget;
pub mod frame;
pub mod limit;
pub mod token_bucket;
pub mod origin;
pub mod wire;
pub mod proxies;
pub mod entry;
pub mod admission;
pub mod pace;
pub mod batch;
pub mod codec;
pub mod framing;
pub mod form;
pub mod document;
pub mod envelope;
pub mod strict;
pub mod report;
pub mod surplus;
pub mod inbound;
pub mod ages;
pub mod message;
pub mod lane;
pub mod slots;
pub mod window;
pub mod probes;
pub mod replay;
pub mod outbox;
pub mod forgotten;
pub mod room;
pub mod members;
pub mod skips;
pub mod stats;
pub mod account;
pub mod command;
pub mod runs;
pub mod tcp_info;
pub mod shard;
pub mod queue;
pub mod bell;
pub mod arrivals;
pub mod events;
pub mod newcomers;
pub mod link;
pub mod priority;
pub mod driver;
pub mod acceptor;
pub mod rooms;
pub mod process;
pub mod mint;
pub mod engine;
pub mod parcel;
pub mod values;
pub mod inlet;
#[cfg(feature = "nats")]
pub mod line;
#[cfg(feature = "python")]
mod python;
