//! Sessions whose messages were refused, because they came too fast, and whose answers had not reached the client.

use super::*;
use crate::shard::inbound::InboundSettings;
use crate::shard::rate_limit::RateSettings;
use crate::shard::tests::reading::{FIN_TEXT, frame};

/// The ids of the client's messages that were answered over a link, in order.
fn answered(link: &Fake) -> Vec<u64> {
    texts(link).iter().filter(|text| text.contains("rate_limited")).map(|text| number(text, r#""re":"c"#)).collect()
}

fn harness() -> Harness {
    let rates = RateSettings { message_rate: 1e-6, message_burst: 1.0, max_refused: 99.0, ..inbound_settings().rates };
    let inbound = InboundSettings { rates, ..inbound_settings() };
    Harness::with(ShardSettings { inbound, ..settings() }, UNLIMITED)
}

/// Brings the client's messages with these numbers.
fn brings(link: &Fake, numbers: std::ops::RangeInclusive<u64>) {
    let text = |number| format!(r#"{{"type":"own","id":"c{number}","room":"a"}}"#);
    link.brings(&numbers.map(|number| frame(FIN_TEXT, text(number).as_bytes())).collect::<Vec<_>>().concat());
}

#[test]
fn answers_to_messages_that_the_host_has_not_counted_are_withdrawn() {
    for takes in [0, UNLIMITED] {
        let mut harness = harness();
        let (conn, first) = harness.session(takes);
        brings(&first, 0..=4);
        harness.publish(1, 1);
        harness.ready(conn, false);
        harness.turn();
        assert_eq!(answered(&first), if takes == 0 { vec![] } else { vec![1, 2, 3, 4] });
        harness.publish(1, 2);
        // The host has counted two of four, and the client has received none.
        let (link, second) = harness.resume_after(conn, [0, 2], JSON, UNLIMITED);
        assert!(harness.events().contains(&Event::Resumed { conn, link }));
        assert_eq!((answered(&second), numbers(&second)), (vec![1, 2], vec![1, 2]));
        // The client sends the others again. The first over each link is not too fast, and refusals count from there on.
        brings(&second, 3..=5);
        harness.ready(conn, false);
        harness.turn();
        assert_eq!(answered(&second), [1, 2, 4, 5]);
        let (_, third) = harness.resume_after(conn, [4, 4], JSON, UNLIMITED);
        assert_eq!((answered(&third), numbers(&third)), (vec![4, 5], vec![]));
        harness.apply(Command::Gone { conn });
        assert_eq!(harness.shard.references, 0);
    }
}

#[test]
fn answers_that_have_come_stay_counted() {
    let mut harness = harness();
    let (conn, first) = harness.session(UNLIMITED);
    brings(&first, 0..=2);
    harness.ready(conn, false);
    harness.turn();
    // Both have come, so the client does not send the messages again, though the host has counted none of them.
    let (_, second) = harness.resume_after(conn, [2, 0], JSON, UNLIMITED);
    assert_eq!(answered(&second), Vec::<u64>::new());
    brings(&second, 3..=4);
    harness.ready(conn, false);
    harness.turn();
    assert_eq!(answered(&second), [4]);
    let (_, third) = harness.resume_after(conn, [2, 1], JSON, UNLIMITED);
    assert_eq!(answered(&third), [4]);
}
