//! The client's end of a JSON session that may come back (docs/protocol.md): greet, count, acknowledge, keep the books
//! of one room. Pure: bytes in, bytes out. Not a connection: it outlives them.

use crate::book::{Ledger, Values};
use crate::envelope::{self, Envelope};
use crate::frame;
use crate::session::Refused;

/// The books of the one room.
#[derive(Debug, Clone)]
pub enum Book {
    /// Of a room whose numbers all arrive.
    Stream(Ledger),
    /// Of a room of latest values, and when every key had one.
    Latest(Values, Option<u64>),
}

/// What the last `welcome` said.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Whether it is the session that was asked for.
    pub resumed: bool,
    /// Why not.
    pub reason: Option<String>,
    /// How many counted messages of this client the server has.
    pub received: u64,
}

/// One client.
#[derive(Debug, Clone)]
pub struct Client {
    /// What it has received.
    pub book: Book,
    /// What the present connection was greeted with.
    pub greeting: Option<Greeting>,
    /// The room's newest message when it was joined.
    pub joined: Option<u64>,
    /// When the last message of the room came.
    pub seen: u64,
    /// Messages whose payload is not that of their number.
    pub foreign: u64,
    /// The room's number of the bench's message 0.
    pub offset: Option<u64>,
    session: String,
    counted: u64,
    frames: u64,
    bytes: u64,
    ack_frames: u64,
    ack_bytes: u64,
}

impl Client {
    /// A client that has not been there.
    #[must_use]
    pub fn new(book: Book) -> Self {
        Self {
            book,
            greeting: None,
            joined: None,
            seen: 0,
            foreign: 0,
            offset: None,
            session: String::new(),
            counted: 0,
            frames: 0,
            bytes: 0,
            // What `welcome` says takes their place.
            ack_frames: 512,
            ack_bytes: 65_536,
        }
    }

    /// The connection is lost; gives the path of the next one.
    pub fn away(&mut self) -> String {
        self.greeting = None;
        (self.frames, self.bytes) = (0, 0);
        if self.session.is_empty() {
            return "/".to_owned();
        }
        format!("/?session={}&received={}", self.session, self.counted)
    }

    /// The message that joins `room`.
    #[must_use]
    pub fn join(room: &str) -> Vec<u8> {
        serde_json::json!({"type": "join", "id": "join", "room": room}).to_string().into_bytes()
    }

