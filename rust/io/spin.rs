//! Spinning: a thread without work looks for more for a while before it sleeps, so that nobody has to wake it. It takes a
//! whole core meanwhile. Pure: the time is an argument.

/// The settings of the threads that may spin.
#[derive(Debug, Clone, Default)]
pub struct SpinSettings {
    /// How long a thread without work spins, in microseconds; 0: it sleeps at once.
    pub for_us: u64,
    /// The processor of each shard's thread; empty: the system chooses.
    pub cores: Box<[usize]>,
}

/// Whether one thread spins now.
#[derive(Debug)]
pub struct Spin {
    for_us: u64,
    until_us: u64,
}

impl Spin {
    /// Creates one that does not spin until there was work.
    pub fn new(for_us: u64) -> Self {
        Self { for_us, until_us: 0 }
    }

    /// Whether the settings let it spin at all.
    pub fn is_on(&self) -> bool {
        self.for_us > 0
    }

    /// Notes that there was work.
    pub fn worked(&mut self, now_us: u64) {
        if self.is_on() {
            self.until_us = now_us.saturating_add(self.for_us);
        }
    }

    /// Whether to look again instead of sleeping. `due_us` is when a timer has to run.
    pub fn goes_on(&self, now_us: u64, due_us: Option<u64>) -> bool {
        now_us < self.until_us && due_us.is_none_or(|due_us| now_us < due_us)
    }
}

/// How often a spinning thread looks for commands between two looks at its sockets: about a microsecond, as long as one
/// of those takes.
pub const LOOKS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_spins_for_a_while_after_work_and_until_a_timer_is_due() {
        let mut spin = Spin::new(50);
        assert!(!spin.goes_on(0, None));
        spin.worked(100);
        assert!(spin.goes_on(100, None) && spin.goes_on(149, Some(150)));
        assert!(!spin.goes_on(150, None) && !spin.goes_on(120, Some(120)));
        spin.worked(160);
        assert!(spin.goes_on(209, None));
    }

    #[test]
    fn without_the_setting_it_never_spins() {
        let mut spin = Spin::new(0);
        spin.worked(100);
        assert!(!spin.goes_on(100, None));
        let mut for_ever = Spin::new(u64::MAX);
        for_ever.worked(100);
        assert!(for_ever.goes_on(u64::MAX - 1, None));
    }
}
