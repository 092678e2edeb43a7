//! The reader's end of a session (docs/protocol.md): join, count, acknowledge, report what was taken of a droppable room,
//! answer pings. Pure: bytes in, bytes out.
//! Not a parser of envelopes and not a client that resumes. The rule: a `message` costs a comparison at either end of
//! where the last one had its payload, and no allocation; only what is rare is searched.

use std::rc::Rc;

use crate::base64;
use crate::frame;
use crate::inflate::Offer;
use crate::protocol::{Protocol, after};
use crate::stamp;
use crate::transport::Transport;

/// What a scenario whose readers may have sessions can be told.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Sessions {
    /// The readers ask for this subprotocol and join their rooms themselves.
    #[arg(long)]
    pub subprotocol: Option<Protocol>,
    /// What carries messages to the readers; sessions over a fallback speak JSON.
    #[arg(long, value_enum, default_value_t)]
    pub transport: Transport,
    /// The readers ask for compression, and are refused by a server that does not agree.
    #[arg(long, value_enum)]
    pub deflate: Option<Offer>,
    /// The sessions take batches, and are refused by a server that sends none.
    #[arg(long, requires = "subprotocol")]
    pub batch: bool,
}

impl Sessions {
    /// The subprotocol's name; `None` without sessions.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.subprotocol.map(Protocol::name)
    }
}

/// What a frame of the server's was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A message of the room, with the stamp in its payload (when it was sent, and its number); it has none if it is not
    /// one of ours.
    Message(Option<(u64, u64)>),
    /// The room is joined.
    Joined,
    /// Nothing to act upon.
    Other,
}

/// The server broke the protocol, or refused the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    Joining,
    Joined,
}

/// One session.
#[derive(Debug, Clone)]
pub struct Session {
    /// What it speaks.
    pub protocol: Protocol,
    /// The number its next message should have.
    pub next: u64,
    /// What carries it. Over a fallback what is said are lines for a POST.
    pub transport: Transport,
    /// What the server has called the link; empty over WebSockets.
    pub link: Rc<str>,
    /// Whether it has asked for batches.
    pub takes_batches: bool,
    room: Rc<str>,
    stage: Stage,
    /// Where the last message's payload began.
    at: usize,
    counted: u64,
    frames: u64,
    bytes: u64,
    ack_frames: u64,
    ack_bytes: u64,
    /// Bytes of the room since it was last reported, and with how many it is; `None`: this room is not reported.
    untold: u64,
    report_bytes: Option<u64>,
    window: u64,
}

impl Session {
    /// A session to be, in which the first message of `room` should have the number `next`.
    #[must_use]
    pub fn new(protocol: Protocol, room: &str, next: u64) -> Self {
        Self {
            protocol,
            next,
            transport: Transport::WebSocket,
            link: "".into(),
            takes_batches: false,
            room: room.into(),
            stage: Stage::Greeting,
            at: 0,
            counted: 0,
            frames: 0,
            bytes: 0,
            // What `welcome` says takes their place.
            ack_frames: 512,
            ack_bytes: 65_536,
            untold: 0,
            report_bytes: None,
            window: 16_384,
        }
    }