    /// Takes one frame of the instant `now`, whose first byte is `first`; what is to be answered goes to the end of
    /// `out`. True when the frame was the greeting.
    ///
    /// # Errors
    /// [`Refused`] is the server's doing; the connection is of no further use.
    pub fn take(&mut self, first: u8, bytes: &[u8], now: u64, out: &mut Vec<u8>) -> Result<bool, Refused> {
        if first != 0x80 | frame::TEXT {
            return Err(Refused);
        }
        let said = Envelope::read(bytes).ok_or(Refused)?;
        match (said.kind, self.greeting.is_some()) {
            (b"welcome", false) => {
                self.welcome(&said)?;
                return Ok(true);
            }
            (b"welcome", true) | (_, false) => return Err(Refused),
            (b"pong" | b"received" | b"window", _) => return Ok(false),
            (b"ping", _) => {
                frame::push_masked(out, frame::TEXT, br#"{"type":"pong"}"#);
                self.acknowledge(out);
                return Ok(false);
            }
            _ => {}
        }
        self.counted += 1;
        self.frames += 1;
        self.bytes += bytes.len() as u64;
        match said.kind {
            b"message" => self.message(&said, now)?,
            b"joined" => {
                let seq = said.seq.ok_or(Refused)?;
                self.joined = Some(seq);
                match &mut self.book {
                    Book::Stream(ledger) => ledger.join(seq),
                    Book::Latest(values, _) => values.join(seq),
                }
            }
            b"skipped" => {
                let found = (said.count("count"), said.count("first"), said.count("last"));
                let (Some(count), Some(first), Some(last)) = found else { return Err(Refused) };
                match &mut self.book {
                    Book::Stream(ledger) => ledger.skip(count),
                    Book::Latest(values, _) => values.skip(count, first, last),
                }
            }
            b"error" | b"left" => return Err(Refused),
            _ => {}
        }
        if self.frames >= self.ack_frames || self.bytes >= self.ack_bytes {
            self.acknowledge(out);
        }
        Ok(false)
    }

    fn welcome(&mut self, said: &Envelope<'_>) -> Result<(), Refused> {
        self.ack_frames = said.count("ack_frames").unwrap_or(self.ack_frames).max(1);
        self.ack_bytes = said.count("ack_bytes").unwrap_or(self.ack_bytes).max(1);
        let resumed = said.field("resumed") == Some(b"true");
        if !resumed {
            self.session = said.word("session").ok_or(Refused)?;
            self.counted = 0;
        }
        let received = said.count("received").ok_or(Refused)?;
        self.greeting = Some(Greeting { resumed, reason: said.word("reason"), received });
        Ok(())
    }

    fn message(&mut self, said: &Envelope<'_>, now: u64) -> Result<(), Refused> {
        let seq = said.seq.ok_or(Refused)?;
        self.seen = now;
        // Every message of the room is the bench's, so the room's numbers and ours always differ by the same.
        let offset = said.stamp().map(|(_, number)| seq.wrapping_sub(number));
        self.offset = self.offset.or(offset);
        if offset.is_none() || offset != self.offset {
            self.foreign += 1;
        }
        match &mut self.book {
            Book::Stream(ledger) => ledger.take(seq),
            Book::Latest(values, whole) => {
                let key = said.key.and_then(envelope::number).and_then(|key| usize::try_from(key).ok());
                values.take(key, seq);
                if whole.is_none() && values.whole() {
                    *whole = Some(now);
                }
            }
        }
        Ok(())
    }

    fn acknowledge(&mut self, out: &mut Vec<u8>) {
        (self.frames, self.bytes) = (0, 0);
        let text = format!(r#"{{"type":"received","payload":{{"count":{}}}}}"#, self.counted);
        frame::push_masked(out, frame::TEXT, text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: u8 = 0x80 | frame::TEXT;

    fn take(client: &mut Client, text: &str) -> (Result<bool, Refused>, Vec<String>) {
        let (mut out, mut said) = (Vec::new(), Vec::new());
        let found = client.take(TEXT, text.as_bytes(), 5, &mut out);
        let used = frame::walk_masked(&mut out, |_, payload| said.push(String::from_utf8_lossy(payload).into_owned()));
        assert_eq!(used, Ok(out.len()));
        (found, said)
    }

    fn greeted() -> Client {
        let mut client = Client::new(Book::Stream(Ledger::default()));
        let text = r#"{"type":"welcome","payload":{"session":"abc","resumed":false,"received":0,"ack_frames":3}}"#;
        assert_eq!(take(&mut client, text), (Ok(true), vec![]));
        client
    }

    #[test]
    fn it_counts_acknowledges_and_comes_back_with_its_count() {
        let mut client = greeted();
        assert_eq!(take(&mut client, r#"{"type":"joined","re":"join","seq":1}"#), (Ok(false), vec![]));
        assert_eq!(take(&mut client, r#"{"type":"received","payload":{"count":1}}"#), (Ok(false), vec![]));
        // 2 in 8 bytes after a time of 0.
        let message = r#"{"type":"message","seq":2,"payload":"AAAAAAAAAAACAAAAAAAAAC4="}"#;
        assert_eq!(take(&mut client, message), (Ok(false), vec![]));
        assert_eq!((client.foreign, client.seen, client.joined), (0, 5, Some(1)));
        let acknowledged = vec![r#"{"type":"received","payload":{"count":3}}"#.to_owned()];
        assert_eq!(take(&mut client, &message.replace("\"seq\":2", "\"seq\":3")), (Ok(false), acknowledged));
        assert_eq!(client.foreign, 1);
        assert_eq!(client.away(), "/?session=abc&received=3");
        let back = r#"{"type":"welcome","payload":{"session":"abc","resumed":true,"received":1}}"#;
        assert_eq!(take(&mut client, back).0, Ok(true));
        assert!(client.greeting.as_ref().is_some_and(|greeting| greeting.resumed && greeting.received == 1));
        assert_eq!(client.away(), "/?session=abc&received=3");
    }

    #[test]
    fn a_new_session_counts_from_0_and_says_why() {
        let mut client = greeted();
        assert_eq!(take(&mut client, r#"{"type":"joined","seq":1}"#).0, Ok(false));
        client.away();
        let other = r#"{"type":"welcome","payload":{"session":"x","resumed":false,"received":0,"reason":"overflow"}}"#;
        assert_eq!(take(&mut client, other).0, Ok(true));
        assert_eq!(client.greeting.as_ref().and_then(|g| g.reason.as_deref()), Some("overflow"));
        assert_eq!(client.away(), "/?session=x&received=0");
    }

    #[test]
    fn pings_are_answered_and_what_breaks_the_protocol_is_refused() {
        let mut client = greeted();
        let (found, said) = take(&mut client, r#"{"type":"ping"}"#);
        assert_eq!((found, said.len()), (Ok(false), 2));
        assert_eq!(take(&mut client, r#"{"type":"welcome","payload":{}}"#).0, Err(Refused));
        assert_eq!(take(&mut client, r#"{"type":"error","payload":{"code":"forbidden"}}"#).0, Err(Refused));
        assert_eq!(take(&mut client, "{").0, Err(Refused));
        assert_eq!(take(&mut Client::new(Book::Stream(Ledger::default())), r#"{"type":"ping"}"#).0, Err(Refused));
    }

    #[test]
    fn a_room_of_latest_values_is_whole_when_every_key_came() {
        let mut client = Client::new(Book::Latest(Values::new(1), None));
        for (text, greeting) in [
            (r#"{"type":"welcome","payload":{"session":"abc","resumed":false,"received":0}}"#, true),
            (r#"{"type":"joined","seq":2}"#, false),
            (r#"{"type":"skipped","payload":{"reason":"replaced","count":1,"first":3,"last":3}}"#, false),
        ] {
            assert_eq!(take(&mut client, text).0, Ok(greeting));
        }
        assert!(matches!(&client.book, Book::Latest(values, None) if values.sums() == (0, 0, 1)));
        let message = r#"{"type":"message","seq":4,"key":"0","payload":"AAAAAAAAAAAEAAAAAAAAAC4="}"#;
        assert_eq!(take(&mut client, message).0, Ok(false));
        assert!(matches!(&client.book, Book::Latest(values, Some(5)) if values.sums() == (0, 1, 1)));
    }
}
