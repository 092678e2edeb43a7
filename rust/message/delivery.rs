//! The delivery classes.

use crate::wire::table;

/// The delivery class: what happens to a message when its reader is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Delivery {
    /// Never dropped while connected. Over the limit the connection is closed, and has to reconnect.
    Reliable,
    /// A newer message with the same key replaces the waiting one.
    Latest,
    /// Over the limit the oldest waiting message is dropped.
    DropOldest,
    /// Over the limit the new message is dropped.
    DropNewest,
}

/// Returns the name of a delivery class in the protocol.
pub fn delivery_name(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Reliable => table::delivery::RELIABLE,
        Delivery::Latest => table::delivery::LATEST,
        Delivery::DropOldest => table::delivery::DROP_OLDEST,
        Delivery::DropNewest => table::delivery::DROP_NEWEST,
    }
}
