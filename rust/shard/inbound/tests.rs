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
    Inbound::new(settings, Arc::new(Rates::new(&settings.rates, 1.0)), is_session.then_some(Codec::Json))
}

/// An item of one read, with each message on its own.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Message(String, Option<u64>),
    /// The number of refused messages in a row, and their bytes.
    Counted(usize, usize),
    Other(InboundItem),
}

fn told(heard: ReadOutcome) -> Vec<Told> {
    let (mut told, mut next) = (Vec::new(), 0);
    for item in heard.items {
        let InboundItem::Messages(count) = item else {
            told.push(Told::Other(item));
            continue;
        };
        for place in next..next + count {
            let Received { payload, wait_us, refused, .. } = heard.batch.get(place);
            told.push(match refused {
                Some((count, size)) => Told::Counted(count, size),
                None => Told::Message(String::from_utf8_lossy(payload).into(), wait_us),
            });
        }
        next += count;
    }
    assert_eq!(next, heard.batch.len());
    told
}

fn hear(inbound: &mut Inbound, settings: &InboundSettings, bytes: &[u8], now_us: u64) -> Vec<Told> {
    let mut heard = ReadOutcome::default();
    inbound.hear(&mut bytes.to_vec(), settings, true, |payload| payload.starts_with(b"probe"), now_us, &mut heard);
    told(heard)
}

fn text(payload: &str) -> Told {
    Told::Message(payload.into(), None)
}

fn is_refused(told: &&Told) -> bool {
    matches!(told, Told::Message(_, Some(_)))
}

fn is_ping(told: &&Told) -> bool {
    matches!(told, Told::Other(InboundItem::Ping(_)))
}

#[test]
fn a_session_over_its_rate_is_handed_up_marked_and_at_last_failed() {
    let settings = settings();
    let mut inbound = inbound(&settings, true);
    let heard = hear(&mut inbound, &settings, &frame(0x81, b"x").repeat(12), 0);
    assert_eq!(heard.iter().filter(|heard| **heard == text("x")).count(), 5);
    // Three refusals are tolerated. The fourth fails the connection, and nothing behind it counts.
    assert_eq!(heard.iter().filter(is_refused).count(), 4);
    assert!(matches!(
        heard.last(),
        Some(Told::Other(InboundItem::Broke(Violation { code: 1008, limit: Some(Limit::Refused), .. })))
    ));
    assert!(inbound.is_over());
    assert_eq!(hear(&mut inbound, &settings, &frame(0x81, b"x"), 100 * SECOND), []);
}

