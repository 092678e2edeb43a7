//! The limits that a client can exceed by connecting or by what it sends, with their names in the configuration.

/// A limit on clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Limit {
    /// Bytes of a message.
    Message,
    /// Fragments of a message.
    Fragments,
    /// The time from the beginning of a message to its end.
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
    /// The time for a request head to come, or for the application to decide.
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
    /// Returns the field of the configuration.
    pub fn name(self) -> &'static str {
        LIMITS[self as usize].1
    }
}

/// All limits with their names, in the order of their numbers.
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
