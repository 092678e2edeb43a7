//! Converts the engine's counters to a dictionary.

use std::sync::atomic::Ordering::Relaxed;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::engine::Engine;
use crate::limit::LIMITS;
use crate::room::ages::{BOUNDS_MS, OLDEST_MS};
use crate::stats::{DROPS, Stats};

/// Returns all counters and sizes by name, summed over the shards.
pub(super) fn stats<'py>(py: Python<'py>, engine: &Engine) -> PyResult<Bound<'py, PyDict>> {
    let sum = |count: &dyn Fn(&Stats) -> u64| engine.stats().map(count).sum::<u64>();
    let (published, refused) = engine.published();
    let dict = PyDict::new(py);
    dict.set_item("connections", sum(&|stats| stats.connections.value()))?;
    dict.set_item("rooms", engine.rooms())?;
    dict.set_item("published", published)?;
    dict.set_item("refused", refused)?;
    dict.set_item("late", engine.late().load(Relaxed))?;
    dict.set_item("delivered", sum(&|stats| stats.delivered.value()))?;
    dict.set_item("bytes", sum(&|stats| stats.bytes.value()))?;
    dict.set_item("writes", sum(&|stats| stats.writes.value()))?;
    dict.set_item("blocked", sum(&|stats| stats.blocked.value()))?;
    dict.set_item("held", sum(&|stats| stats.held.value()))?;
    dict.set_item("pings", sum(&|stats| stats.pings.value()))?;
    dict.set_item("closed_slow", sum(&|stats| stats.slow.value()))?;
    dict.set_item("closed_unanswered", sum(&|stats| stats.unanswered.value()))?;
    dict.set_item("history_bytes", engine.kept().used())?;
    dict.set_item("waiting_bytes", engine.budget().used())?;
    dict.set_item("waiting_bytes_limit", engine.budget().limit())?;
    let drops = PyDict::new(py);
    for (reason, name) in DROPS {
        drops.set_item(name, sum(&|stats| stats.drops[reason as usize].value()))?;
    }
    dict.set_item("drops", drops)?;
    dict.set_item("inbound_bytes", engine.inbound_bytes())?;
    let limits = PyDict::new(py);
    for ((_, name), count) in LIMITS.into_iter().zip(engine.passed()) {
        limits.set_item(name, count)?;
    }
    dict.set_item("limits", limits)?;
    dict.set_item("taken_age", taken_age(py, engine.ages())?)?;
    let handshakes = PyDict::new(py);
    for (status, count) in engine.handshakes() {
        handshakes.set_item(status, count)?;
    }
    dict.set_item("handshakes", handshakes)?;
    let mut latency: Vec<(u64, u64)> = Vec::new();
    dict.set_item("latency_sum_us", sum(&|stats| stats.latency.sum_us()))?;
    for stats in engine.stats() {
        for (place, (below, count)) in stats.latency.buckets().enumerate() {
            match latency.get_mut(place) {
                Some(bucket) => bucket.1 += count,
                None => latency.push((below, count)),
            }
        }
    }
    dict.set_item("latency_us", latency)?;
    Ok(dict)
}

/// Returns by pattern: `count`, `sum` in seconds, and `buckets`, pairs of an upper bound in seconds and a count.
fn taken_age<'py>(
    py: Python<'py>,
    patterns: Vec<(Box<str>, [u64; BOUNDS_MS.len() + 1], u64)>,
) -> PyResult<Bound<'py, PyDict>> {
    let mut sums: Vec<(Box<str>, [u64; BOUNDS_MS.len() + 1], u64)> = Vec::new();
    for (pattern, counts, sum_ms) in patterns {
        match sums.iter_mut().find(|(name, ..)| *name == pattern) {
            Some((_, all, all_ms)) => {
                all.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
                *all_ms += sum_ms;
            }
            None => sums.push((pattern, counts, sum_ms)),
        }
    }
    let dict = PyDict::new(py);
    for (pattern, counts, sum_ms) in sums {
        let bounds = BOUNDS_MS.into_iter().chain([OLDEST_MS]).map(|bound_ms| bound_ms as f64 / 1e3);
        let ages = PyDict::new(py);
        ages.set_item("count", counts.iter().sum::<u64>())?;
        ages.set_item("sum", sum_ms as f64 / 1e3)?;
        ages.set_item("buckets", bounds.zip(counts).collect::<Vec<_>>())?;
        dict.set_item(&*pattern, ages)?;
    }
    Ok(dict)
}
