//! What a client and a server exchange, as bytes (docs/protocol.md): codecs, framings, envelopes, and the reports of
//! clients. Pure.

pub mod codec;
pub mod compression;
pub mod document;
pub mod envelope;
pub mod form;
pub mod framing;
pub mod merge_patch;
pub mod over_rate;
pub mod report;
pub mod strict;
