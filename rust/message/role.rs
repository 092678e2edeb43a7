//! What a message is to connections with and without envelopes.

/// How a message is sent to connections with and without envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Data: the payload, raw or in an envelope.
    Data,
    /// A whole envelope, or bytes for a connection that knows their meaning. Sent as it is.
    Whole,
    /// Like [`Self::Whole`], but about the connection itself: it goes ahead of the messages of rooms.
    Urgent,
    /// A whole envelope, too: the engine has refused a message of the session.
    Refusal {
        /// The number of the refusal in the session, from 1 on.
        number: u64,
        /// Whether it is [urgent](Self::Urgent).
        is_urgent: bool,
    },
    /// An event of this type: an envelope. Raw clients do not get it.
    Event(&'static str),
}

impl Role {
    /// Whether it is a whole envelope already.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Whole | Self::Urgent | Self::Refusal { .. })
    }

    /// Whether it goes ahead of other messages.
    pub fn is_urgent(self) -> bool {
        matches!(self, Self::Urgent | Self::Refusal { is_urgent: true, .. })
    }

    /// Returns the number of the refusal that it is; none if it is something else.
    pub fn refusal(self) -> Option<u64> {
        match self {
            Self::Refusal { number, .. } => Some(number),
            _ => None,
        }
    }
}
