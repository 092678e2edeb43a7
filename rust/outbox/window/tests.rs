//! Single steps of a window, what always holds, and how it behaves with many kinds of readers and links.

mod simulation;

use proptest::prelude::*;

use self::simulation::{Case, Outcome};
use super::*;

const MS: u64 = 1_000;

#[test]
fn one_message_is_always_admitted_and_more_as_long_as_there_is_room() {
    let mut window = Window::new(Reader::Reporting, 0);
    assert!(window.admits(0, 10 * INITIAL, part(INITIAL)));
    assert!(window.admits(INITIAL - 10, 10, part(INITIAL)) && !window.admits(INITIAL - 10, 11, part(INITIAL)));
    window.sent(1, 10 * INITIAL, 0);
    assert!(!window.admits(0, 1, part(INITIAL)));
    window.taken(1, MS);
    assert!(window.admits(0, 1, part(INITIAL)));
}

#[test]
fn what_is_known_to_be_taken_counts_once() {
    let mut window = Window::new(Reader::Reporting, 0);
    for index in 1..=3 {
        window.sent(index, 10_000, index * 10 * MS);
    }
    window.taken(2, 40 * MS);
    window.taken(1, 40 * MS);
    window.taken(2, 40 * MS);
    assert_eq!(window.under_way(), 10_000);
    window.taken(7, 50 * MS);
    assert_eq!(window.under_way(), 0);
}

#[test]
fn what_is_marked_together_is_taken_together() {
    let mut window = Window::new(Reader::Reporting, 0);
    (0..3).for_each(|_| window.wrote(100));
    assert_eq!(window.under_way(), 300);
    window.taken(3, MS);
    assert_eq!(window.under_way(), 300, "nothing marks it");
    window.mark(3, 300, MS);
    window.taken(3, 2 * MS);
    assert_eq!(window.under_way(), 0);
}

#[test]
fn a_reader_who_never_needs_it_has_a_window_that_is_large_enough_for_a_burst() {
    let mut window = Window::new(Reader::Reporting, 0);
    for index in 1..=100 {
        assert!(window.admits(0, 100, part(INITIAL)));
        window.sent(index, 100, index * 10 * MS);
        window.taken(index, index * 10 * MS + MS);
    }
    assert_eq!(window.size(), FREE);
}

proptest! {
    #[test]
    fn whatever_a_peer_says_the_books_are_right_and_the_window_is_bounded(
        ops in prop::collection::vec((0..3u8, 1..3_000usize, 0..200u64), 1..400)
    ) {
        let mut window = Window::new(Reader::Reporting, 0);
        let (mut now_us, mut index) = (0, 0);
        let mut sent = std::collections::VecDeque::new();
        for (op, bytes, number) in ops {
            now_us += number * number * 10;
            if op < 2 {
                let told = part(INITIAL);
                if window.admits(0, bytes, told) {
                    let (before, size) = (window.under_way(), window.size());
                    prop_assert!(before == 0 || before + bytes <= size || window.untold() < told);
                    index += 1;
                    window.sent(index, bytes, now_us);
                    sent.push_back((index, bytes));
                } else {
                    prop_assert!(window.under_way() > 0);
                }
            } else {
                let count = number.min(index);
                let newest = index.saturating_sub(count);
                window.taken(newest, now_us);
                sent.retain(|&(index, _)| index > newest);
            }
            // Messages written at the same moment are acknowledged together, so a part of them may still count.
            let under_way: usize = sent.iter().map(|&(_, bytes)| bytes).sum();
            prop_assert!(window.untold() <= under_way && window.under_way() >= under_way);
            prop_assert!(window.under_way() <= under_way + MAX / PIECES);
            prop_assert!((1..=MAX).contains(&window.size()));
            prop_assert!(window.sent.len() <= window.under_way().min(500));
        }
        // Everything is taken in the end. Then one message is admitted, whatever its size.
        window.taken(index, now_us);
        prop_assert_eq!(window.under_way(), 0);
        prop_assert!(window.admits(0, MAX, part(INITIAL)));
    }
}

