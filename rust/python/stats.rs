//! Converts the engine's counters to a dictionary, and its lists of rooms and readers to tuples.

use std::sync::atomic::Ordering::Relaxed;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::engine::Engine;
use crate::limit::LIMITS;
use crate::newcomers::TlsHandshakes;
use crate::protocol::compression::Compressed;
use crate::python::recording;
use crate::queues::connection_reading::ConnectionReading;
use crate::queues::slow_readers;
use crate::room::ages::{BOUNDS_MS, OLDEST_MS};
use crate::room::busiest;
use crate::stats::rules::RuleStats;
use crate::stats::{DROPS, Histogram, Stats};

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
    dict.set_item("delivered", sum(&|stats| stats.delivered()))?;
    dict.set_item("bytes", sum(&|stats| stats.bytes.value()))?;
    dict.set_item("received", sum(&|stats| stats.received.value()))?;
    dict.set_item("received_bytes", sum(&|stats| stats.received_bytes.value()))?;
    dict.set_item("writes", sum(&|stats| stats.writes.value()))?;
    dict.set_item("blocked", sum(&|stats| stats.blocked.value()))?;
    dict.set_item("held", sum(&|stats| stats.held.value()))?;
    dict.set_item("pings", sum(&|stats| stats.pings.value()))?;
    dict.set_item("closed_slow", sum(&|stats| stats.slow.value()))?;
    dict.set_item("closed_unanswered", sum(&|stats| stats.unanswered.value()))?;
    dict.set_item("history_bytes", engine.kept().used())?;
    dict.set_item("waiting_bytes", engine.budget().waiting())?;
    dict.set_item("waiting_bytes_limit", engine.budget().limit())?;
    let drops = PyDict::new(py);
    for (reason, name) in DROPS {
        drops.set_item(name, sum(&|stats| stats.drops(reason)))?;
    }
    dict.set_item("drops", drops)?;
    let Compressed { messages, bytes_before, bytes_after, not_smaller } = engine.compressed();
    let compressed = PyDict::new(py);
    compressed.set_item("messages", messages)?;
    compressed.set_item("bytes_before", bytes_before)?;
    compressed.set_item("bytes_after", bytes_after)?;
    compressed.set_item("not_smaller", not_smaller)?;
    dict.set_item("compressed", compressed)?;
    dict.set_item("recording", recording::sums(py, &engine.recorded())?)?;
    let deltas = PyDict::new(py);
    for (name, count) in ["messages", "bytes_before", "bytes_after", "not_smaller"].into_iter().zip(engine.deltas()) {
        deltas.set_item(name, count)?;
    }
    dict.set_item("deltas", deltas)?;
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
    let TlsHandshakes { full, resumed, failed } = engine.tls_handshakes();
    let handshakes = PyDict::new(py);
    for (result, count) in [("full", full), ("resumed", resumed), ("failed", failed)] {
        handshakes.set_item(result, count)?;
    }
    dict.set_item("tls_handshakes", handshakes)?;
    let (durations, sum_us) = engine.handshake_durations();
    dict.set_item("handshake_us", durations)?;
    dict.set_item("handshake_sum_us", sum_us)?;
    let all = engine.stats().flat_map(|stats| stats.rules.iter().map(|rule| &rule.latency));
    let (latency, sum_us) = histogram(all);
    dict.set_item("latency_us", latency)?;
    dict.set_item("latency_sum_us", sum_us)?;
    dict.set_item("rules", rules(py, engine)?)?;
    dict.set_item("ticks", ticks(py, engine)?)?;
    Ok(dict)
}

/// Name, members, messages and deliveries.
pub(super) type RoomRow = (String, usize, u64, u64);

pub(super) fn busy_room(room: busiest::BusyRoom) -> RoomRow {
    (room.name.into(), room.members, room.messages, room.deliveries)
}

