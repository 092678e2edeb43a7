//! What peers send, as pure functions and values that know no socket: bytes in, requests and messages out.

pub mod table;
pub mod decoder;
pub mod http_head;
pub mod mask;
pub mod prefix;
pub mod proxy_header;
pub mod refusal;
pub mod utf8;
pub mod websocket_handshake;
