//! A batch: one message that is a JSON array of envelopes (docs/protocol.md). Pure: it only finds where each begins and
//! ends. Not a parser of JSON.

/// The array is none, or it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault;

/// Whether a message of a session is a batch; an envelope is an object.
#[must_use]
pub fn is_batch(message: &[u8]) -> bool {
    message.first() == Some(&b'[')
}

/// Calls `each` for every envelope of `array`.
///
/// # Errors
/// [`Fault`] is the server's.
pub fn split(array: &[u8], mut each: impl FnMut(&[u8])) -> Result<usize, Fault> {
    let inner = array.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).ok_or(Fault)?;
    let (mut start, mut depth, mut count, mut at) = (0, 0u32, 0, 0);
    while let Some(&byte) = inner.get(at) {
        match byte {
            b'"' => {
                at += 1;
                // The end of the string: the next quote that no backslash is before.
                loop {
                    match inner.get(at).ok_or(Fault)? {
                        b'"' => break,
                        b'\\' => at += 2,
                        _ => at += 1,
                    }
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1).ok_or(Fault)?;
                if depth == 0 {
                    each(&inner[start..=at]);
                    count += 1;
                }
            }
            b',' if depth == 0 => start = at + 1,
            _ => {}
        }
        at += 1;
    }
    if depth == 0 && count > 0 { Ok(count) } else { Err(Fault) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(array: &str) -> (Result<usize, Fault>, Vec<String>) {
        let mut parts = Vec::new();
        let found = split(array.as_bytes(), |part| parts.push(String::from_utf8_lossy(part).into_owned()));
        (found, parts)
    }

    #[test]
    fn envelopes_are_found_whatever_is_in_them() {
        let (one, two) = (r#"{"a":"]}\",[","b":[{"c":1},2]}"#, r#"{"x":{}}"#);
        assert_eq!(parts(&format!("[{one},{two}]")), (Ok(2), vec![one.to_owned(), two.to_owned()]));
        assert!(is_batch(b"[{}]") && !is_batch(b"{}"));
    }

    #[test]
    fn what_is_no_array_or_cut_is_a_fault() {
        for array in ["{}", "[]", "[{]", r#"[{"a]"#, "[{}}]", ""] {
            assert_eq!(parts(array).0, Err(Fault), "{array}");
        }
    }
}
