//! What a payload may hold, in JSON (RFC 8259) and in MessagePack: checked, and translated from one to the other without
//! changing a value. Pure functions on bytes; docs/values.md is their contract.
//!
//! A document holds null, booleans, integers of 64 bits (-2^63 to 2^64-1), finite floats of 64 bits, strings of Unicode,
//! lists, and maps whose keys are strings that differ. Whatever else comes is refused, with the path of the value.
//! The depth is limited, so recursion is safe.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::str;

/// A value that a document must not hold, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// From the inside to the outside.
    steps: Vec<Step>,
    /// What is wrong with the value.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Index(usize),
    Key(String),
}

impl Fault {
    fn new(text: impl Into<String>) -> Self {
        Self { steps: Vec::new(), text: text.into() }
    }

    fn below(mut self, step: impl FnOnce() -> Step) -> Self {
        self.steps.push(step());
        self
    }

    /// Where the value is: `$` is the document, `$.orders[3].price` a value inside. A long path ends with an ellipsis.
    pub fn path(&self) -> String {
        let mut path = String::from("$");
        for step in self.steps.iter().rev() {
            if path.len() > PATH_MAX {
                path.push('\u{2026}');
                break;
            }
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Key(key) => write!(path, ".{key}"),
            };
        }
        path
    }
}

/// Checks a JSON document.
pub fn check_json(json: &[u8], max_nesting: usize) -> Result<(), Fault> {
    Json::new(json)?.document(&mut Nothing, max_nesting)
}

