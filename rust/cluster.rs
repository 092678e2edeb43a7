//! What comes from other nodes and goes to them: their messages, unpacked and given to the engine, and the connection to NATS.

pub mod ingress;
#[cfg(feature = "nats")]
pub mod nats;
pub mod node_message;
pub mod values;
