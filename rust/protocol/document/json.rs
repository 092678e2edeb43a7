//! Reads and checks JSON (RFC 8259). A [`ValueSink`] takes the values.

use std::borrow::Cow;
use std::str;

use crate::protocol::document::{Fault, Keys, Step, below, short, step};

/// Takes the values of a JSON document.
pub(super) trait ValueSink {
    /// Whether keys are checked for uniqueness.
    fn is_unique(&self) -> bool {
        false
    }
    fn null(&mut self) {}
    fn boolean(&mut self, _value: bool) {}
    fn positive(&mut self, _value: u64) {}
    fn negative(&mut self, _value: i64) {}
    fn float(&mut self, _value: f64) {}
    fn string(&mut self, _text: &str) {}
    /// Begins a list or a map. Returns its place.
    fn begin(&mut self) -> usize {
        0
    }
    fn end(&mut self, _start: usize, _count: usize, _is_map: bool) {}
}

pub(super) struct Discard;

impl ValueSink for Discard {
    fn is_unique(&self) -> bool {
        true
    }
}

/// A JSON text, and how far it was read.
pub(super) struct Json<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Json<'a> {
    pub(super) fn new(json: &'a [u8]) -> Result<Self, Fault> {
        match str::from_utf8(json) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(error) => Err(Fault::new(format!("must be UTF-8, and is not from byte {} on", error.valid_up_to()))),
        }
    }

    pub(super) fn document<S: ValueSink>(&mut self, sink: &mut S, max_nesting: usize) -> Result<(), Fault> {
        self.blanks();
        self.value(sink, max_nesting, max_nesting)?;
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(self.malformed()) }
    }

    pub(super) fn value<S: ValueSink>(&mut self, sink: &mut S, levels: usize, max_nesting: usize) -> Result<(), Fault> {
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

    pub(super) fn map<S: ValueSink>(&mut self, sink: &mut S, levels: usize, max_nesting: usize) -> Result<(), Fault> {
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

    pub(super) fn list<S: ValueSink>(&mut self, sink: &mut S, levels: usize, max_nesting: usize) -> Result<(), Fault> {
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

    pub(super) fn number<S: ValueSink>(&mut self, sink: &mut S) -> Result<(), Fault> {
        let start = self.at;
        let is_negative = self.eat(b'-');
        // A zero must not come before other digits.
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

    pub(super) fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.malformed()) }
    }

    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
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

    pub(super) fn escape(&mut self) -> Result<char, Fault> {
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

    pub(super) fn hex(&mut self) -> Result<u16, Fault> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or_else(|| self.malformed())?;
        let mut unit = 0;
        for &digit in digits {
            let digit = char::from(digit).to_digit(16).ok_or_else(|| self.malformed())?;
            unit = unit << 4 | digit as u16;
        }
        self.at += 4;
        Ok(unit)
    }

    pub(super) fn word(&mut self, word: &str) -> Result<(), Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.malformed());
        }
        self.at += word.len();
        Ok(())
    }

    pub(super) fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn malformed(&self) -> Fault {
        Fault::new(format!("must be JSON, and is not from byte {} on", self.at.min(self.text.len())))
    }
}

fn too_large(text: &str) -> Fault {
    Fault::new(format!("must be an integer from -2**63 to 2**64-1, got {}", short(text)))
}