/// 450 messages a second of 130 bytes each.
fn slow() -> Case {
    Case { service_us: |_| 2_222, ..Case::fast() }
}

#[test]
fn a_slow_application_is_kept_busy_with_what_is_fresh() {
    let outcome = slow().run();
    assert!(outcome.rate(1, 30) > 449.0, "never without work: {}", outcome.rate(1, 30));
    assert!(outcome.delay(2, 30, 1.0) < 50.0, "{}", outcome.delay(2, 30, 1.0));
    // 500 keys at 450 messages a second: 1.1 s is the best possible age.
    assert!(outcome.age(2, 30, 0.5) < 1_200.0, "{}", outcome.age(2, 30, 0.5));
}

#[test]
fn an_application_that_takes_seconds_for_some_messages_is_at_most_two_behind() {
    let outcome = Case { seconds: 120, service_us: |_| 200_000, ..Case::fast() }.run();
    assert!(outcome.rate(60, 120) > 4.9 && outcome.delay(60, 120, 0.99) <= 700.0);
}

#[test]
fn a_slow_link_far_away_is_used_without_a_queue() {
    let outcome = Case { seconds: 60, link_rate: 50e3, one_way_us: |_| 200_000, ..Case::fast() }.run();
    let utilization = outcome.rate(5, 60) * 130.0 / 50e3;
    assert!(utilization > 0.8, "{utilization}");
    // 200 ms of it are the way to the reader.
    assert!(outcome.delay(5, 60, 0.5) < 400.0, "{}", outcome.delay(5, 60, 0.5));
    assert!(outcome.delay(5, 60, 0.99) < 800.0, "{}", outcome.delay(5, 60, 0.99));
}

#[test]
fn a_fast_reader_gets_bursts_as_fast_as_without_a_window() {
    let case = Case { rate: Some(0.0), bursts: Some((1_000, 8_000)), backlog: 100_000, ..Case::fast() };
    let (with, without) = (case.run(), Case { is_bounded: false, ..case }.run());
    assert_eq!(with.taken.len(), without.taken.len());
    let last = |outcome: &Outcome| outcome.age(0, 30, 0.999);
    assert!(last(&with) < 1.05 * last(&without), "{} instead of {}", last(&with), last(&without));
}

#[test]
fn a_fast_link_far_away_is_filled() {
    let outcome = Case { link_rate: 5e6, one_way_us: |_| 100_000, ..Case::fast() }.run();
    let utilization = outcome.rate(5, 30) * 130.0 / 5e6;
    assert!(utilization > 0.75, "{utilization}");
}

#[test]
fn a_route_that_becomes_longer_or_shorter_is_learned() {
    let longer =
        Case { service_us: |_| 222, one_way_us: |us| if us < 10_000_000 { 10_000 } else { 100_000 }, ..slow() };
    let outcome = longer.run();
    assert!(outcome.rate(3, 10) > 4_400.0 && outcome.rate(13, 30) > 3_600.0, "{}", outcome.rate(13, 30));
    let shorter = Case { one_way_us: |us| if us < 10_000_000 { 100_000 } else { 10_000 }, ..longer };
    let outcome = shorter.run();
    assert!(outcome.rate(22, 30) > 4_400.0, "{}", outcome.rate(22, 30));
    assert!(outcome.delay(22, 30, 0.99) < 100.0, "{}", outcome.delay(22, 30, 0.99));
}

#[test]
fn an_application_that_stands_still_goes_on_with_what_is_fresh() {
    let is_away: fn(u64) -> bool = |us| (5_000_000..10_000_000).contains(&us);
    let outcome = Case { rate: Some(4_000.0), service_us: |_| 100, is_away, ..Case::fast() }.run();
    // One window was under way, and at most 500 values wait here.
    assert!(outcome.delay(11, 30, 1.0) < 50.0, "{}", outcome.delay(11, 30, 1.0));
    assert!(outcome.rate(12, 30) > 3_990.0, "{}", outcome.rate(12, 30));
}

