//! MessagePack: writes the values of a JSON document, and translates a MessagePack document to JSON.

use std::borrow::Cow;
use std::str;

use crate::protocol::document::json::ValueSink;
use crate::protocol::document::{Fault, Keys, Step, below, step};

pub(super) struct Packed<'a>(pub(super) &'a mut Vec<u8>);

// Writing to a vector cannot fail, so the results are ignored.
impl ValueSink for Packed<'_> {
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
        // Leaves a place for the shortest header, which most lists and maps have; the header counts what follows it.
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

/// The unread rest of a MessagePack document.
pub(super) struct Msgpack<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Msgpack<'a> {
    pub(super) fn value(&mut self, out: &mut Vec<u8>, levels: usize, max_nesting: usize) -> Result<(), Fault> {
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

    pub(super) fn list(
        &mut self,
        out: &mut Vec<u8>,
        count: usize,
        levels: usize,
        max_nesting: usize,
    ) -> Result<(), Fault> {
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

    pub(super) fn map(
        &mut self,
        out: &mut Vec<u8>,
        count: usize,
        levels: usize,
        max_nesting: usize,
    ) -> Result<(), Fault> {
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

    pub(super) fn count(&mut self, marker: u8, short: u8, long: u8) -> Result<usize, Fault> {
        Ok(match marker.checked_sub(long) {
            Some(0) => u16::from_be_bytes(self.number()?).into(),
            Some(_) => u32::from_be_bytes(self.number()?) as usize,
            None => (marker - short).into(),
        })
    }

    pub(super) fn string(&mut self, marker: u8) -> Result<&'a str, Fault> {
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

    pub(super) fn number<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(*bytes)
    }
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
