//! The patterns whose members are to be told of new rooms. A room that matches one keeps its first messages until the
//! host has decided who joins it, so that nothing is lost between. Publishing to a room that exists looks at nothing here.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::room::rules::matches;

/// What is called with the name of each new room that matches. It may be called under the lock of a room.
type TellRoom = Box<dyn Fn(&str) + Send + Sync>;

/// Patterns, and what is told. Thread-safe.
#[derive(Default)]
pub struct Watch {
    /// Each pattern once, with how often it was added: thousands of clients may hold the same one.
    patterns: Mutex<HashMap<Box<str>, usize>>,
    /// Whether there is a pattern: most servers have none.
    is_on: AtomicBool,
    found: OnceLock<TellRoom>,
}

impl Watch {
    /// Sets what is called, once.
    pub fn tell(&self, found: TellRoom) {
        let _ = self.found.set(found);
    }

    /// Adds a pattern. The same pattern may be there several times.
    pub fn add(&self, pattern: &str) {
        let mut patterns = self.lock();
        *patterns.entry(pattern.into()).or_default() += 1;
        self.is_on.store(true, Relaxed);
    }

    /// Removes a pattern, once.
    pub fn remove(&self, pattern: &str) {
        let mut patterns = self.lock();
        if let Some(count) = patterns.get_mut(pattern) {
            *count -= 1;
            if *count == 0 {
                patterns.remove(pattern);
            }
        }
        self.is_on.store(!patterns.is_empty(), Relaxed);
    }

    /// Tells of a new room if it matches a pattern. Returns whether it does.
    pub fn look(&self, name: &str) -> bool {
        if !self.is_on.load(Relaxed) || !self.lock().keys().any(|pattern| matches(pattern, name)) {
            return false;
        }
        let Some(found) = self.found.get() else { return false };
        found(name);
        true
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        // No code that can panic runs under this lock, so a poisoned lock is usable.
        self.patterns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("patterns", &self.patterns).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn rooms_that_match_are_told_as_long_as_a_pattern_is_there() {
        let (watch, told) = (Watch::default(), Arc::new(Mutex::new(Vec::new())));
        let list = Arc::clone(&told);
        watch.tell(Box::new(move |name| list.lock().unwrap().push(name.to_owned())));
        assert!(!watch.look("a.1"));
        watch.add("a.*");
        watch.add("a.*");
        // Compared once with each new room, however many clients hold it.
        assert_eq!(watch.lock().len(), 1);
        assert!(watch.look("a.1"));
        assert!(!watch.look("b.1"));
        watch.remove("a.*");
        assert!(watch.look("a.2"));
        watch.remove("a.*");
        watch.remove("a.*");
        assert!(!watch.look("a.3"));
        assert_eq!(*told.lock().unwrap(), ["a.1", "a.2"]);
        assert!(watch.lock().is_empty());
    }
}