/// Appends a JSON document as MessagePack; integers and headers in their shortest form. After a fault the buffer is as
/// it was. Keys that are not unique pass: whoever lets a document in has checked it.
pub fn json_to_msgpack(json: &[u8], max_nesting: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    let result = Json::new(json).and_then(|mut json| json.document(&mut Packed(out), max_nesting));
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// A MessagePack document as JSON.
pub fn msgpack_to_json(msgpack: &[u8], max_nesting: usize) -> Result<Vec<u8>, Fault> {
    let mut from = Msgpack { rest: msgpack };
    let mut out = Vec::with_capacity(msgpack.len() * 2);
    from.value(&mut out, max_nesting, max_nesting)?;
    if from.rest.is_empty() {
        Ok(out)
    } else {
        Err(Fault::new("must be one MessagePack document, and more follows it"))
    }
}

/// Where the payload of an envelope stands. What is in it is not looked at, and how deep it is makes no difference: so
/// that of an envelope whose payload cannot be read the rest can be. None if it is no map with a payload.
pub fn payload_of(frame: &[u8], is_json: bool) -> Option<Range<usize>> {
    if is_json { json_payload(frame) } else { msgpack_payload(frame) }
}

fn json_payload(frame: &[u8]) -> Option<Range<usize>> {
    let (mut at, mut depth) = (0, 0_usize);
    let (mut begin, mut end, mut last) = (None, None, 0..0);
    while let Some(&byte) = frame.get(at) {
        match byte {
            b'"' => {
                let start = at;
                at = string_end(frame, at)?;
                last = start..at;
                continue;
            }
            b'[' | b'{' => depth += 1,
            b',' | b']' | b'}' => {
                if depth == 1 && begin.is_some() && end.is_none() {
                    end = Some(at);
                }
                if byte != b',' {
                    depth = depth.checked_sub(1)?;
                }
            }
            b':' if depth == 1 && begin.is_none() && &frame[last.clone()] == b"\"payload\"" => begin = Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    if depth == 0 { Some(begin?..end?) } else { None }
}

/// Where a JSON string ends that begins here.
fn string_end(json: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', json.get(at..)?)?;
        if json[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn msgpack_payload(frame: &[u8]) -> Option<Range<usize>> {
    let (&marker, mut rest) = frame.split_first()?;
    if !matches!(marker, 0x80..=0x8f) {
        return None;
    }
    let place = |rest: &[u8]| frame.len() - rest.len();
    for _ in 0..marker & 0x0f {
        let key = place(rest);
        rest = skip(rest)?;
        let start = place(rest);
        rest = skip(rest)?;
        if &frame[key..start] == b"\xa7payload" {
            return Some(start..place(rest));
        }
    }
    None
}

/// What follows a MessagePack value.
fn skip(mut rest: &[u8]) -> Option<&[u8]> {
    let mut values: u64 = 1;
    while let Some(left) = values.checked_sub(1) {
        values = left;
        let (&marker, behind) = rest.split_first()?;
        rest = behind;
        let length = |rest: &mut &[u8], width: usize| {
            let (digits, behind) = rest.split_at_checked(width)?;
            *rest = behind;
            Some(digits.iter().fold(0_u64, |sum, &digit| sum << 8 | u64::from(digit)))
        };
        let bytes = match marker {
            0x80..=0x8f => {
                values += 2 * u64::from(marker & 0x0f);
                0
            }
            0x90..=0x9f => {
                values += u64::from(marker & 0x0f);
                0
            }
            0xa0..=0xbf => (marker & 0x1f).into(),
            0xc4..=0xc6 => length(&mut rest, 1 << (marker - 0xc4))?,
            0xc7..=0xc9 => length(&mut rest, 1 << (marker - 0xc7))? + 1,
            0xca => 4,
            0xcb => 8,
            0xcc..=0xcf => 1 << (marker - 0xcc),
            0xd0..=0xd3 => 1 << (marker - 0xd0),
            0xd4..=0xd8 => 1 + (1 << (marker - 0xd4)),
            0xd9..=0xdb => length(&mut rest, 1 << (marker - 0xd9))?,
            0xdc | 0xdd => {
                values += length(&mut rest, 2 << (marker - 0xdc))?;
                0
            }
            0xde | 0xdf => {
                values += 2 * length(&mut rest, 2 << (marker - 0xde))?;
                0
            }
            _ => 0,
        };
        rest = rest.get(usize::try_from(bytes).ok()?..)?;
    }
    Some(rest)
}

/// What is quickly seen of a JSON document that is known to be one: whether `null` stands in it somewhere, be it in a
/// string, and whether it has more than so many levels.
pub fn glance(json: &[u8], max_nesting: usize) -> (bool, bool) {
    let has_null = memchr::memmem::find(json, b"null").is_some();
    // Of most documents the count of brackets says enough.
    let is_bracket = |&byte: &u8| u8::from(byte | 0x20 == b'{');
    // Sums that fit a byte, which the compiler makes of many at once.
    let brackets: usize = json.chunks(255).map(|chunk| usize::from(chunk.iter().map(is_bracket).sum::<u8>())).sum();
    let is_deep = brackets > max_nesting && depth(json) > max_nesting;
    (has_null, is_deep)
}

/// Levels of a JSON document that is known to be one.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                // Most strings are short: faster so than by a search.
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What becomes of the values of a JSON document.
trait Sink {
    /// Whether keys are to be compared.
    fn is_unique(&self) -> bool {
        false
    }
    fn null(&mut self) {}
    fn boolean(&mut self, _value: bool) {}
    fn positive(&mut self, _value: u64) {}
    fn negative(&mut self, _value: i64) {}
    fn float(&mut self, _value: f64) {}
    fn string(&mut self, _text: &str) {}
    /// A list or a map begins; returns where.
    fn begin(&mut self) -> usize {
        0
    }
    fn end(&mut self, _start: usize, _count: usize, _is_map: bool) {}
}

struct Nothing;

impl Sink for Nothing {
    fn is_unique(&self) -> bool {
        true
    }
}

struct Packed<'a>(&'a mut Vec<u8>);

// Writing to a vector cannot fail, so the results of all of these say nothing.
impl Sink for Packed<'_> {
    fn null(&mut self) {
        let _ = rmp::encode::write_nil(self.0);
    }

    fn boolean(&mut self, value: bool) {
        let _ = rmp::encode::write_bool(self.0, value);
    }

    fn positive(&mut self, value: u64) {
        let _ = rmp::encode::write_uint(self.0, value);
    }

    fn negative(&mut self, value: i64) {
        let _ = rmp::encode::write_sint(self.0, value);
    }

    fn float(&mut self, value: f64) {
        let _ = rmp::encode::write_f64(self.0, value);
    }

    fn string(&mut self, text: &str) {
        let _ = rmp::encode::write_str(self.0, text);
    }

    fn begin(&mut self) -> usize {
        // The header stands before what it counts: a place for the shortest, as most are.
        self.0.push(0);
        self.0.len() - 1
    }

    fn end(&mut self, start: usize, count: usize, is_map: bool) {
        let (short, long) = if is_map { (0x80, 0xde) } else { (0x90, 0xdc) };
        if count < 16 {
            self.0[start] = short | count as u8;
        } else if let Ok(count) = u16::try_from(count) {
            self.0[start] = long;
            self.0.splice(start + 1..start + 1, count.to_be_bytes());
        } else {
            self.0[start] = long + 1;
            self.0.splice(start + 1..start + 1, (count as u32).to_be_bytes());
        }
    }
}

/// A JSON text, and how far it is read.
struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Json<'a> {
    fn new(json: &'a [u8]) -> Result<Self, Fault> {
        match str::from_utf8(json) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(error) => Err(Fault::new(format!("must be UTF-8, and is not from byte {} on", error.valid_up_to()))),
        }
    }

    fn document<S: Sink>(&mut self, sink: &mut S, max_nesting: usize) -> Result<(), Fault> {
        self.blanks();
        self.value(sink, max_nesting, max_nesting)?;
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(self.malformed()) }
    }

    fn value<S: Sink>(&mut self, sink: &mut S, levels: usize, max_nesting: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => {
                sink.string(&self.string()?);
                Ok(())
            }
            Some(b'{') => self.map(sink, below(levels, max_nesting)?, max_nesting),
            Some(b'[') => self.list(sink, below(levels, max_nesting)?, max_nesting),
            Some(b'-' | b'0'..=b'9') => self.number(sink),
            Some(b't') => self.word("true").map(|()| sink.boolean(true)),
            Some(b'f') => self.word("false").map(|()| sink.boolean(false)),
            Some(b'n') => self.word("null").map(|()| sink.null()),
            _ => Err(self.malformed()),
        }
    }

    fn map<S: Sink>(&mut self, sink: &mut S, levels: usize, max_nesting: usize) -> Result<(), Fault> {
        let start = sink.begin();
        let mut keys = Keys::default();
        let mut count = 0;
        self.at += 1;
        self.blanks();
        if self.eat(b'}') {
            sink.end(start, 0, true);
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.malformed());
            }
            let key = self.string()?;
            self.blanks();
            if !self.eat(b':') {
                return Err(self.malformed());
            }
            self.blanks();
            sink.string(&key);
            self.value(sink, levels, max_nesting).map_err(|fault| fault.below(|| step(&key)))?;
            if sink.is_unique() {
                keys.add(key)?;
            }
            count += 1;
            self.blanks();
            if self.eat(b',') {
                self.blanks();
            } else if self.eat(b'}') {
                sink.end(start, count, true);
                return Ok(());
            } else {
                return Err(self.malformed());
            }
        }
    }

    fn list<S: Sink>(&mut self, sink: &mut S, levels: usize, max_nesting: usize) -> Result<(), Fault> {
        let start = sink.begin();
        let mut count = 0;
        self.at += 1;
        self.blanks();
        if self.eat(b']') {
            sink.end(start, 0, false);
            return Ok(());
        }
        loop {
            self.value(sink, levels, max_nesting).map_err(|fault| fault.below(|| Step::Index(count)))?;
            count += 1;
            self.blanks();
            if self.eat(b',') {
                self.blanks();
            } else if self.eat(b']') {
                sink.end(start, count, false);
                return Ok(());
            } else {
                return Err(self.malformed());
            }
        }
    }

    fn number<S: Sink>(&mut self, sink: &mut S) -> Result<(), Fault> {
        let start = self.at;
        let is_negative = self.eat(b'-');
        // No zero before other digits.
        if !self.eat(b'0') {
            self.digits()?;
        }
        let mut is_float = false;
        if self.eat(b'.') {
            is_float = true;
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            is_float = true;
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        let text = &self.text[start..self.at];
        if is_float {
            let value: f64 = text.parse().map_err(|_| self.malformed())?;
            if !value.is_finite() {
                return Err(Fault::new(format!("must be a number that fits a 64-bit float, got {}", short(text))));
            }
            sink.float(value);
        } else if is_negative {
            match text.parse::<i64>() {
                Ok(0) => sink.positive(0),
                Ok(value) => sink.negative(value),
                Err(_) => return Err(too_large(text)),
            }
        } else {
            sink.positive(text.parse().map_err(|_| too_large(text))?);
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.malformed()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
                }
                Some(b'\\') => break,
                Some(byte) if *byte >= b' ' => self.at += 1,
                _ => return Err(self.malformed()),
            }
        }
        let mut text = String::from(&self.text[start..self.at]);
        loop {
            let start = self.at;
            while bytes.get(self.at).is_some_and(|byte| *byte >= b' ' && *byte != b'"' && *byte != b'\\') {
                self.at += 1;
            }
            text.push_str(&self.text[start..self.at]);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                _ => return Err(self.malformed()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let byte = self.text.as_bytes().get(self.at + 1).copied();
        self.at += 2;
        Ok(match byte {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte.into(),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex()?;
                let mut units = vec![first];
                if matches!(first, 0xd800..=0xdbff) && self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    units.push(self.hex()?);
                }
                let mut decoded = char::decode_utf16(units);
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(letter)), None) => letter,
                    _ => {
                        return Err(Fault::new(format!(
                            "must be Unicode text, and has the lone surrogate \\u{first:04x}"
                        )));
                    }
                }
            }
            _ => return Err(self.malformed()),
        })
    }

    fn hex(&mut self) -> Result<u16, Fault> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or_else(|| self.malformed())?;
        let mut unit = 0;
        for &digit in digits {
            let digit = char::from(digit).to_digit(16).ok_or_else(|| self.malformed())?;
            unit = unit << 4 | digit as u16;
        }
        self.at += 4;
        Ok(unit)
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.malformed());
        }
        self.at += word.len();
        Ok(())
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn malformed(&self) -> Fault {
        Fault::new(format!("must be JSON, and is not from byte {} on", self.at.min(self.text.len())))
    }
}

