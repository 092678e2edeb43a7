//! What the load client and the naive server share. Not part of the Fanwire engine: the benches must not be able to
//! inherit a mistake of the engine they measure, so nothing here is imported from it.

pub mod base64;
pub mod batch;
pub mod book;
pub mod client;
pub mod clock;
pub mod envelope;
pub mod event_stream;
pub mod fallback;
pub mod frame;
pub mod handshake;
pub mod histogram;
pub mod inflate;
pub mod intruder;
pub mod link;
pub mod machine;
pub mod memo;
pub mod mix;
pub mod protocol;
pub mod quote;
pub mod reply;
pub mod session;
pub mod stamp;
pub mod swarm;
pub mod tally;
pub mod tokens;
pub mod transport;
pub mod wire;

pub mod bench;
pub mod pace;
pub mod plan;
pub mod raid;
pub mod scenario;
pub mod stat;
