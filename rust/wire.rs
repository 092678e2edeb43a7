//! The bytes that peers send: requests and messages are parsed by pure functions and values that know no socket.

pub mod decoder;
pub mod frame;
pub mod http_head;
pub mod mask;
pub mod origin;
pub mod prefix;
pub mod proxy_header;
pub mod refusal;
pub mod table;
pub mod utf8;
pub mod websocket_handshake;
