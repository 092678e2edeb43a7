//! The bytes that peers send: requests and messages are parsed by pure functions and values that know no socket.

pub mod decoder;
pub mod deflate;
pub mod deflate_offer;
pub mod event_stream;
pub mod frame;
pub mod http_head;
pub mod mask;
pub mod opening;
pub mod origin;
pub mod posted;
pub mod prefix;
pub mod proxy_header;
pub mod refusal;
pub mod table;
pub mod utf8;
pub mod websocket_handshake;