#[test]
fn what_can_be_read_of_a_session_over_its_rate_is_refused_and_counted_in_its_place() {
    let settings = settings();
    let mut inbound = inbound(&settings, true);
    let own = br#"{"type":"own","id":"1"}"#;
    let frames = [
        frame(0x81, b"x").repeat(5),
        frame(0x81, own),
        frame(0x81, br#"{"type":"ping"}"#),
        frame(0x81, own),
        frame(0x81, b"x"),
        frame(0x81, own),
    ];
    let heard = hear(&mut inbound, &settings, &frames.concat(), 0);
    let refused = |told: &&Told| matches!(told, Told::Other(InboundItem::Refused(..)));
    // The ping is not answered, but counts as a refusal too. The host refuses "x", and the last message is one too many.
    let messages: Vec<_> = heard.iter().filter(|told| !matches!(told, Told::Other(_))).collect();
    assert_eq!(messages.len(), 7);
    assert_eq!(*messages[5], Told::Counted(2, 2 * own.len()));
    assert!(matches!(messages[6], Told::Message(text, Some(_)) if text == "x"));
    assert_eq!(heard.iter().filter(refused).count(), 2);
    let is_failed = matches!(heard.last(), Some(Told::Other(InboundItem::Broke(Violation { code: 1008, .. }))));
    assert!(is_failed && inbound.is_over());
}

#[test]
fn a_client_without_a_session_is_slowed_down_and_loses_nothing() {
    let settings = settings();
    let mut inbound = inbound(&settings, false);
    let heard = hear(&mut inbound, &settings, &frame(0x81, b"x").repeat(15), SECOND);
    assert_eq!(heard.iter().filter(|heard| **heard == text("x")).count(), 15);
    assert_eq!(heard.last(), Some(&Told::Other(InboundItem::Passed(Limit::MessageRate))));
    assert_eq!(inbound.slowed_until_us(), 2 * SECOND);
}

#[test]
fn a_dry_run_counts_and_enforces_nothing() {
    let settings = InboundSettings { dry_run: true, ..settings() };
    for is_session in [true, false] {
        let mut inbound = inbound(&settings, is_session);
        let bytes = [frame(0x81, b"x").repeat(50), frame(0x89, b"p").repeat(50)].concat();
        let heard = hear(&mut inbound, &settings, &bytes, 0);
        assert_eq!(heard.iter().filter(|heard| **heard == text("x")).count(), 50);
        assert_eq!(heard.iter().filter(is_ping).count(), 50);
        for limit in [Limit::MessageRate, Limit::PingRate] {
            assert!(heard.contains(&Told::Other(InboundItem::Passed(limit))));
        }
        assert!(!inbound.is_over() && inbound.slowed_until_us() == 0);
    }
}

#[test]
fn pings_over_their_rate_are_not_answered_and_weigh_more_than_messages() {
    let settings = settings();
    let mut inbound = inbound(&settings, true);
    let heard = hear(&mut inbound, &settings, &frame(0x89, b"p").repeat(10), 0);
    assert_eq!(heard.iter().filter(is_ping).count(), 2);
    assert!(matches!(heard.last(), Some(Told::Other(InboundItem::Broke(_)))) && inbound.is_over());
}

#[test]
fn once_it_is_closing_only_the_close_frame_counts() {
    let settings = settings();
    let mut inbound = inbound(&settings, true);
    let bytes = [frame(0x81, b"x"), frame(0x89, b""), frame(0x88, b"\x03\xe8"), frame(0x81, b"late")].concat();
    let mut heard = ReadOutcome::default();
    inbound.hear(&mut bytes.clone(), &settings, false, |_| false, 0, &mut heard);
    assert_eq!(told(heard), [Told::Other(InboundItem::Close(Some(1000), "".into()))]);
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
    // One read has the end of a message and the beginning of the next.
    let bytes = [frame(0x80, b""), frame(0x01, b"b")].concat();
    hear(&mut inbound, &settings, &bytes, 6 * SECOND);
    assert_eq!(inbound.deadline_us(&settings), Some(16 * SECOND + 10_000));
    hear(&mut inbound, &settings, &frame(0x80, b""), 7 * SECOND);
    assert_eq!(inbound.deadline_us(&settings), None);
}

#[test]
fn reports_have_a_rate_of_their_own_and_none_is_refused() {
    let settings = settings();
    let texts =
        [&br#"{"type":"received","payload":{"count":1}}"#[..], br#"{"type": "received", "payload": {"count": 1}}"#];
    let packed = frame(0x82, b"\x82\xa4type\xa8received\xa7payload\x81\xa5count\x01");
    for (report, codec) in
        [(frame(0x81, texts[0]), Codec::Json), (frame(0x81, texts[1]), Codec::Json), (packed, Codec::Msgpack)]
    {
        let mut inbound = Inbound::new(&settings, Arc::new(Rates::new(&settings.rates, 1.0)), Some(codec));
        let heard = hear(&mut inbound, &settings, &[report.repeat(300), frame(0x81, b"x").repeat(5)].concat(), SECOND);
        assert_eq!(heard.iter().filter(|told| matches!(told, Told::Other(InboundItem::Report(_)))).count(), 300);
        assert_eq!(heard.iter().filter(|told| matches!(told, Told::Message(_, None))).count(), 5);
        assert_eq!(heard.last(), Some(&Told::Other(InboundItem::Passed(Limit::MessageRate))));
        assert_eq!((heard.len(), inbound.slowed_until_us()), (306, 2 * SECOND));
        // A report that names many rooms counts as several.
        assert_eq!(inbound.charge(&settings, 0, 100, 0, 2 * SECOND), Some(Limit::MessageRate));
        assert_eq!(inbound.slowed_until_us(), 3 * SECOND);
    }
}

#[test]
fn what_only_begins_as_a_report_has_the_rate_of_messages() {
    let settings = settings();
    for (first, text, codec) in [
        (0x81, &br#"{"type":"received","type":"publish","payload":{"count":1}}"#[..], Codec::Json),
        (0x81, br#"{"type":"received",]"#, Codec::Json),
        (0x81, br#"{"type":"received"}"#, Codec::Json),
        (0x81, br#"{"type":"received","payload":{"count":1},"payload":{"count":1}}"#, Codec::Json),
        (0x81, br#"{"type": "received", "payload": {"count": -1}}"#, Codec::Json),
        (0x81, br#"{"type":"received","payload":{"count":1}}"#, Codec::Msgpack),
        (0x82, b"\x82\xa4type\xa8received\xa7payload\x81\xa5count\x01", Codec::Json),
        (0x82, b"\x83\xa4type\xa8received\xa4type\xa7publish\xa7payload\x81\xa5count\x01", Codec::Msgpack),
        (0x82, b"\x82\xa4type\xa8received", Codec::Msgpack),
    ] {
        let mut inbound = Inbound::new(&settings, Arc::new(Rates::new(&settings.rates, 1.0)), Some(codec));
        let heard = hear(&mut inbound, &settings, &frame(first, text).repeat(100), SECOND);
        let what = String::from_utf8_lossy(text);
        assert_eq!(heard.iter().filter(|told| matches!(told, Told::Message(_, None))).count(), 5, "{what}");
        assert_eq!(heard.iter().filter(is_refused).count(), 4, "{what}");
        let is_failed = matches!(heard.last(), Some(Told::Other(InboundItem::Broke(Violation { code: 1008, .. }))));
        assert!(is_failed && inbound.is_over(), "{what}");
    }
}

#[test]
fn reports_that_are_right_are_no_messages() {
    let settings = settings();
    let right = |count| format!(r#"{{"type":"received","payload":{{"count":{count}}}}}"#);
    let report = |count| Told::Other(InboundItem::Report(Report { count, taken: None }));
    let wrong = r#"{"type":"received"}"#;
    let frames = [right(1), wrong.into(), "x".into(), right(2)].map(|text| frame(0x81, text.as_bytes())).concat();
    let heard = hear(&mut inbound(&settings, true), &settings, &frames, 0);
    assert_eq!(heard, [report(1), text(wrong), text("x"), report(2)]);
    // Reports over their rate are read all the same.
    let heard = hear(&mut inbound(&settings, true), &settings, &frame(0x81, right(3).as_bytes()).repeat(300), SECOND);
    assert_eq!((heard.len(), heard.last()), (301, Some(&Told::Other(InboundItem::Passed(Limit::MessageRate)))));
    // In a message of the other kind, or without a session, a report is an ordinary message.
    let packed = frame(0x82, b"\x82\xa4type\xa8received\xa7payload\x81\xa5count\x01");
    assert!(matches!(hear(&mut inbound(&settings, true), &settings, &packed, 0)[..], [Told::Message(..)]));
    let mut raw = inbound(&settings, false);
    assert_eq!(hear(&mut raw, &settings, &frame(0x81, right(1).as_bytes()), 0), [text(&right(1))]);
    let mut msgpack = Inbound::new(&settings, Arc::new(Rates::new(&settings.rates, 1.0)), Some(Codec::Msgpack));
    assert_eq!(hear(&mut msgpack, &settings, &packed, 0), [report(1)]);
}

#[test]
fn each_probe_may_be_answered_once() {
    let settings = settings();
    let mut inbound = inbound(&settings, true);
    let answers: Vec<_> = (0..100).flat_map(|number| frame(0x8A, format!("probe{number:03}").as_bytes())).collect();
    assert_eq!(hear(&mut inbound, &settings, &answers, 0).len(), 100);
    let heard = hear(&mut inbound, &settings, &answers, 0);
    assert!(heard.contains(&Told::Other(InboundItem::Passed(Limit::PingRate))));
}

fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 100);
    let mut zlib = flate2::Compress::new(flate2::Compression::new(6), false);
    zlib.compress_vec(payload, &mut bytes, flate2::FlushCompress::Sync).unwrap();
    frame(0xC1, &bytes[..bytes.len() - 4])
}

/// Reads as a shard does: what is left of a read is read again. Returns the sizes of the messages of each read.
fn reads(inbound: &mut Inbound, settings: &InboundSettings, mut bytes: Vec<u8>) -> Vec<Vec<usize>> {
    let mut reads = Vec::new();
    while !bytes.is_empty() {
        let mut heard = ReadOutcome::default();
        let decoded = inbound.hear(&mut bytes, settings, true, |_| false, 0, &mut heard);
        bytes.drain(..decoded);
        reads.push((0..heard.batch.len()).map(|place| heard.batch.get(place).payload.len()).collect());
    }
    reads
}

#[test]
fn messages_that_get_large_are_handed_up_before_the_next_ones_are_inflated() {
    let mut settings = settings();
    settings.limits.max_message = 100_000;
    settings.rates = RateSettings { message_rate: 0.0, ..settings.rates };
    let large = compressed(&[b'x'; 50_000]);
    assert!(large.len() < 120);
    for is_session in [false, true] {
        let mut inbound = inbound(&settings, is_session).inflating(true);
        let bytes = [large.repeat(5), frame(0x81, b"plain"), large.repeat(2)].concat();
        let expected = vec![vec![50_000; 2], vec![50_000; 2], vec![50_000, 5, 50_000], vec![50_000]];
        assert_eq!(reads(&mut inbound, &settings, bytes), expected);
    }
}

#[test]
fn rates_are_about_what_was_inflated() {
    let mut settings = settings();
    settings.rates = RateSettings { message_rate: 0.0, byte_rate: 1_000.0, byte_burst: 1_000.0, ..settings.rates };
    let message = compressed(&[b'x'; 3_000]);
    for is_session in [false, true] {
        let mut inbound = inbound(&settings, is_session).inflating(true);
        // A session may send one large message, and is refused the next; both count before more of it is read.
        let told = hear(&mut inbound, &settings, &message.repeat(2), 0);
        assert!(told.contains(&Told::Other(InboundItem::Passed(Limit::ByteRate))));
        assert_eq!(told.iter().any(|told| is_refused(&told)), is_session);
        assert_eq!(inbound.slowed_until_us(), 5 * SECOND, "{is_session}");
    }
    // Data without content counts by its own size.
    let mut inbound = inbound(&settings, false).inflating(true);
    let nothing = frame(0xC1, &[[0, 0, 0, 0xff, 0xff].repeat(20), vec![0]].concat());
    assert_eq!(hear(&mut inbound, &settings, &nothing.repeat(20), 0).len(), 21);
    assert_eq!(inbound.slowed_until_us(), 1_020_000);
}
