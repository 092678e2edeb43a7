//! Event streams (WHATWG HTML 9.2) as a bench's server writes them: pure functions on bytes. Not a full parser: lines end
//! with a line feed, and a message is one line, because no message of a bench has a line break. The rule: as for frames,
//! data is seen in place and nothing is allocated for each event.

use memchr::memchr;

use crate::frame;

/// The server broke the form; the connection is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault;

/// Calls `each` for every whole event with what a frame of it would begin with, and its data; returns how many bytes those
/// events take. The data of an event `binary` is base64, and the event `close` is a close frame. Comments are passed over.
///
/// # Errors
/// [`Fault`] is the server's.
#[inline]
pub fn walk(bytes: &[u8], mut each: impl FnMut(u8, &[u8])) -> Result<usize, Fault> {
    let mut at = 0;
    'events: loop {
        let (mut opcode, mut data, mut line) = (frame::TEXT, None, at);
        loop {
            let Some(size) = memchr(b'\n', &bytes[line..]) else { break 'events };
            let field = &bytes[line..line + size];
            line += size + 1;
            if let Some(value) = field.strip_prefix(b"data: ") {
                if data.replace(value).is_some() {
                    return Err(Fault);
                }
            } else if field.is_empty() {
                break;
            } else if let Some(kind) = field.strip_prefix(b"event: ") {
                opcode = match kind {
                    b"binary" => frame::BINARY,
                    b"close" => frame::CLOSE,
                    _ => return Err(Fault),
                };
            } else if !field.starts_with(b"id: ") && !field.starts_with(b":") {
                return Err(Fault);
            }
        }
        if let Some(data) = data {
            each(0x80 | opcode, data);
        }
        at = line;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Events = Vec<(u8, Vec<u8>)>;

    fn seen(bytes: &[u8]) -> (Result<usize, Fault>, Events) {
        let mut seen = Vec::new();
        let used = walk(bytes, |first, data| seen.push((first, data.to_vec())));
        (used, seen)
    }

    #[test]
    fn events_are_frames_of_another_form() {
        let bytes = b":\n\ndata: {}\n\nid: a-1\ndata: x\n\nevent: binary\ndata: AA==\n\nevent: close\ndata: {\"code\":1000}\n\n";
        let wanted = [(0x81, &b"{}"[..]), (0x81, b"x"), (0x82, b"AA=="), (0x88, b"{\"code\":1000}")];
        let (used, found) = seen(bytes);
        assert_eq!(used, Ok(bytes.len()));
        assert_eq!(found, wanted.map(|(first, data)| (first, data.to_vec())));
    }

    #[test]
    fn what_is_cut_is_left() {
        let bytes = b"data: a\n\nid: 1\ndata: b\n\n";
        for cut in 9..bytes.len() {
            assert_eq!(seen(&bytes[..cut]), (Ok(9), vec![(0x81, b"a".to_vec())]));
        }
    }

    #[test]
    fn what_a_bench_cannot_have_asked_for_is_a_fault() {
        for bytes in [&b"data: a\ndata: b\n\n"[..], b"event: other\ndata: a\n\n", b"HTTP/1.1 200 OK\r\n\r\n"] {
            assert_eq!(seen(bytes).0, Err(Fault));
        }
    }
}
