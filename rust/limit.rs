//! The limits that a client can pass by connecting or with what it sends, by their names in the configuration.

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Limit {
    /// Bytes of a message.
    Message,
    /// Fragments of a message.
    Fragments,
    /// The time that a message takes to come.
    MessageTimeout,
    /// Bytes of all messages that have come and were not handled.
    Inbound,
    /// Messages a second.
    MessageRate,
    /// Bytes a second.
    ByteRate,
    /// Pings and pongs a second.
    PingRate,
    /// Messages over their rate.
    Refused,
    /// Bytes and lines of a request head.
    Head,
    /// The time that a request head takes to come, or the application to decide.
    HandshakeTimeout,
    /// New connections a second.
    HandshakeRate,
    /// Connections at once.
    Connections,
    /// New connections a second from one address.
    AddressHandshakeRate,
    /// Connections at once from one address.
    AddressConnections,
}

impl Limit {
    /// The field of the configuration.
    pub fn name(self) -> &'static str {
        LIMITS[self as usize].1
    }
}

/// All of them with their names, in the order of their numbers.
pub const LIMITS: [(Limit, &str); 14] = [
    (Limit::Message, "max_message"),
    (Limit::Fragments, "max_fragments"),
    (Limit::MessageTimeout, "message_timeout"),
    (Limit::Inbound, "inbound_bytes"),
    (Limit::MessageRate, "message_rate"),
    (Limit::ByteRate, "byte_rate"),
    (Limit::PingRate, "ping_rate"),
    (Limit::Refused, "max_refused"),
    (Limit::Head, "max_head"),
    (Limit::HandshakeTimeout, "handshake_timeout"),
    (Limit::HandshakeRate, "handshake_rate"),
    (Limit::Connections, "max_connections"),
    (Limit::AddressHandshakeRate, "address_handshake_rate"),
    (Limit::AddressConnections, "max_address_connections"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_stand_in_the_order_of_their_numbers() {
        for (place, (limit, _)) in LIMITS.iter().enumerate() {
            assert_eq!(*limit as usize, place);
        }
    }
}
