//! What a client and a server say to each other, as bytes (docs/protocol.md): what a payload looks like, how a message lies
//! on the wire, envelopes, and the reports of clients. Pure.

pub mod codec;
pub mod document;
pub mod envelope;
pub mod form;
pub mod framing;
pub mod over_rate;
pub mod report;
pub mod strict;