/// Connection, bytes, messages, age in seconds, what they wait for, messages sent and dropped.
pub(super) type ReaderRow = (u64, usize, usize, f64, &'static str, u64, u64);

pub(super) fn slow_reader(reader: slow_readers::SlowReader) -> ReaderRow {
    let slow_readers::SlowReader { bytes, conn, messages, age_us, waits_for, sent, dropped } = reader;
    (conn.as_u64(), bytes, messages, age_us as f64 / 1e6, waits_for.name(), sent, dropped)
}

/// Returns what a connection is doing, by name.
pub(super) fn connection_reading<'py>(py: Python<'py>, reading: &ConnectionReading) -> PyResult<Bound<'py, PyDict>> {
    let ConnectionReading { waiting_bytes, waiting_messages, age_us, waits_for, account } = reading;
    let drops = PyDict::new(py);
    for (name, count) in account.drops() {
        drops.set_item(name, count)?;
    }
    let found = PyDict::new(py);
    found.set_item("sent_messages", account.messages)?;
    found.set_item("sent_bytes", account.bytes)?;
    found.set_item("drops", drops)?;
    found.set_item("highest_queue", account.highest_queue)?;
    found.set_item("taken_age", account.median_age_ms().map(|age_ms| age_ms / 1e3))?;
    found.set_item("waiting_bytes", waiting_bytes)?;
    found.set_item("waiting_messages", waiting_messages)?;
    found.set_item("waiting_age", *age_us as f64 / 1e6)?;
    found.set_item("waits_for", waits_for.map(|waits_for| waits_for.name()))?;
    Ok(found)
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

/// Returns by pattern: `published`, `delivered`, `bytes`, `drops` by reason, `latency_us`, `latency_sum_us`, `spread_us`
/// and `spread_sum_us`.
fn rules<'py>(py: Python<'py>, engine: &Engine) -> PyResult<Bound<'py, PyDict>> {
    let mut sums: Vec<(Box<str>, u64, Vec<&RuleStats>, Buckets)> = Vec::new();
    for ((pattern, published, shards), spread) in engine.rules().zip(engine.spreads()) {
        match sums.iter_mut().find(|(name, ..)| *name == pattern) {
            Some((_, all, all_shards, all_spreads)) => {
                *all += published;
                all_shards.extend(shards);
                add(all_spreads, spread.0, spread.1);
            }
            None => sums.push((pattern, published, shards, spread)),
        }
    }
    let dict = PyDict::new(py);
    for (pattern, published, shards, (spread, spread_sum_us)) in sums {
        let sum = |count: &dyn Fn(&RuleStats) -> u64| shards.iter().map(|stats| count(stats)).sum::<u64>();
        let rule = PyDict::new(py);
        rule.set_item("published", published)?;
        rule.set_item("delivered", sum(&|stats| stats.delivered.value()))?;
        rule.set_item("bytes", sum(&|stats| stats.bytes.value()))?;
        let drops = PyDict::new(py);
        for (reason, name) in DROPS {
            drops.set_item(name, sum(&|stats| stats.drops[reason as usize].value()))?;
        }
        rule.set_item("drops", drops)?;
        let (latency, sum_us) = histogram(shards.iter().map(|stats| &stats.latency));
        rule.set_item("latency_us", latency)?;
        rule.set_item("latency_sum_us", sum_us)?;
        rule.set_item("spread_us", spread)?;
        rule.set_item("spread_sum_us", spread_sum_us)?;
        dict.set_item(&*pattern, rule)?;
    }
    Ok(dict)
}

/// Returns by rate, in edges a second: `edges`, `missed`, `messages`, `lateness_us` and `lateness_sum_us`.
fn ticks<'py>(py: Python<'py>, engine: &Engine) -> PyResult<Bound<'py, PyDict>> {
    let mut found = Vec::new();
    engine.tick_stats(|hz, stats| {
        let lateness = histogram([&stats.lateness].into_iter());
        found.push((hz, [("edges", stats.edges), ("missed", stats.missed), ("messages", stats.messages)], lateness));
    });
    let dict = PyDict::new(py);
    for (hz, counts, (buckets, sum_us)) in found {
        let rate = PyDict::new(py);
        for (name, count) in counts {
            rate.set_item(name, count)?;
        }
        rate.set_item("lateness_us", buckets)?;
        rate.set_item("lateness_sum_us", sum_us)?;
        dict.set_item(hz, rate)?;
    }
    Ok(dict)
}

/// Returns the sum of histograms: pairs of an exclusive upper bound in microseconds and a count, and the sum of the
/// durations.
fn histogram<'a>(parts: impl Iterator<Item = &'a Histogram>) -> Buckets {
    let mut sum = Buckets::default();
    parts.for_each(|part| add(&mut sum, part.buckets(), part.sum_us()));
    sum
}

/// Pairs of an exclusive upper bound in microseconds and a count, and the sum of the durations.
type Buckets = (Vec<(u64, u64)>, u64);

fn add((buckets, sum_us): &mut Buckets, part: impl IntoIterator<Item = (u64, u64)>, part_sum_us: u64) {
    *sum_us += part_sum_us;
    for (place, (below, count)) in part.into_iter().enumerate() {
        match buckets.get_mut(place) {
            Some(bucket) => bucket.1 += count,
            None => buckets.push((below, count)),
        }
    }
}
