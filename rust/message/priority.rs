//! The priority of a room's messages: which of them leave first when several wait.

/// A priority. The order of the variants is the order of writing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Priority {
    /// Ahead of the others.
    High,
    /// As usual.
    #[default]
    Normal,
    /// Behind the others.
    Low,
}

impl Priority {
    /// Returns the priority with this name; none if there is no such one.
    pub fn named(name: &str) -> Option<Self> {
        PRIORITIES.iter().find(|(_, known)| *known == name).map(|&(priority, _)| priority)
    }
}

/// All priorities with their names, in the order of writing.
pub const PRIORITIES: [(Priority, &str); 3] =
    [(Priority::High, "high"), (Priority::Normal, "normal"), (Priority::Low, "low")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_stand_in_the_order_of_writing() {
        for (place, (priority, name)) in PRIORITIES.into_iter().enumerate() {
            assert_eq!((priority as usize, Priority::named(name)), (place, Some(priority)));
        }
        assert!(PRIORITIES.is_sorted());
        assert_eq!(Priority::named("urgent"), None);
    }
}
