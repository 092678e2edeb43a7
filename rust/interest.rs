//! Interest: which members of a room a message is for. The application gives members attributes and publishes with a
//! condition over them; clients give filters over the tags of messages. Pure: no room, no queue, no clock.
//!
//! Both are expressions of one form ([`Expression`]) over named values ([`Values`]). Attributes are indexed by value, so
//! that a condition finds its members without a look at the others. Filters are indexed by the values that they ask for,
//! and members with equal filters share one evaluation for each message.

pub use attributes::Attributes;
pub use audience::Audience;
pub use expression::Expression;
pub use filters::Filters;
pub use given::{Given, InterestFault, NamedReader};
pub use parse::{expression, values};
pub use selection::{MemberWish, RoomInterest};
pub use value::{Few, Value, Values};

mod attributes;
mod audience;
mod expression;
mod filters;
mod given;
mod parse;
mod postings;
mod selection;
mod value;
#[cfg(test)]
mod tests;
