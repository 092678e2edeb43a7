//! The rates of rooms with a tick: which rooms wait, and when the next edge of their rate is. Pure: the time is an
//! argument, in microseconds since 1970.
//!
//! All rooms of one rate share one grid of edges, the whole multiples of its interval since 1970. So an edge never
//! drifts, and nodes whose clocks agree have the same edges.

use std::sync::Arc;

use crate::stats::Histogram;

/// Returns the number of the newest edge that is not after a time.
pub fn edge_before(now_us: u64, hz: u32) -> u64 {
    (u128::from(now_us) * u128::from(hz) / 1_000_000) as u64
}

/// Returns when an edge is: the first microsecond whose number of edges it is.
pub fn edge_us(number: u64, hz: u32) -> u64 {
    (u128::from(number) * 1_000_000).div_ceil(u128::from(hz)) as u64
}

/// Returns when the first edge after a time is.
pub fn next_edge_us(now_us: u64, hz: u32) -> u64 {
    edge_us(edge_before(now_us, hz) + 1, hz)
}

/// What is counted of one rate. One thread at a time writes it, under a lock.
#[derive(Debug, Default)]
pub struct TickStats {
    /// Edges at which something left.
    pub edges: u64,
    /// Edges that were too late to be made up for.
    pub missed: u64,
    /// Messages that left.
    pub messages: u64,
    /// How much later than its edge each edge was.
    pub lateness: Histogram,
}

impl TickStats {
    fn due(&mut self, due_us: u64, now_us: u64, hz: u32) {
        self.missed += edge_before(now_us, hz).saturating_sub(edge_before(due_us, hz));
        self.edges += 1;
        self.lateness.record(now_us.saturating_sub(due_us), 1);
    }
}

/// All rates. Each room waits at most once.
#[derive(Debug, Default)]
pub struct Ticks {
    rates: Vec<TickRate>,
}

/// The rooms of one rate that have something waiting.
#[derive(Debug)]
struct TickRate {
    hz: u32,
    rooms: Vec<Arc<str>>,
    /// The edge at which they leave; only if there are any.
    due_us: u64,
    /// The application's loop of this rate; none: there is none.
    led: Option<Led>,
    stats: TickStats,
}

/// A loop of the application. It is called at an edge, and lets the rooms of its rate leave when it is done.
#[derive(Debug)]
struct Led {
    /// The edge of the next call; while it runs, that of this call.
    due_us: u64,
    is_running: bool,
    /// When it was last done.
    done_us: u64,
}

/// What is to be done at an edge.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Rooms of a rate leave.
    Leave(u32, Vec<Arc<str>>),
    /// The application's loop of a rate is called, for the edge of this number.
    Call(u32, u64),
}

impl Ticks {
    /// Adds a room that waits from now on. Returns whether the thread that waits for edges has to be woken.
    pub fn add(&mut self, hz: u32, room: Arc<str>, now_us: u64) -> bool {
        let rate = self.rate(hz);
        rate.rooms.push(room);
        let is_first = rate.rooms.len() == 1;
        if is_first {
            rate.due_us = next_edge_us(now_us, hz);
        }
        is_first
    }

    /// Returns when the next edge is at which there is something to do.
    pub fn next_us(&self) -> Option<u64> {
        let rooms = self.rates.iter().filter(|rate| !rate.rooms.is_empty()).map(|rate| rate.due_us);
        let led = self.rates.iter().filter_map(|rate| rate.led.as_ref());
        rooms.chain(led.filter(|led| !led.is_running).map(|led| led.due_us)).min()
    }

    /// Takes what is to be done now. Edges that have passed meanwhile are counted as missed. A rate that the
    /// application's loop leads waits for that, for two intervals at most.
    pub fn take_due(&mut self, now_us: u64) -> Option<Due> {
        for rate in &mut self.rates {
            let (hz, newest) = (rate.hz, edge_before(now_us, rate.hz));
            if let Some(led) = &mut rate.led
                && !led.is_running
                && led.due_us <= now_us
            {
                rate.stats.due(led.due_us, now_us, hz);
                (led.is_running, led.due_us) = (true, edge_us(newest, hz));
                return Some(Due::Call(hz, newest));
            }
            if rate.rooms.is_empty() || rate.due_us > now_us {
                continue;
            }
            if let Some(led) = &rate.led {
                if edge_before(led.done_us, hz) + LED_EDGES > newest {
                    rate.due_us = edge_us(newest + 1, hz);
                    continue;
                }
            } else {
                rate.stats.due(rate.due_us, now_us, hz);
            }
            return Some(Due::Leave(hz, std::mem::take(&mut rate.rooms)));
        }
        None
    }

    /// Takes the rooms of a rate for the application's loop, which is done with an edge. Its next call is at the first
    /// edge from now on; those that have passed are counted as missed.
    pub fn take_led(&mut self, hz: u32, now_us: u64) -> Vec<Arc<str>> {
        let rate = self.rate(hz);
        if let Some(led) = &mut rate.led {
            led.done_us = now_us;
            if std::mem::take(&mut led.is_running) {
                rate.stats.missed += edge_before(now_us, hz).saturating_sub(edge_before(led.due_us, hz));
                led.due_us = next_edge_us(now_us, hz);
            }
        }
        std::mem::take(&mut rate.rooms)
    }

    /// Begins or ends to call the application's loop of a rate.
    pub fn lead(&mut self, hz: u32, is_led: bool, now_us: u64) {
        let led = Led { due_us: next_edge_us(now_us, hz), is_running: false, done_us: now_us };
        self.rate(hz).led = is_led.then_some(led);
    }