/// What is left of a MessagePack document.
struct Msgpack<'a> {
    rest: &'a [u8],
}

impl<'a> Msgpack<'a> {
    fn value(&mut self, out: &mut Vec<u8>, levels: usize, max_nesting: usize) -> Result<(), Fault> {
        let marker = self.number::<1>()?[0];
        match marker {
            0x00..=0x7f => push(out, &marker),
            0xe0..=0xff => push(out, &(marker as i8)),
            0xc0 => out.extend_from_slice(b"null"),
            0xc2 => out.extend_from_slice(b"false"),
            0xc3 => out.extend_from_slice(b"true"),
            0xca => push_float(out, f32::from_be_bytes(self.number()?).into())?,
            0xcb => push_float(out, f64::from_be_bytes(self.number()?))?,
            0xcc => push(out, &u8::from_be_bytes(self.number()?)),
            0xcd => push(out, &u16::from_be_bytes(self.number()?)),
            0xce => push(out, &u32::from_be_bytes(self.number()?)),
            0xcf => push(out, &u64::from_be_bytes(self.number()?)),
            0xd0 => push(out, &i8::from_be_bytes(self.number()?)),
            0xd1 => push(out, &i16::from_be_bytes(self.number()?)),
            0xd2 => push(out, &i32::from_be_bytes(self.number()?)),
            0xd3 => push(out, &i64::from_be_bytes(self.number()?)),
            0xa0..=0xbf | 0xd9..=0xdb => push(out, self.string(marker)?),
            0x90..=0x9f | 0xdc | 0xdd => {
                let count = self.count(marker, 0x90, 0xdc)?;
                self.list(out, count, below(levels, max_nesting)?, max_nesting)?;
            }
            0x80..=0x8f | 0xde | 0xdf => {
                let count = self.count(marker, 0x80, 0xde)?;
                self.map(out, count, below(levels, max_nesting)?, max_nesting)?;
            }
            0xc4..=0xc6 => return Err(Fault::new("must not be bytes: only a whole message can be")),
            0xc7..=0xc9 | 0xd4..=0xd8 => {
                return Err(Fault::new("must not be of an extension type; send times as text"));
            }
            0xc1 => return Err(Fault::new("must be MessagePack, and the byte 0xc1 is not")),
        }
        Ok(())
    }

