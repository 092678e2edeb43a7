//! What peers send, as pure functions and values that know no socket: bytes in, requests and messages out.

pub mod decoder;
pub mod mask;
pub mod utf8;