    /// The same session over `transport`.
    #[must_use]
    pub fn over(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// The same session, which asks for batches.
    #[must_use]
    pub fn with_batches(self, takes_batches: bool) -> Self {
        Self { takes_batches, ..self }
    }

    /// Takes so many messages of the room, with all their bytes, that came as a frame known already.
    pub fn take_known(&mut self, count: u64, bytes: u64, out: &mut Vec<u8>) {
        self.counted += count;
        self.frames += count;
        self.bytes += bytes;
        self.untold += bytes;
        self.acknowledge_if_due(out);
    }

    /// Counted messages that have come.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// Takes one frame, whose first byte is `first`; what is to be answered goes to the end of `out`.
    ///
    /// # Errors
    /// [`Refused`] is the server's doing; the connection is of no further use.
    #[inline]
    pub fn take(&mut self, first: u8, envelope: &[u8], out: &mut Vec<u8>) -> Result<Seen, Refused> {
        if first != 0x80 | self.protocol.opcode() {
            return Err(Refused);
        }
        let message = match self.protocol {
            Protocol::Json => envelope.starts_with(br#"{"type":"message""#),
            // The byte before is the map's, whose size varies.
            Protocol::Msgpack => envelope.get(1..).is_some_and(|rest| rest.starts_with(b"\xA4type\xA7message")),
        };
        if !message || self.stage == Stage::Greeting {
            return self.rare(envelope, out);
        }
        self.count(envelope, out);
        Ok(Seen::Message(self.stamp(envelope)))
    }

    #[cold]
    fn rare(&mut self, envelope: &[u8], out: &mut Vec<u8>) -> Result<Seen, Refused> {
        let kind = self.protocol.word(envelope, "type").ok_or(Refused)?;
        match (kind, self.stage) {
            (b"welcome", Stage::Greeting) => {
                self.ack_frames = self.protocol.number(envelope, "ack_frames").unwrap_or(self.ack_frames).max(1);
                self.ack_bytes = self.protocol.number(envelope, "ack_bytes").unwrap_or(self.ack_bytes).max(1);
                self.window = self.protocol.number(envelope, "window").unwrap_or(self.window);
                if self.takes_batches && after(envelope, b"\"batch\":true").is_none() {
                    return Err(Refused);
                }
                if self.transport != Transport::WebSocket {
                    let link = self.protocol.word(envelope, "link").ok_or(Refused)?;
                    self.link = std::str::from_utf8(link).map_err(|_| Refused)?.into();
                }
                self.stage = Stage::Joining;
                self.say(out, &self.protocol.join(&self.room));
                return Ok(Seen::Other);
            }
            (_, Stage::Greeting) | (b"welcome", _) | (b"error", Stage::Joining) => return Err(Refused),
            (b"pong" | b"received", _) => return Ok(Seen::Other),
            (b"window", _) => {
                self.report_bytes = self.protocol.number(envelope, "bytes").map(part);
                self.acknowledge_if_due(out);
                return Ok(Seen::Other);
            }
            (b"ping", _) => {
                self.say(out, &self.protocol.pong());
                self.acknowledge(out);
                return Ok(Seen::Other);
            }
            _ => {}
        }
        self.count(envelope, out);
        match (kind, self.stage) {
            (b"message", _) => Ok(Seen::Message(self.stamp(envelope))),
            (b"joined", Stage::Joining) => {
                self.stage = Stage::Joined;
                if self.protocol.word(envelope, "delivery").is_some_and(|class| class != b"reliable") {
                    self.report_bytes = Some(part(self.window));
                    self.acknowledge(out);
                }
                Ok(Seen::Joined)
            }
            _ => Ok(Seen::Other),
        }
    }

    #[inline]
    fn count(&mut self, envelope: &[u8], out: &mut Vec<u8>) {
        self.counted += 1;
        self.frames += 1;
        self.bytes += envelope.len() as u64;
        self.untold += envelope.len() as u64;
        self.acknowledge_if_due(out);
    }

    #[inline]
    fn acknowledge_if_due(&mut self, out: &mut Vec<u8>) {
        let is_report_due = self.report_bytes.is_some_and(|bytes| self.untold >= bytes);
        let is_count_due = self.frames >= self.ack_frames || self.bytes >= self.ack_bytes;
        // Each poll acknowledges by itself.
        if is_report_due || (is_count_due && self.transport != Transport::LongPoll) {
            self.acknowledge(out);
        }
    }

    #[cold]
    fn acknowledge(&mut self, out: &mut Vec<u8>) {
        (self.frames, self.bytes, self.untold) = (0, 0, 0);
        let taken = self.report_bytes.is_some().then_some(&*self.room);
        self.say(out, &self.protocol.received(self.counted, taken));
    }

    fn say(&self, out: &mut Vec<u8>, envelope: &[u8]) {
        match self.transport {
            Transport::WebSocket => frame::push_masked(out, self.protocol.opcode(), envelope),
            Transport::Sse | Transport::LongPoll => {
                out.extend_from_slice(envelope);
                out.push(b'\n');
            }
        }
    }

    /// The stamp at the beginning of the payload, which is bytes (base64 in JSON) or a JSON object.
    #[inline]
    fn stamp(&mut self, envelope: &[u8]) -> Option<(u64, u64)> {
        let key: &[u8] = match self.protocol {
            Protocol::Json => b"\"payload\":",
            Protocol::Msgpack => b"\xA7payload",
        };
        // The head of an envelope only changes its length with the number of digits in it.
        if envelope.get(..self.at).is_none_or(|head| !head.ends_with(key)) {
            self.at = after(envelope, key)?;
        }
        let rest = &envelope[self.at..];
        match self.protocol {
            Protocol::Json if rest.starts_with(b"{") => stamp::read_json(rest),
            Protocol::Json => stamp::read(&base64::decode(rest.strip_prefix(b"\"")?.first_chunk()?)?),
            Protocol::Msgpack => {
                let size = 1 << rest.first()?.checked_sub(0xC4).filter(|&form| form < 3)?;
                stamp::read(rest.get(1 + size..)?)
            }
        }
    }
}

/// Bytes of a window that are taken before the room is reported: a quarter, and half of one that is never full.
fn part(window: u64) -> u64 {
    if window < 65_536 { (window / 4).max(1) } else { (window / 4).max(32_768) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base64::VALUES;
    use crate::protocol::{JOIN, text};

    const BOTH: [Protocol; 2] = [Protocol::Json, Protocol::Msgpack];
    const WELCOME: &str = r#"{"type":"welcome","payload":{"ack_frames":3,"ack_bytes":1000}}"#;

    fn first(protocol: Protocol) -> u8 {
        0x80 | protocol.opcode()
    }

    /// An envelope of nothing but strings; a payload of bytes last, as text where the protocol has no bytes.
    fn envelope(protocol: Protocol, fields: &[(&str, &str)], payload: Option<&[u8; 16]>) -> Vec<u8> {
        match protocol {
            Protocol::Json => {
                let mut parts: Vec<_> = fields.iter().map(|(name, word)| format!(r#""{name}":"{word}""#)).collect();
                parts.extend(payload.map(|bytes| format!(r#""encoding":"base64","payload":"{}""#, encoded(bytes))));
                format!("{{{}}}", parts.join(",")).into_bytes()
            }
            Protocol::Msgpack => {
                let count = u8::try_from(fields.len()).unwrap() + u8::from(payload.is_some());
                let mut out = vec![0x80 | count];
                fields.iter().for_each(|(name, word)| out.extend([text(name), text(word)].concat()));
                if let Some(bytes) = payload {
                    out.extend([&text("payload"), &[0xC4, 16][..], bytes].concat());
                }
                out
            }
        }
    }

    fn encoded(bytes: &[u8; 16]) -> String {
        let letter = |at: usize| {
            let sum = u128::from_be_bytes(*bytes);
            let value = if at < 21 { sum >> (122 - 6 * at) & 63 } else { (sum & 3) << 4 };
            char::from(u8::try_from(VALUES.iter().position(|&v| u128::from(v) == value).unwrap()).unwrap())
        };
        (0..22).map(letter).chain("==".chars()).collect()
    }

    fn welcome(protocol: Protocol) -> Vec<u8> {
        match protocol {
            Protocol::Json => WELCOME.into(),
            Protocol::Msgpack => {
                let words = [text("type"), text("welcome"), text("payload")].concat();
                let numbers = [text("ack_frames"), vec![3], text("ack_bytes"), vec![0xCD, 0x03, 0xE8]].concat();
                [&[0x82], &words[..], &[0x82], &numbers].concat()
            }
        }
    }

    fn said(out: &mut Vec<u8>) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        let used = frame::walk_masked(out, |_, payload| seen.push(payload.to_vec()));
        assert_eq!(used, Ok(out.len()));
        out.clear();
        seen
    }

    fn joined(protocol: Protocol) -> Session {
        let (mut session, mut out) = (Session::new(protocol, "all", 0), Vec::new());
        assert_eq!(session.take(first(protocol), &welcome(protocol), &mut out), Ok(Seen::Other));
        assert_eq!(said(&mut out), [protocol.join("all")]);
        let answer = envelope(protocol, &[("type", "joined"), ("re", JOIN), ("room", "all")], None);
        assert_eq!(session.take(first(protocol), &answer, &mut out), Ok(Seen::Joined));
        assert!(out.is_empty());
        session
    }

    #[test]
    fn what_is_said_is_the_protocols() {
        assert_eq!(Protocol::Json.join("a"), br#"{"id":"join","room":"a","type":"join"}"#);
        assert_eq!(Protocol::Json.received(512, None), br#"{"type":"received","payload":{"count":512}}"#);
        assert_eq!(Protocol::Msgpack.join("a"), b"\x83\xA4type\xA4join\xA2id\xA4join\xA4room\xA1a");
        let received = b"\x82\xA4type\xA8received\xA7payload\x81\xA5count\xCF\0\0\0\0\0\0\x02\0";
        assert_eq!(Protocol::Msgpack.received(512, None), received);
        let taken = br#"{"type":"received","payload":{"count":5,"taken":{"all":{"count":5}}}}"#;
        assert_eq!(Protocol::Json.received(5, Some("all")), taken);
        let taken = b"\x82\xA4type\xA8received\xA7payload\x82\xA5count\xCF\0\0\0\0\0\0\0\x05\
            \xA5taken\x81\xA3all\x81\xA5count\xCF\0\0\0\0\0\0\0\x05";
        assert_eq!(Protocol::Msgpack.received(5, Some("all")), taken);
    }

    #[test]
    fn stamps_are_found_wherever_the_payload_moves() {
        for protocol in BOTH {
            let (mut session, mut out) = (joined(protocol), Vec::new());
            for seq in ["9", "10", "9", "100000"] {
                for fields in [[("type", "message"), ("seq", seq)], [("seq", seq), ("type", "message")]] {
                    let message = envelope(protocol, &fields, Some(b"abcdefghijklmnop"));
                    let seen = session.take(first(protocol), &message, &mut out);
                    assert_eq!(seen, Ok(Seen::Message(stamp::read(b"abcdefghijklmnop"))));
                }
            }
            let foreign = envelope(protocol, &[("type", "message"), ("payload", "short")], None);
            assert_eq!(session.take(first(protocol), &foreign, &mut out), Ok(Seen::Message(None)));
        }
    }

    #[test]
    fn who_asks_for_batches_is_refused_without_them_and_counts_what_is_known() {
        let asking = || Session::new(Protocol::Json, "all", 0).with_batches(true);
        let mut out = Vec::new();
        assert_eq!(asking().take(first(Protocol::Json), WELCOME.as_bytes(), &mut out), Err(Refused));
        let welcome = WELCOME.replace("{\"ack_frames\"", "{\"batch\":true,\"ack_frames\"");
        let mut session = asking();
        assert_eq!(session.take(first(Protocol::Json), welcome.as_bytes(), &mut out), Ok(Seen::Other));
        out.clear();
        session.take_known(2, 100, &mut out);
        assert_eq!((session.counted(), out.len()), (2, 0));
        session.take_known(1, 50, &mut out);
        assert_eq!(session.counted(), 3);
        let mut said = Vec::new();
        assert!(frame::walk_masked(&mut out, |_, text| said.push(text.to_vec())).is_ok());
        assert_eq!(said, [Protocol::Json.received(3, None)]);
    }

    #[test]
    fn counted_messages_are_acknowledged_by_number_and_by_bytes() {
        for protocol in BOTH {
            let (mut session, mut out) = (joined(protocol), Vec::new());
            let message = envelope(protocol, &[("type", "message")], Some(&[7; 16]));
            let left = envelope(protocol, &[("type", "left")], None);
            let received = envelope(protocol, &[("type", "received")], None);
            for bytes in [&message, &received, &left] {
                assert!(said(&mut out).is_empty());
                assert!(session.take(first(protocol), bytes, &mut out).is_ok());
            }
            // `joined`, `message` and `left`, of which welcome wants three.
            assert_eq!(said(&mut out), [protocol.received(3, None)]);
            let long = "x".repeat(200);
            let fields = [("type", "message"); 1].into_iter().chain([("key", long.as_str()); 5]).collect::<Vec<_>>();
            let seen = session.take(first(protocol), &envelope(protocol, &fields, None), &mut out);
            assert_eq!(seen, Ok(Seen::Message(None)));
            assert_eq!(said(&mut out), [protocol.received(4, None)]);
        }
    }

    #[test]
    fn a_ping_is_answered_with_pong_and_received_and_is_not_counted() {
        for protocol in BOTH {
            let (mut session, mut out) = (joined(protocol), Vec::new());
            let ping = envelope(protocol, &[("type", "ping")], None);
            assert_eq!(session.take(first(protocol), &ping, &mut out), Ok(Seen::Other));
            assert_eq!(said(&mut out), [protocol.pong(), protocol.received(1, None)]);
        }
    }

    #[test]
    fn a_droppable_room_is_reported_by_quarters_of_its_window() {
        for protocol in BOTH {
            let (mut session, mut out) = (Session::new(protocol, "all", 0), Vec::new());
            session.take(first(protocol), &welcome(protocol), &mut out).unwrap();
            said(&mut out);
            let joined = envelope(protocol, &[("type", "joined"), ("re", JOIN), ("delivery", "latest")], None);
            assert_eq!(session.take(first(protocol), &joined, &mut out), Ok(Seen::Joined));
            assert_eq!(said(&mut out), [protocol.received(1, Some("all"))]);
            let message = envelope(protocol, &[("type", "message")], Some(&[7; 16]));
            session.take(first(protocol), &message, &mut out).unwrap();
            assert!(said(&mut out).is_empty());
            let window = match protocol {
                Protocol::Json => br#"{"type":"window","room":"all","payload":{"bytes":40}}"#.to_vec(),
                Protocol::Msgpack => [&[0x82][..], &text("type"), &text("window"), &text("bytes"), &[40]].concat(),
            };
            // A smaller window makes what was taken before worth telling; it is not counted itself.
            assert_eq!(session.take(first(protocol), &window, &mut out), Ok(Seen::Other));
            assert_eq!(said(&mut out), [protocol.received(2, Some("all"))]);
            session.take(first(protocol), &message, &mut out).unwrap();
            assert_eq!(said(&mut out), [protocol.received(3, Some("all"))]);
        }
    }

    #[test]
    fn over_a_fallback_what_is_said_are_lines_and_polls_acknowledge() {
        let welcome = r#"{"type":"welcome","payload":{"link":"n.1","ack_frames":1}}"#;
        for (transport, said) in
            [(Transport::Sse, "{\"type\":\"received\",\"payload\":{\"count\":1}}\n"), (Transport::LongPoll, "")]
        {
            let (mut session, mut out) = (Session::new(Protocol::Json, "all", 0).over(transport), Vec::new());
            assert_eq!(session.take(0x81, WELCOME.as_bytes(), &mut out), Err(Refused), "no link");
            assert_eq!(session.take(0x81, welcome.as_bytes(), &mut out), Ok(Seen::Other));
            assert_eq!(&*session.link, "n.1");
            assert_eq!(out, [&Protocol::Json.join("all")[..], b"\n"].concat());
            out.clear();
            let joined = envelope(Protocol::Json, &[("type", "joined"), ("re", JOIN)], None);
            assert_eq!(session.take(0x81, &joined, &mut out), Ok(Seen::Joined));
            assert_eq!(out, said.as_bytes());
            assert_eq!(session.counted(), 1);
        }
    }

    #[test]
    fn a_server_that_does_not_greet_or_refuses_the_room_is_left() {
        for protocol in BOTH {
            let mut out = Vec::new();
            let fields = [("type", "message")];
            let message = envelope(protocol, &fields, Some(&[0; 16]));
            let mut session = Session::new(protocol, "all", 0);
            assert_eq!(session.take(first(protocol), &message, &mut out), Err(Refused));
            assert_eq!(session.take(first(protocol) ^ 3, &welcome(protocol), &mut out), Err(Refused));
            assert_eq!(session.take(first(protocol), &welcome(protocol), &mut out), Ok(Seen::Other));
            let error = envelope(protocol, &[("type", "error")], None);
            assert_eq!(session.take(first(protocol), &error, &mut out), Err(Refused));
            assert_eq!(session.take(first(protocol), b"", &mut out), Err(Refused));
        }
    }
}