    fn list(&mut self, out: &mut Vec<u8>, count: usize, levels: usize, max_nesting: usize) -> Result<(), Fault> {
        out.push(b'[');
        for index in 0..count {
            if index > 0 {
                out.push(b',');
            }
            self.value(out, levels, max_nesting).map_err(|fault| fault.below(|| Step::Index(index)))?;
        }
        out.push(b']');
        Ok(())
    }

    fn map(&mut self, out: &mut Vec<u8>, count: usize, levels: usize, max_nesting: usize) -> Result<(), Fault> {
        let mut keys = Keys::default();
        out.push(b'{');
        for index in 0..count {
            if index > 0 {
                out.push(b',');
            }
            let marker = self.number::<1>()?[0];
            if !matches!(marker, 0xa0..=0xbf | 0xd9..=0xdb) {
                return Err(Fault::new("must have strings as keys"));
            }
            let key = self.string(marker)?;
            push(out, key);
            out.push(b':');
            self.value(out, levels, max_nesting).map_err(|fault| fault.below(|| step(key)))?;
            keys.add(Cow::Borrowed(key))?;
        }
        out.push(b'}');
        Ok(())
    }

    fn count(&mut self, marker: u8, short: u8, long: u8) -> Result<usize, Fault> {
        Ok(match marker.checked_sub(long) {
            Some(0) => u16::from_be_bytes(self.number()?).into(),
            Some(_) => u32::from_be_bytes(self.number()?) as usize,
            None => (marker - short).into(),
        })
    }

