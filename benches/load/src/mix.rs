//! What hostile connections do: a table of kinds, each with its share of the mix. Pure: bytes and waits, no sockets. Not
//! the hostile suite (`tests/hostile/`), which holds each answer against what it should be; here they come in numbers.
//! The rule: the same seed and tokens make the same raid.

use std::collections::VecDeque;
use std::rc::Rc;

use anyhow::{Result, ensure};

use crate::clock::SECOND;
use crate::frame;
use crate::handshake::{self, NONCE};
use crate::pace::Dice;
use crate::tokens::Tokens;

/// One thing that a hostile connection does; it goes on to the next when it has done it.
#[derive(Debug, Clone)]
pub enum Act {
    /// Sends these bytes.
    Send(Rc<[u8]>),
    /// Sends these bytes so often, as fast as the socket takes them.
    Flood(Rc<[u8]>, u32),
    /// Sends these bytes over and over, with so many nanoseconds between, until the server ends it.
    Drip(Rc<[u8]>, u64),
    /// Waits for the 101.
    Upgrade,
    /// Reads for so many nanoseconds, or until the server ends it.
    Read(u64),
    /// Never reads for so many nanoseconds, with the smallest window there is.
    Deaf(u64),
    /// Goes away with a FIN.
    Leave,
    /// Goes away with a RST.
    Reset,
}

/// What a connection does, one after the other.
pub type Plan = VecDeque<Act>;

/// A kind of hostile connection.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// What it is called in reports.
    pub name: &'static str,
    /// How many of [`Arsenal::total`] are of this kind.
    pub share: u64,
    plan: fn(&mut Arsenal) -> Vec<Act>,
}

/// Whoever is not ended by the server in this time has not been noticed: `handshake_timeout` and `close_timeout` of the
/// server are 5 s.
const PATIENCE: u64 = 8 * SECOND;
/// As long as a flood may be dealt with before its sender goes.
const MOMENT: u64 = SECOND / 2;

const SESSION: Option<&str> = Some("fanwire.v1.json");

