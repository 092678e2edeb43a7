use super::*;

const SECOND: u64 = 1_000_000;

fn settings() -> InboundSettings {
    InboundSettings {
        limits: Limits { max_message: 10_000, max_fragments: 100 },
        rates: RateSettings {
            message_rate: 10.0,
            message_burst: 5.0,
            byte_rate: 0.0,
            byte_burst: 1.0,
            ping_rate: 1.0,
            ping_burst: 2.0,
            max_refused: 3.0,
        },
        message_timeout_us: 10 * SECOND,
        min_rate: 100,
        dry_run: false,
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    let mut bytes = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    bytes.extend(payload);
    bytes
}

fn inbound(settings: &InboundSettings, is_session: bool) -> Inbound {
    Inbound::new(settings, Arc::new(Rates::new(&settings.rates, 1.0)), is_session)
}

fn hear(inbound: &mut Inbound, settings: &InboundSettings, bytes: &[u8], now_us: u64) -> Vec<Heard> {
    let mut heard = Vec::new();
    inbound.hear(&mut bytes.to_vec(), settings, true, |payload| payload.starts_with(b"probe"), now_us, &mut heard);
    heard
}

fn text(payload: &str, over: Option<Over>) -> Heard {
    Heard::Message(Received { payload: Payload::Text(payload.into()), over })
}

#[test]
fn a_session_over_its_rate_is_handed_up_marked_and_at_last_failed() {
    let settings = settings();
    let mut inbound = inbound(&settings, true);
    let heard = hear(&mut inbound, &settings, &frame(0x81, b"x").repeat(12), 0);
    let is_over = |heard: &&Heard| matches!(heard, Heard::Message(Received { over: Some(_), .. }));
    assert_eq!(heard.iter().filter(|heard| **heard == text("x", None)).count(), 5);
    // Three are borne, and the fourth ends it; nothing behind it counts.
    assert_eq!(heard.iter().filter(is_over).count(), 4);
    assert!(matches!(heard.last(), Some(Heard::Broke(Violation { code: 1008, limit: Some(Limit::Refused), .. }))));
    assert!(inbound.is_over());
    assert_eq!(hear(&mut inbound, &settings, &frame(0x81, b"x"), 100 * SECOND), []);
}

#[test]
fn a_client_without_a_session_is_slowed_down_and_loses_nothing() {
    let settings = settings();
    let mut inbound = inbound(&settings, false);
    let heard = hear(&mut inbound, &settings, &frame(0x81, b"x").repeat(15), SECOND);
    assert_eq!(heard.iter().filter(|heard| **heard == text("x", None)).count(), 15);
    assert_eq!(heard.last(), Some(&Heard::Passed(Limit::MessageRate)));
    assert_eq!(inbound.slowed_until_us(), 2 * SECOND);
}

#[test]
fn a_dry_run_counts_and_enforces_nothing() {
    let settings = InboundSettings { dry_run: true, ..settings() };
    for is_session in [true, false] {
        let mut inbound = inbound(&settings, is_session);
        let bytes = [frame(0x81, b"x").repeat(50), frame(0x89, b"p").repeat(50)].concat();
        let heard = hear(&mut inbound, &settings, &bytes, 0);
        assert_eq!(heard.iter().filter(|heard| **heard == text("x", None)).count(), 50);
        assert_eq!(heard.iter().filter(|heard| matches!(heard, Heard::Ping(_))).count(), 50);
        assert!(heard.contains(&Heard::Passed(Limit::MessageRate)) && heard.contains(&Heard::Passed(Limit::PingRate)));
        assert!(!inbound.is_over() && inbound.slowed_until_us() == 0);
    }
}

#[test]
fn pings_over_their_rate_are_not_answered_and_weigh_more_than_messages() {
    let settings = settings();
    let mut inbound = inbound(&settings, true);
    let heard = hear(&mut inbound, &settings, &frame(0x89, b"p").repeat(10), 0);
    assert_eq!(heard.iter().filter(|heard| matches!(heard, Heard::Ping(_))).count(), 2);
    assert!(matches!(heard.last(), Some(Heard::Broke(_))) && inbound.is_over());
}

#[test]
fn once_it_is_closing_only_the_close_frame_counts() {
    let settings = settings();
    let mut inbound = inbound(&settings, true);
    let bytes = [frame(0x81, b"x"), frame(0x89, b""), frame(0x88, b"\x03\xe8"), frame(0x81, b"late")].concat();
    let mut heard = Vec::new();
    inbound.hear(&mut bytes.clone(), &settings, false, |_| false, 0, &mut heard);
    assert_eq!(heard, [Heard::Close(Some(1000), "".into())]);
    assert!(inbound.is_over());
}

#[test]
fn a_message_has_its_time_from_its_first_byte_and_more_for_what_has_come() {
    let settings = settings();
    let mut inbound = inbound(&settings, true);
    assert_eq!(inbound.deadline_us(&settings), None);
    hear(&mut inbound, &settings, &frame(0x01, &[b'a'; 100]), SECOND);
    assert_eq!(inbound.deadline_us(&settings), Some(12 * SECOND));
    hear(&mut inbound, &settings, &frame(0x00, &[b'a'; 100]), 5 * SECOND);
    assert_eq!(inbound.deadline_us(&settings), Some(13 * SECOND));
    // Its end and the beginning of the next in one read.
    let bytes = [frame(0x80, b""), frame(0x01, b"b")].concat();
    hear(&mut inbound, &settings, &bytes, 6 * SECOND);
    assert_eq!(inbound.deadline_us(&settings), Some(16 * SECOND + 10_000));
    hear(&mut inbound, &settings, &frame(0x80, b""), 7 * SECOND);
    assert_eq!(inbound.deadline_us(&settings), None);
}

#[test]
fn reports_have_a_rate_of_their_own_and_none_is_refused() {
    let settings = settings();
    let reports = [&b"{\"type\":\"received\"}"[..], b"{\"type\": \"received\"}"].map(|text| frame(0x81, text));
    let packed = frame(0x82, b"\x81\xa4type\xa8received");
    for report in [&reports[0], &reports[1], &packed] {
        let mut inbound = inbound(&settings, true);
        let heard = hear(&mut inbound, &settings, &[report.repeat(300), frame(0x81, b"x").repeat(5)].concat(), SECOND);
        let is_over = |heard: &Heard| matches!(heard, Heard::Message(Received { over: Some(_), .. }) | Heard::Broke(_));
        assert!(!heard.iter().any(is_over));
        assert_eq!(heard.iter().filter(|heard| matches!(heard, Heard::Passed(_))).count(), 1);
        assert_eq!((heard.len(), inbound.slowed_until_us()), (306, 2 * SECOND));
        // One that turns out to name many rooms counts as several.
        assert_eq!(inbound.charge(&settings, 0, 100, 0, 2 * SECOND), Some(Limit::MessageRate));
        assert_eq!(inbound.slowed_until_us(), 3 * SECOND);
    }
}

#[test]
fn each_probe_may_be_answered_once() {
    let settings = settings();
    let mut inbound = inbound(&settings, true);
    let answers: Vec<_> = (0..100).flat_map(|number| frame(0x8A, format!("probe{number:03}").as_bytes())).collect();
    assert_eq!(hear(&mut inbound, &settings, &answers, 0).len(), 100);
    let heard = hear(&mut inbound, &settings, &answers, 0);
    assert!(heard.contains(&Heard::Passed(Limit::PingRate)));
}