    fn string(&mut self, marker: u8) -> Result<&'a str, Fault> {
        let len = match marker {
            0xd9 => u8::from_be_bytes(self.number()?).into(),
            0xda => u16::from_be_bytes(self.number()?).into(),
            0xdb => u32::from_be_bytes(self.number()?) as usize,
            _ => usize::from(marker & 0x1f),
        };
        let (text, rest) = self.rest.split_at_checked(len).ok_or_else(cut_off)?;
        self.rest = rest;
        str::from_utf8(text).map_err(|_| Fault::new("must be UTF-8"))
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(*bytes)
    }
}

/// The keys of one map.
#[derive(Default)]
struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    fn add(&mut self, key: Cow<'a, str>) -> Result<(), Fault> {
        let is_new = if self.few.len() < FEW && self.many.is_empty() {
            !self.few.contains(&key)
        } else {
            // The hash of the standard library is keyed: a peer cannot choose keys that collide.
            self.many.extend(self.few.drain(..));
            !self.many.contains(&key)
        };
        if !is_new {
            return Err(Fault::new("must not come twice in one map").below(|| step(&key)));
        }
        if self.many.is_empty() {
            self.few.push(key);
        } else {
            self.many.insert(key);
        }
        Ok(())
    }
}

fn below(levels: usize, max_nesting: usize) -> Result<usize, Fault> {
    levels.checked_sub(1).ok_or_else(|| Fault::new(format!("{TOO_DEEP} {max_nesting} levels")))
}

fn step(key: &str) -> Step {
    Step::Key(short(key))
}

/// A text for people, of bounded length.
fn short(text: &str) -> String {
    match text.char_indices().nth(SHORT) {
        None => text.into(),
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
    }
}

fn too_large(text: &str) -> Fault {
    Fault::new(format!("must be an integer from -2**63 to 2**64-1, got {}", short(text)))
}

