//! The cluster: decodes the messages of other nodes, gives them to the engine, and keeps the connection to NATS.

pub mod ingress;
#[cfg(feature = "nats")]
pub mod nats;
pub mod node_message;
pub mod values;
