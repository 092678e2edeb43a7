//! The server's JSON envelopes (docs/protocol.md), read in place. Not a validator and not a JSON library: the fields of
//! one map, whatever their order, as slices. The rule: one pass and no allocation, for a joiner reads a million of them.

use crate::base64;
use crate::stamp;

/// The fields a bench looks at; what is absent is empty or `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What it is.
    pub kind: &'a [u8],
    /// The message's number in its room.
    pub seq: Option<u64>,
    /// What it is the newest value of.
    pub key: Option<&'a [u8]>,
    /// The payload as it stands there, quotes or braces included.
    pub payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Reads one; `None` when it is no map or is cut.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut found = Self::default();
        fields(bytes, |name, value| match name {
            b"type" => found.kind = word(value).unwrap_or_default(),
            b"seq" => found.seq = number(value),
            b"key" => found.key = word(value),
            b"payload" => found.payload = value,
            _ => {}
        })?;
        Some(found)
    }

    /// The stamp at the beginning of a payload of bytes.
    #[must_use]
    pub fn stamp(&self) -> Option<(u64, u64)> {
        let bytes = base64::decode(word(self.payload)?.first_chunk()?)?;
        stamp::read(&bytes[..stamp::SIZE])
    }

    /// A field of a payload that is a map.
    #[must_use]
    pub fn field(&self, wanted: &str) -> Option<&'a [u8]> {
        let mut found = None;
        fields(self.payload, |name, value| {
            if name == wanted.as_bytes() {
                found = Some(value);
            }
        })?;
        found
    }

    /// A number in a payload that is a map.
    #[must_use]
    pub fn count(&self, wanted: &str) -> Option<u64> {
        self.field(wanted).and_then(number)
    }

    /// A string in a payload that is a map.
    #[must_use]
    pub fn word(&self, wanted: &str) -> Option<String> {
        let text = word(self.field(wanted)?)?;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

/// Digits as a number.
#[must_use]
pub fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit < 10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// What is between the quotes. Escapes stay as they are; no word of a bench has any.
fn word(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Calls `each` with the name and the value of every field of a map.
fn fields<'a>(bytes: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    let mut at = skip_blank(bytes, 0);
    if bytes.get(at) != Some(&b'{') {
        return None;
    }
    at = skip_blank(bytes, at + 1);
    if bytes.get(at) == Some(&b'}') {
        return Some(());
    }
    loop {
        let end = value_end(bytes, at)?;
        let name = word(&bytes[at..end])?;
        at = skip_blank(bytes, end);
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        at = skip_blank(bytes, at + 1);
        let end = value_end(bytes, at)?;
        each(name, &bytes[at..end]);
        at = skip_blank(bytes, end);
        match bytes.get(at)? {
            b',' => at = skip_blank(bytes, at + 1),
            b'}' => return Some(()),
            _ => return None,
        }
    }
}

fn skip_blank(bytes: &[u8], at: usize) -> usize {
    at + bytes.iter().skip(at).take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Where the value that begins at `at` ends.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0usize, at);
            loop {
                match bytes.get(at)? {
                    b'"' => {
                        at = string_end(bytes, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => {
            let size = bytes[at..].iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n'))?;
            (size > 0).then_some(at + size)
        }
    }
}

/// Where the string that begins at `at` ends, its quotes included.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == b'"' || byte == b'\\')?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_order_and_nested_ones_are_not_taken_for_them() {
        let text = br#"{"payload":{"seq":9,"type":"x","text":"}\"]"},"id":"a\"b","seq":17, "key":"3","type":"joined"}"#;
        let found = Envelope::read(text).unwrap_or_default();
        assert_eq!((found.kind, found.seq, found.key), (&b"joined"[..], Some(17), Some(&b"3"[..])));
        assert_eq!((found.count("seq"), found.count("count")), (Some(9), None));
        assert_eq!(found.word("type").as_deref(), Some("x"));
        assert_eq!(found.field("resumed"), None);
    }

    #[test]
    fn a_stamp_comes_out_of_base64() {
        // 7 and 258 in 8 bytes each, little-endian, by coreutils.
        let text = br#"{"type":"message","encoding":"base64","payload":"BwAAAAAAAAACAQAAAAAAAC4uLi4="}"#;
        assert_eq!(Envelope::read(text).and_then(|found| found.stamp()), Some((7, 258)));
        assert_eq!(Envelope::read(br#"{"type":"message","payload":"BwA="}"#).and_then(|found| found.stamp()), None);
    }

    #[test]
    fn what_is_cut_or_no_map_is_none() {
        let text = br#"{"type":"left","payload":{"a":[1,"\\"]},"seq":1}"#;
        assert!(Envelope::read(text).is_some());
        for cut in 0..text.len() {
            assert_eq!(Envelope::read(&text[..cut]), None, "cut at {cut}");
        }
        assert_eq!(Envelope::read(b"[1]"), None);
        assert_eq!((number(b""), number(b"1a"), number(b"99999999999999999999999")), (None, None, None));
    }
}
