//! Finds some facts about a document without reading all its values: the payload of an envelope, the depth, `null`.

use std::ops::Range;

/// Returns where the payload of an envelope stands; none if the envelope is no map with a payload. The payload itself
/// is not checked and may be of any depth, so that the rest of the envelope can be read even if the payload cannot.
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

/// Returns the end of the JSON string that begins at `start`.
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

/// Returns what follows a MessagePack value.
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

/// Whether a valid JSON document contains `null`, even in a string, and whether it has more than `max_nesting` levels.
pub fn glance(json: &[u8], max_nesting: usize) -> (bool, bool) {
    let has_null = memchr::memmem::find(json, b"null").is_some();
    // For most documents the number of brackets is enough to know.
    let is_bracket = |&byte: &u8| u8::from(byte | 0x20 == b'{');
    // Sums that fit a byte, which the compiler vectorizes.
    let brackets: usize = json.chunks(255).map(|chunk| usize::from(chunk.iter().map(is_bracket).sum::<u8>())).sum();
    let is_deep = brackets > max_nesting && depth(json) > max_nesting;
    (has_null, is_deep)
}

/// Returns the levels of a valid JSON document.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                // Most strings are short, and for these a loop is faster than a search.
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