    /// Counts messages that have left.
    pub fn left(&mut self, hz: u32, messages: usize) {
        self.rate(hz).stats.messages += messages as u64;
    }

    /// Returns what is counted, by rate.
    pub fn stats(&self) -> impl Iterator<Item = (u32, &TickStats)> {
        self.rates.iter().map(|rate| (rate.hz, &rate.stats))
    }

    fn rate(&mut self, hz: u32) -> &mut TickRate {
        let place = self.rates.iter().position(|rate| rate.hz == hz).unwrap_or_else(|| {
            self.rates.push(TickRate { hz, rooms: Vec::new(), due_us: 0, led: None, stats: TickStats::default() });
            self.rates.len() - 1
        });
        &mut self.rates[place]
    }
}

/// The most edges a second. An interval of a millisecond is what sleeping threads keep well.
pub const MAX_HZ: u32 = 1000;

/// Edges for which a rate waits for the application's loop: one tick that takes nearly two intervals leaves whole.
const LED_EDGES: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn waiting(ticks: &mut Ticks, hz: u32, now_us: u64) -> Option<u64> {
        ticks.add(hz, "r".into(), now_us);
        ticks.next_us()
    }

    #[test]
    fn edges_are_whole_multiples_of_the_interval() {
        assert_eq!([0, 1, 2, 3].map(|number| edge_us(number, 30)), [0, 33_334, 66_667, 100_000]);
        assert_eq!([0, 33_333, 33_334, 66_666].map(|us| next_edge_us(us, 30)), [33_334, 33_334, 66_667, 66_667]);
        // Today, at the highest rate.
        assert_eq!(next_edge_us(1_796_000_000_000_000, MAX_HZ), 1_796_000_000_001_000);
    }

    #[test]
    fn a_room_leaves_at_the_first_edge_after_its_first_message() {
        let mut ticks = Ticks::default();
        assert_eq!(ticks.next_us(), None);
        assert_eq!(waiting(&mut ticks, 10, 250_000), Some(300_000));
        // Later rooms of this rate leave together with it, and another rate has its own edges.
        assert!(!ticks.add(10, "s".into(), 299_999));
        assert_eq!(waiting(&mut ticks, 100, 251_000), Some(260_000));
        assert!(ticks.take_due(259_999).is_none());
        assert_eq!(ticks.take_due(260_000), Some(Due::Leave(100, vec!["r".into()])));
        assert_eq!(ticks.take_due(300_007), Some(Due::Leave(10, vec!["r".into(), "s".into()])));
        assert_eq!((ticks.next_us(), ticks.take_due(u64::MAX)), (None, None));
        let sums: Vec<_> = ticks.stats().map(|(hz, stats)| (hz, stats.edges, stats.lateness.sum_us())).collect();
        assert_eq!(sums, [(10, 1, 7), (100, 1, 0)]);
    }

    #[test]
    fn late_edges_are_missed_and_come_in_no_burst() {
        let mut ticks = Ticks::default();
        waiting(&mut ticks, 10, 0);
        // 100 was due; 200 and 300 have passed.
        assert!(ticks.take_due(350_000).is_some());
        assert!(ticks.take_due(350_000).is_none());
        assert_eq!(waiting(&mut ticks, 10, 350_000), Some(400_000));
        assert_eq!(ticks.stats().next().unwrap().1.missed, 2);
    }

    #[test]
    fn a_led_rate_waits_for_its_loop_but_not_for_ever() {
        let mut ticks = Ticks::default();
        ticks.lead(10, true, 0);
        waiting(&mut ticks, 10, 50_000);
        assert_eq!(ticks.take_due(100_000), Some(Due::Call(10, 1)));
        assert_eq!((ticks.take_due(100_000), ticks.next_us()), (None, Some(200_000)));
        assert_eq!(ticks.take_led(10, 120_000).len(), 1);
        waiting(&mut ticks, 10, 130_000);
        assert_eq!(ticks.take_due(200_000), Some(Due::Call(10, 2)));
        // The loop does not come to its end, so the room leaves without it.
        assert_eq!((ticks.take_due(200_000), ticks.next_us()), (None, Some(300_000)));
        assert!(matches!(ticks.take_due(300_000), Some(Due::Leave(10, rooms)) if rooms.len() == 1));
        assert_eq!(ticks.next_us(), None);
        // It has taken more than two intervals; their edges are missed, and the next call is at the next edge.
        assert!(ticks.take_led(10, 450_000).is_empty());
        assert_eq!((ticks.next_us(), ticks.stats().next().unwrap().1.missed), (Some(500_000), 2));
        // Without the loop every edge counts again.
        ticks.lead(10, false, 460_000);
        waiting(&mut ticks, 10, 460_000);
        assert!(matches!(ticks.take_due(500_000), Some(Due::Leave(..))));
    }

    proptest! {
        /// Edges have steady intervals, and each belongs to its own number.
        #[test]
        fn grids_are_steady(number in 0..1u64 << 42, hz in 1..=MAX_HZ) {
            let us = edge_us(number, hz);
            prop_assert_eq!(edge_before(us, hz), number);
            prop_assert_eq!(next_edge_us(us, hz), edge_us(number + 1, hz));
            prop_assert!((next_edge_us(us, hz) - us).abs_diff(1_000_000 / u64::from(hz)) <= 1);
        }
    }
}