#[test]
fn an_application_that_becomes_slow_is_behind_by_one_window_at_most() {
    let service_us: fn(u64) -> u64 = |us| if us < 10_000_000 { 50 } else { 2_222 };
    let outcome = Case { rate: Some(5_000.0), service_us, ..Case::fast() }.run();
    assert!(outcome.rate(1, 10) > 4_990.0);
    assert!(outcome.delay(10, 13, 1.0) < 1_200.0, "{}", outcome.delay(10, 13, 1.0));
    assert!(outcome.delay(13, 30, 1.0) < 60.0, "{}", outcome.delay(13, 30, 1.0));
    // And the other way round.
    let service_us: fn(u64) -> u64 = |us| if us < 10_000_000 { 2_222 } else { 50 };
    let outcome = Case { rate: Some(5_000.0), service_us, ..Case::fast() }.run();
    assert!(outcome.rate(12, 30) > 4_990.0, "{}", outcome.rate(12, 30));
}

#[test]
fn who_takes_all_there_is_now_and_then_gets_all() {
    for (rate, every_ms) in [(20.0, 100), (200.0, 100), (5_000.0, 100), (5_000.0, 17), (1_000.0, 1_000)] {
        let is_away: fn(u64) -> bool = match every_ms {
            17 => |us| us % 17_000 > 2_000,
            100 => |us| us % 100_000 > 5_000,
            _ => |us| us % 1_000_000 > 20_000,
        };
        let case = Case { rate: Some(rate), is_away, service_us: |_| 10, backlog: 5_000, ..Case::fast() };
        let (with, without) = (case.run(), Case { is_bounded: false, ..case }.run());
        assert!(with.rate(5, 30) > 0.98 * without.rate(5, 30), "{rate}/s every {every_ms} ms: {}", with.rate(5, 30));
        let (age, least) = (with.age(5, 30, 0.5), without.age(5, 30, 0.5));
        assert!(age < 1.5 * least + 20.0, "{rate}/s every {every_ms} ms: {age} instead of {least}");
    }
}

#[test]
fn delays_that_are_not_ours_do_not_shut_the_window_for_good() {
    // 1 to 50 ms more, different in each millisecond; the order stays.
    fn one_way_us(us: u64) -> u64 {
        1_000 + (us / 1_000).wrapping_mul(0x9E37_79B9_7F4A_7C15) % 50_000
    }
    let outcome = Case { rate: Some(5_000.0), one_way_us, ..Case::fast() }.run();
    assert!(outcome.rate(0, 30) > 2_500.0, "{}", outcome.rate(0, 30));
    assert!(outcome.age(0, 30, 0.5) < 100.0, "{}", outcome.age(0, 30, 0.5));
}

#[test]
fn a_library_that_reads_all_there_is_makes_no_queue_look_like_the_way() {
    for (most, service_us) in [(16, 2_222_u64), (4, 2_222), (64, 2_222), (16, 300), (16, 20_000)] {
        let slow: fn(u64) -> u64 = match service_us {
            2_222 => |_| 2_222,
            300 => |_| 300,
            _ => |_| 20_000,
        };
        let outcome = Case { seconds: 60, service_us: slow, library: Some(most), ..Case::fast() }.run();
        let rate = 1e6 / service_us as f64;
        assert!(outcome.rate(15, 60) > 0.95 * rate, "{most} {service_us}: {}", outcome.rate(15, 60));
        // Allows for the library's own queue, and little more.
        let wanted = 3.0 * most as f64 * service_us as f64 / 1000.0 + 60.0;
        assert!(outcome.delay(15, 60, 0.5) < wanted, "{most} {service_us}: {}", outcome.delay(15, 60, 0.5));
        assert!(outcome.delay(15, 60, 1.0) < 3.0 * wanted, "{most} {service_us}: {}", outcome.delay(15, 60, 1.0));
    }
}