/// Before the upgrade anybody may come; after it only those whom the server has let in, so that these bear tokens of
/// their own ("insiders"). The shares are a judgement: three quarters are never let in, which is what the open
/// internet sends, and every kind that holds something for seconds is rare enough for [`crate::raid`]'s bound.
pub const KINDS: &[Kind] = &[
    // Nothing, or not HTTP.
    kind("connect-and-leave", 60, |_| vec![Act::Leave]),
    kind("connect-and-reset", 30, |_| vec![Act::Reset]),
    kind("silence", 30, |_| vec![Act::Read(PATIENCE)]),
    kind("garbage", 60, |a| vec![a.noise(), Act::Read(PATIENCE)]),
    kind("tls-hello", 40, |_| vec![send(TLS_HELLO), Act::Read(PATIENCE)]),
    // Heads that do not end.
    kind("half-a-head", 20, |a| vec![a.half(), Act::Read(PATIENCE)]),
    kind("endless-head", 20, |a| vec![a.half(), Act::Drip(b"X-More: and more\r\n"[..].into(), SECOND / 2)]),
    kind("reset-in-head", 40, |a| vec![a.half(), Act::Reset]),
    kind("reset-in-handshake", 40, |a| vec![a.insider("/", None), Act::Reset]),
    kind("huge-head", 30, |_| refused(&with(&format!("X-Huge: {}\r\n", "x".repeat(20_000))))),
    kind("many-headers", 20, |_| refused(&with(&"X-One: 1\r\n".repeat(300)))),
    // Heads that are wrong.
    kind("bad-key", 50, |a| {
        let key = a.one(&["", "not base64!", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZQ=", "////////////"]);
        refused(&good().replace(NONCE, key))
    }),
    kind("wrong-version", 40, |a| {
        let version = a.one(&["Version: 8", "Version: 0", "Version: 13, 8", "Version: thirteen", "Version: 130"]);
        refused(&good().replace("Version: 13", version))
    }),
    kind("doubled-header", 50, |a| {
        let line = a.one(&[
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "Sec-WebSocket-Version: 13\r\n",
            "Host: localhost\r\n",
            "Upgrade: websocket\r\n",
            "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
        ]);
        refused(&with(line))
    }),
    kind("smuggling", 50, |a| {
        let line = a.one(&[
            "Transfer-Encoding: chunked\r\n",
            "Content-Length: 44\r\n",
            "Content-Length: 44\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 0\r\nContent-Length: 44\r\n",
            "Transfer-Encoding: xchunked\r\n",
        ]);
        refused(&format!("{}GET /inner HTTP/1.1\r\nHost: inner\r\n\r\n", with(line)))
    }),
    kind("bad-line", 50, |a| {
        let line = a.one(&[
            "X-Nul: a\0b\r\n",
            "X-Folded: a\r\n b\r\n",
            "X-Space : a\r\n",
            "X-Latin: \u{e9}\r\n",
            "no colon\r\n",
            "Origin: \r\nOrigin: null\r\n",
        ]);
        refused(&with(line))
    }),
    kind("bad-target", 40, |a| {
        let target = a.one(&["http://else.where/", "*", "/\u{e9}", "/a b", "//../../etc/passwd\0", "nowhere:443"]);
        refused(&good().replace("GET / ", &format!("GET {target} ")))
    }),
    kind("plain-http", 40, |a| {
        let line = a.one(&["GET /wp-login.php", "GET /metrics", "POST /rooms/all", "PUT /", "TRACE /"]);
        refused(&format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"))
    }),
    // Nobody the server knows.
    kind("no-token", 40, |_| refused(&good())),
    kind("forged-token", 50, |a| a.stranger("forged")),
    kind("foreign-token", 50, |a| a.stranger("foreign")),
    kind("expired-token", 50, |a| a.stranger("expired")),
    kind("alg-none-token", 50, |a| a.stranger("none")),
    // Insiders who break the protocol.
    kind("unmasked", 40, |a| a.breach(b"\x82\x05hello")),
    kind("reserved-bit", 30, |a| a.breach(&masked(0xC2, b"hello"))),
    kind("bad-opcode", 30, |a| a.breach(&masked(0x83, b"hello"))),
    kind("bad-utf8", 30, |a| a.breach(&masked(0x81, b"caf\xC3(\xED\xA0\x80"))),
    kind("orphan-continuation", 20, |a| a.breach(&masked(0x80, b"hello"))),
    kind("bad-control", 20, |a| {
        let breach = [masked(0x89, &[b'.'; 126]), masked(0x09, b"half"), masked(0x88, &[3]), masked(0x88, &[3, 237])];
        let at = a.below(breach.len());
        a.breach(&breach[at])
    }),
    kind("oversized", 30, |a| {
        let length = [1u64 << 40, (1 << 63) - 1, u64::MAX, 2 << 20][a.below(4)];
        a.breach(&[&[0x82, 0xFF][..], &length.to_be_bytes(), &frame::KEY].concat())
    }),
    kind("reset-in-frame", 20, |a| {
        vec![a.insider("/", None), Act::Upgrade, send(&masked(0x82, &[b'.'; 400])[..200]), Act::Reset]
    }),
    // Insiders who do too much of what is allowed.
    kind("ping-flood", 20, |a| a.flood("/", None, |blocks| &blocks.pings, 8)),
    kind("fragment-flood", 20, |a| {
        let mut acts = a.flood("/", None, |blocks| &blocks.fragments, 4);
        acts.insert(2, send(&masked(0x01, b"")));
        acts
    }),
    kind("message-flood", 10, |a| a.flood("/sink", None, |blocks| &blocks.messages, 3)),
    kind("join-flood", 20, |a| a.flood("/", SESSION, |blocks| &blocks.joins, 1)),
    kind("junk-flood", 10, |a| a.flood("/", SESSION, |blocks| &blocks.junk, 10)),
    kind("guessed-session", 20, |a| {
        let path = format!("/?session={:032x}&received=7", a.dice.below(u64::MAX));
        vec![a.insider(&path, SESSION), Act::Upgrade, Act::Leave]
    }),
    kind("zero-window", 10, |a| vec![a.insider("/rooms/0", None), Act::Upgrade, Act::Deaf(4 * SECOND)]),
];

/// What plans are made of.
#[derive(Debug)]
pub struct Arsenal {
    dice: Dice,
    tokens: Tokens,
    blocks: Blocks,
    kinds: Vec<usize>,
    total: u64,
}

#[derive(Debug)]
struct Blocks {
    pings: Rc<[u8]>,
    fragments: Rc<[u8]>,
    messages: Rc<[u8]>,
    joins: Rc<[u8]>,
    junk: Rc<[u8]>,
}

impl Arsenal {
    /// For the kinds of these names, all of them when there are none.
    ///
    /// # Errors
    /// The operator's: there is no kind of that name.
    pub fn new(seed: u64, tokens: Tokens, names: &[String]) -> Result<Self> {
        for name in names {
            let known = || KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
            ensure!(KINDS.iter().any(|kind| kind.name == name), "no kind {name}; known are {}", known());
        }
        let wanted = |kind: &Kind| names.is_empty() || names.iter().any(|name| name == kind.name);
        let kinds: Vec<_> = (0..KINDS.len()).filter(|&at| wanted(&KINDS[at])).collect();
        let total = kinds.iter().map(|&at| KINDS[at].share).sum();
        Ok(Self { dice: Dice::new(seed), tokens, blocks: Blocks::new(), kinds, total })
    }

    /// The next connection: its place in [`KINDS`] and what it does.
    pub fn draw(&mut self) -> (usize, Plan) {
        let mut left = self.dice.below(self.total);
        let mut found = 0;
        for &at in &self.kinds {
            found = at;
            if left < KINDS[at].share {
                break;
            }
            left -= KINDS[at].share;
        }
        (found, (KINDS[found].plan)(self).into())
    }

    /// The sum of the shares of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.dice.below(bound as u64)).unwrap_or(0)
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn noise(&mut self) -> Act {
        let size = 16 + self.below(500);
        // An odd byte first: what begins with a letter could be the beginning of a method, and be waited for.
        let noise = (0..size).map(|_| u8::try_from(self.dice.below(256)).unwrap_or(0));
        Act::Send([0x80].into_iter().chain(noise).collect())
    }

    fn half(&mut self) -> Act {
        let whole = good();
        let cut = 20 + self.below(whole.len() - 30);
        send(&whole.as_bytes()[..cut])
    }

    fn token(&mut self, name: &str) -> String {
        let tokens = self.tokens.of(name);
        // Without a file of tokens the server asks for none, and one that is no token will do.
        tokens.get(self.below(tokens.len().max(1))).cloned().unwrap_or_else(|| "eyJhbGciOiJub25lIn0.e30.".to_owned())
    }

    fn insider(&mut self, path: &str, subprotocol: Option<&str>) -> Act {
        let token = self.token("insiders");
        Act::Send(handshake::request(path, subprotocol, Some(&token)).into())
    }

    fn stranger(&mut self, name: &str) -> Vec<Act> {
        let token = self.token(name);
        vec![Act::Send(handshake::request("/", None, Some(&token)).into()), Act::Read(PATIENCE)]
    }

    fn breach(&mut self, frames: &[u8]) -> Vec<Act> {
        vec![self.insider("/", None), Act::Upgrade, send(frames), Act::Read(PATIENCE)]
    }

    fn flood(&mut self, path: &str, subprotocol: Option<&str>, of: fn(&Blocks) -> &Rc<[u8]>, times: u32) -> Vec<Act> {
        let block = Rc::clone(of(&self.blocks));
        vec![self.insider(path, subprotocol), Act::Upgrade, Act::Flood(block, times), Act::Read(MOMENT)]
    }
}

impl Blocks {
    fn new() -> Self {
        let frames = |count: u32, frame: &dyn Fn(u32) -> Vec<u8>| (0..count).flat_map(frame).collect::<Rc<[u8]>>();
        let text = |text: &str| masked(0x80 | frame::TEXT, text.as_bytes());
        let junk = [
            "[".repeat(10_000),
            r#"{"type":"join","type":"leave","id":"1","room":"a","room":"b"}"#.to_owned(),
            format!(r#"{{"type":"join","id":"2","room":"{}"}}"#, "r".repeat(10_000)),
            r#"{"type":"join","id":"3","room":"a\u0000*"}"#.to_owned(),
            r#"{"type":"ack","re":"nobody's"}"#.to_owned(),
            format!(r#"{{"type":"received","payload":{{"count":{}}}}}"#, "9".repeat(400)),
            r#"{"type":"publish","id":"4","room":"0","payload":1e999}"#.to_owned(),
            r#"{"type":"token","id":"5","payload":{"token":"a.b.c"}}"#.to_owned(),
            "null".to_owned(),
        ];
        Self {
            pings: frames(250, &|_| masked(0x80 | frame::PING, b"as often")),
            fragments: frames(1000, &|_| masked(frame::CONTINUATION, b"")),
            messages: frames(1000, &|_| masked(0x80 | frame::BINARY, &[b'.'; 16])),
            joins: frames(300, &|n| text(&format!(r#"{{"type":"join","id":"{n}","room":"hostile.{n}"}}"#))),
            junk: junk.iter().flat_map(|junk| text(junk)).collect(),
        }
    }
}

/// The beginning of a TLS 1.2 ClientHello: record, handshake, version, and the begin of the random.
const TLS_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\x8Frandomrandomrandom\x20";

const fn kind(name: &'static str, share: u64, plan: fn(&mut Arsenal) -> Vec<Act>) -> Kind {
    Kind { name, share, plan }
}

fn send(bytes: &[u8]) -> Act {
    Act::Send(bytes.into())
}

fn refused(head: &str) -> Vec<Act> {
    vec![send(head.as_bytes()), Act::Read(PATIENCE)]
}

/// A head with which there is nothing wrong but that it says not who asks.
fn good() -> String {
    String::from_utf8(handshake::request("/", None, None)).unwrap_or_default()
}

/// The same with more lines.
fn with(lines: &str) -> String {
    let head = good();
    format!("{}{lines}\r\n", head.strip_suffix("\r\n").unwrap_or(&head))
}

/// A frame with any first byte.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::push_masked(&mut out, 0, payload);
    out[0] = first;
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_raid_and_all_kinds_come() {
        let drawn = |seed| {
            let mut arsenal = Arsenal::new(seed, Tokens::default(), &[]).unwrap();
            (0..5000).map(|_| format!("{:?}", arsenal.draw())).collect::<Vec<_>>()
        };
        let first = drawn(1);
        assert!(first == drawn(1) && first != drawn(2));
        for (at, kind) in KINDS.iter().enumerate() {
            assert!(first.iter().any(|plan| plan.starts_with(&format!("({at},"))), "{}", kind.name);
        }
    }

    #[test]
    fn kinds_come_by_their_shares_and_only_those_asked_for() {
        let names = ["silence".to_owned(), "garbage".to_owned()];
        let mut arsenal = Arsenal::new(1, Tokens::default(), &names).unwrap();
        assert_eq!(arsenal.total(), 90);
        let garbage = (0..9000).filter(|_| KINDS[arsenal.draw().0].name == "garbage").count();
        assert!((5800..6200).contains(&garbage), "{garbage}");
        assert!(Arsenal::new(1, Tokens::default(), &["unheard-of".to_owned()]).is_err());
    }

    #[test]
    fn heads_are_changed_where_they_should_be() {
        assert_eq!(handshake::head_size(with("A: b\r\n").as_bytes()), Some(with("A: b\r\n").len()));
        assert!(with("A: b\r\n").ends_with("\r\nA: b\r\n\r\n"));
        // What the table replaces must be there to be replaced.
        assert!(good().contains("Version: 13") && good().starts_with("GET / ") && good().contains(NONCE));
    }
}