fn cut_off() -> Fault {
    Fault::new("must be MessagePack, and ends too early")
}

fn push(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(out, value);
}

fn push_float(out: &mut Vec<u8>, value: f64) -> Result<(), Fault> {
    if !value.is_finite() {
        return Err(Fault::new(format!("must be a finite number, got {value}")));
    }
    push(out, &value);
    Ok(())
}

/// Levels that are taken at most, whoever asks: each takes some hundred bytes of the stack here. A server allows 200 at
/// most, and a payload of the protocol may have some around what the application gives, such as a list of members.
pub const DEPTH_MAX: usize = 256;

const TOO_DEEP: &str = "must not be nested deeper than";

/// Keys that are compared one by one.
const FEW: usize = 16;

/// Characters of a key, or of a number, in a fault.
const SHORT: usize = 40;

/// Bytes of a path, about.
const PATH_MAX: usize = 400;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn packed(json: &str) -> Result<Vec<u8>, Fault> {
        let mut out = b"before".to_vec();
        let result = json_to_msgpack(json.as_bytes(), 64, &mut out);
        assert!(out.starts_with(b"before"));
        result.map(|()| out.split_off(6))
    }

    fn unpacked(msgpack: &[u8]) -> Result<String, Fault> {
        msgpack_to_json(msgpack, 64).map(|json| String::from_utf8(json).unwrap())
    }

    /// Where the fault of a JSON document is, and what.
    fn fault(json: &str) -> (String, String) {
        let fault = check_json(json.as_bytes(), 64).unwrap_err();
        (fault.path(), fault.text)
    }

    #[test]
    fn what_json_can_say_and_a_document_cannot_is_refused_with_its_path() {
        for (json, path, text) in [
            (r#"{"a":[1,{"b":18446744073709551616}]}"#, "$.a[1].b", "must be an integer from"),
            (r#"{"a":-9223372036854775809}"#, "$.a", "must be an integer from"),
            ("[1e400]", "$[0]", "must be a number that fits"),
            ("[0,-1e400]", "$[1]", "must be a number that fits"),
            (r#"{"a":"\ud800"}"#, "$.a", "must be Unicode text"),
            (r#"{"a":"\ud800\u0041"}"#, "$.a", "must be Unicode text"),
            (r#"["\udc00"]"#, "$[0]", "must be Unicode text"),
            (r#"{"a":{"b":1,"b":2}}"#, "$.a.b", "must not come twice"),
            (r#"{"a":1,"\u0061":2}"#, "$.a", "must not come twice"),
            (r#"{"a":NaN}"#, "$.a", "must be JSON"),
            ("[Infinity]", "$[0]", "must be JSON"),
            ("[-Infinity]", "$[0]", "must be JSON"),
            ("", "$", "must be JSON"),
            ("1 2", "$", "must be JSON"),
        ] {
            let (at, why) = fault(json);
            assert_eq!(at, path, "{json}");
            assert!(why.starts_with(text), "{json}: {why}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for json in [
            "[1,]",
            "[,1]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "[1",
            "{\"a\":1",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "01",
            "1.",
            ".5",
            "1e",
            "+1",
            "--1",
            "- 1",
            "tru",
            "nul",
            "True",
            "'a'",
            "\"\n\"",
            "\"\\",
            "[1]]",
            "\u{feff}1",
            "\"\\ud800\\u\"",
        ] {
            assert!(check_json(json.as_bytes(), 64).is_err(), "{json}");
            assert!(packed(json).is_err(), "{json}");
        }
        assert!(check_json(b"\"\xff\"", 64).is_err());
    }

    #[test]
    fn what_msgpack_can_say_and_a_document_cannot_is_refused_with_its_path() {
        for (msgpack, path) in [
            (&b"\x81\xa1a\x92\x01\xc4\x01\x00"[..], "$.a[1]"),
            (b"\x81\xa1a\xd6\xff\x00\x00\x00\x00", "$.a"),
            (b"\x91\xc7\x00\x05", "$[0]"),
            (b"\x81\x01\x02", "$"),
            (b"\x81\xa1a\x81\xc4\x01a\x02", "$.a"),
            (b"\x91\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "$[0]"),
            (b"\x91\xca\xff\x80\x00\x00", "$[0]"),
            (b"\x82\xa1a\x01\xa1a\x02", "$.a"),
            (b"\x91\xa1\xff", "$[0]"),
            (b"\x91\xc1", "$[0]"),
            (b"\x92\x01", "$[1]"),
            (b"\xdd\xff\xff\xff\xff", "$[0]"),
            (b"", "$"),
            (b"\x01\x02", "$"),
        ] {
            assert_eq!(unpacked(msgpack).unwrap_err().path(), path, "{msgpack:02x?}");
        }
    }

    #[test]
    fn numbers_are_what_they_were() {
        for (json, same) in [
            ("960.4539460352057", "960.4539460352057"),
            ("5e-324", "5e-324"),
            ("-0.0", "-0.0"),
            ("-0", "0"),
            ("1.0", "1.0"),
            ("1E2", "100.0"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("0.1000000000000000055511151231257827021181583404541015625", "0.1"),
        ] {
            assert_eq!(unpacked(&packed(json).unwrap()).unwrap(), same);
        }
        // A float of 32 bits is one of 64.
        assert_eq!(unpacked(b"\xca\x3d\xcc\xcc\xcd").unwrap(), "0.10000000149011612");
    }

    #[test]
    fn depth_is_limited_by_exactly_so_many_levels() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = |levels| open.repeat(levels) + "1" + &close.repeat(levels);
            assert_eq!(check_json(deep(64).as_bytes(), 64), Ok(()));
            assert_eq!(glance(deep(64).as_bytes(), 64), (false, false));
            assert_eq!(glance(deep(65).as_bytes(), 64), (false, true));
            let packed = packed(&deep(64)).unwrap();
            assert!(unpacked(&packed).is_ok());
            let fault = check_json(deep(65).as_bytes(), 64).unwrap_err();
            assert_eq!(fault.text, "must not be nested deeper than 64 levels");
            assert_eq!(msgpack_to_json(&packed, 63).unwrap_err().path().matches(['a', '0']).count(), 63);
            assert!(check_json(open.repeat(1_000_000).as_bytes(), 64).is_err());
        }
        assert_eq!(glance(br#"[[[],[],[],[]],"null"]"#, 3), (true, false));
        assert_eq!(glance(br#"[[[[]],"]]]"],"\"[[[[","\\",[[[1]]]]"#, 4), (false, false));
        assert_eq!(glance(br#"[["]]]\\",[[1]]],[[[[]]]]]"#, 4), (false, true));
    }

    #[test]
    fn the_payload_of_an_envelope_is_found_without_looking_into_it() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        for payload in [r#"{"a":"\ud800"}"#, "NaN", " 1e400 ", r#""\"}""#, "[1,{\"payload\":2}]", "[1 2]", &deep] {
            for (before, after) in
                [("{\"a\":\"payload\", \"payload\" :", "}"), ("{\"payload\":", ",\"b\":{\"payload\":1}}")]
            {
                let frame = format!("{before}{payload}{after}");
                let found = payload_of(frame.as_bytes(), true).unwrap();
                assert_eq!(&frame[found], payload);
            }
        }
        for frame in
            ["", "[]", "{}", "{\"payload\":[}", "{\"payload\":\"}", "{\"payload\":1", "}", "{\"a\":{\"payload\":1}}"]
        {
            assert_eq!(payload_of(frame.as_bytes(), true), None, "{frame}");
        }
    }

    #[test]
    fn the_payload_of_a_packed_envelope_is_found_too() {
        let deep = [&b"\x91".repeat(1_000_000)[..], b"\xc0"].concat();
        let long = [&b"\xc6\x00\x01\x00\x00"[..], &[0; 1 << 16]].concat();
        for payload in [
            &b"\xc0"[..],
            b"\xc7\x02\x05ab",
            b"\xd8\x00abcdefghijklmnop",
            b"\xdc\x00\x02\x01\xcb12345678",
            b"\xde\x00\x01\xa1a\xd6\x001234",
            b"\x81\xa7payload\x01",
            b"\xcd12",
            b"\xd312345678",
            b"\xd9\x02ab",
            b"\xc1",
            &deep,
            &long,
        ] {
            let frame = [b"\x83\xa1a\xa7payload\xa7payload", payload, b"\xa1b\x01"].concat();
            assert_eq!(&frame[payload_of(&frame, false).unwrap()], payload);
            for end in 0..frame.len().min(80) - 3 {
                if end < 18 + payload.len() {
                    assert_eq!(payload_of(&frame[..end], false), None);
                }
            }
        }
        assert_eq!(payload_of(b"\x81\xa7payload\xdd\xff\xff\xff\xff\xdd\xff\xff\xff\xff", false), None);
        assert_eq!(payload_of(b"\x81\xa7payload\xc6\xff\xff\xff\xff", false), None);
        assert_eq!(payload_of(b"\x92\xa7payload\x01", false), None);
    }

    #[test]
    fn paths_are_of_bounded_length() {
        let key = "k".repeat(100_000);
        let (path, _) = fault(&format!("{{\"{key}\":{}2e999{}}}", "[".repeat(63), "]".repeat(63)));
        assert!(path.len() < 500, "{path}");
    }

    #[test]
    fn maps_with_many_keys_have_each_once() {
        let keys: Vec<_> = (0..1000).map(|number| format!("\"k{number}\":0")).collect();
        assert_eq!(check_json(format!("{{{}}}", keys.join(",")).as_bytes(), 64), Ok(()));
        assert_eq!(fault(&format!("{{{},\"k7\":1}}", keys.join(","))).0, "$.k7");
    }

    fn documents() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO)
                .prop_map(Value::from),
        ];
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number, ".*".prop_map(Value::from)];
        leaf.prop_recursive(5, 64, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
                prop::collection::vec((".{0,5}", inner), 0..20)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_document_is_the_same_in_both_forms(value in documents(), is_pretty: bool) {
            let json = if is_pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(check_json(json.as_bytes(), 64), Ok(()));
            let msgpack = packed(&json).unwrap();
            // An independent reader of floats, all bits of them, and of headers.
            let independent: Value = rmp_serde::from_slice(&msgpack).unwrap();
            prop_assert_eq!(&independent, &value);
            prop_assert_eq!(unpacked(&msgpack).unwrap(), serde_json::to_string(&value).unwrap());
        }

        #[test]
        fn any_bytes_are_a_document_or_refused(bytes: Vec<u8>, text in r#"[\[\]{}":,0-9eE+.\\ua-]*"#) {
            for data in [&bytes[..], text.as_bytes()] {
                let is_json = check_json(data, 64).is_ok();
                if let Ok(value) = serde_json::from_slice::<Value>(data) {
                    // That one takes integers of any length, and keys twice.
                    prop_assert!(is_json || !check_json(data, 64).unwrap_err().text.starts_with("must be JSON"), "{}", value);
                } else {
                    prop_assert!(!is_json);
                }
                if let Ok(json) = msgpack_to_json(data, 64) {
                    prop_assert_eq!(check_json(&json, 64), Ok(()));
                }
                for is_json in [true, false] {
                    prop_assert!(payload_of(data, is_json).is_none_or(|found| data.get(found).is_some()));
                }
                let mut out = Vec::new();
                prop_assert!(!is_json || json_to_msgpack(data, 64, &mut out).is_ok());
            }
        }
    }

    #[test]
    fn a_value_with_all_types() {
        let value = json!({"a": [null, true, false, 1, -1, 1.5, "x\n\u{1f600}"], "b": {}, "c": []});
        assert_eq!(rmp_serde::from_slice::<Value>(&packed(&value.to_string()).unwrap()).unwrap(), value);
        assert_eq!(packed(r#""\ud83d\ude00\/\b\f\r\t""#).unwrap(), b"\xa9\xf0\x9f\x98\x80/\x08\x0c\r\t");
    }
}
