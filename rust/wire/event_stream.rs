//! Event streams as a server sends them (`text/event-stream`, the HTML standard, section 9.2). Pure functions on bytes.
//! An event ends with an empty line. Everything else of a message is in `data:` lines, of which a receiver joins those of
//! one event with LF.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use memchr::{memchr_iter, memchr2, memmem};

use crate::wire::frame::cut;

/// Returns the event of a message: text as it is, one line for each of its own; bytes as base64 in an event of the type
/// `binary`, because an event stream is UTF-8.
pub fn message(is_text: bool, payload: &[u8]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(message_len(is_text, payload.len()));
    push_message(&mut out, is_text, payload);
    out.into_boxed_slice()
}

/// Returns the event of a message with an id, which an `EventSource` repeats as `Last-Event-ID` when it comes back.
pub fn numbered(epoch: u64, seq: u64, is_text: bool, payload: &[u8]) -> Box<[u8]> {
    let mut out = format!("id: {epoch:x}-{seq}\n").into_bytes();
    out.reserve_exact(message_len(is_text, payload.len()));
    push_message(&mut out, is_text, payload);
    out.into_boxed_slice()
}

/// Finishes the event of a text that stands in `out` behind [`TEXT`].
pub fn finish_text(mut out: Vec<u8>) -> Box<[u8]> {
    if memchr2(b'\n', b'\r', &out).is_some() {
        return message(true, &out[TEXT.len()..]);
    }
    out.extend_from_slice(END);
    out.into_boxed_slice()
}

/// Returns the event that takes the place of a close frame, with a JSON object of code and reason. A code of 1005 stands
/// for none, as in a browser's `CloseEvent`. The reason is cut like that of a close frame.
pub fn close(code: Option<u16>, reason: &str) -> Box<[u8]> {
    let (code, reason) = code.map_or((NO_CODE, ""), |code| (code, cut(reason)));
    let mut out = format!("event: close\ndata: {{\"code\":{code},\"reason\":").into_bytes();
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(&mut out, reason);
    out.extend_from_slice(b"}\n\n");
    out.into_boxed_slice()
}

/// Returns the bytes of the messages in whole events, as their receiver has them.
pub fn data_len(mut events: &[u8]) -> usize {
    let mut total = 0;
    while let Some(end) = memmem::find(events, END) {
        let (event, rest) = events.split_at(end);
        events = &rest[END.len()..];
        total += if let Some(base64) = event.strip_prefix(BINARY) {
            base64.len() / 4 * 3 - base64.iter().rev().take_while(|&&byte| byte == b'=').count()
        } else {
            let lines = memchr_iter(b'\n', event).count() + 1;
            event.len().saturating_sub(lines * TEXT.len())
        };
    }
    total
}

/// A comment, which receivers ignore: it shows that the server is alive, and keeps proxies from ending the response.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// The beginning of a text's event.
pub const TEXT: &[u8] = b"data: ";

fn message_len(is_text: bool, len: usize) -> usize {
    if is_text { TEXT.len() + len + END.len() } else { BINARY.len() + len.div_ceil(3) * 4 + END.len() }
}

fn push_message(out: &mut Vec<u8>, is_text: bool, payload: &[u8]) {
    if is_text {
        push_text(out, payload);
    } else {
        out.extend_from_slice(BINARY);
        out.extend_from_slice(BASE64.encode(payload).as_bytes());
    }
    out.extend_from_slice(END);
}

/// A line ends with CR LF, CR or LF.
fn push_text(out: &mut Vec<u8>, mut text: &[u8]) {
    out.extend_from_slice(TEXT);
    while let Some(at) = memchr2(b'\n', b'\r', text) {
        out.extend_from_slice(&text[..at]);
        out.push(b'\n');
        out.extend_from_slice(TEXT);
        text = &text[at + if text[at..].starts_with(b"\r\n") { 2 } else { 1 }..];
    }
    out.extend_from_slice(text);
}

const BINARY: &[u8] = b"event: binary\ndata: ";

const END: &[u8] = b"\n\n";

/// "No code" (RFC 6455 section 7.1.5).
const NO_CODE: u16 = 1005;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The events in a stream, as a receiver reads them: type, id and data.
    fn read(stream: &[u8]) -> Vec<(String, String, String)> {
        let text = str::from_utf8(stream).unwrap();
        let (mut events, mut kind, mut id, mut data) = (Vec::new(), String::new(), String::new(), None::<String>);
        for line in text.replace("\r\n", "\n").replace('\r', "\n").split_inclusive('\n') {
            let line = line.strip_suffix('\n').expect("a stream ends with a line end");
            if line.is_empty() {
                let of = std::mem::take(&mut kind);
                events.extend(data.take().map(|data| (of, id.clone(), data)));
                continue;
            }
            match line.split_once(':').unwrap() {
                ("", _) => {}
                ("event", value) => kind = value.trim_start().into(),
                ("id", value) => id = value.trim_start().into(),
                ("data", value) => {
                    let value = value.strip_prefix(' ').unwrap_or(value);
                    data = Some(data.map_or(value.into(), |data| format!("{data}\n{value}")));
                }
                other => panic!("{other:?}"),
            }
        }
        events
    }

    fn text_of(stream: &[u8]) -> String {
        let events = read(stream);
        assert_eq!(events.len(), 1, "{stream:?}");
        assert_eq!(events[0].0, "");
        events[0].2.clone()
    }

    #[test]
    fn each_line_of_a_text_is_a_line_of_data() {
        for (text, event) in [
            ("", "data: \n\n"),
            ("a", "data: a\n\n"),
            (" a: b", "data:  a: b\n\n"),
            ("a\nb", "data: a\ndata: b\n\n"),
            ("a\r\nb", "data: a\ndata: b\n\n"),
            ("a\rb\n", "data: a\ndata: b\ndata: \n\n"),
            ("\n\r\n\r", "data: \ndata: \ndata: \ndata: \n\n"),
        ] {
            assert_eq!(str::from_utf8(&message(true, text.as_bytes())), Ok(event), "{text:?}");
            assert_eq!(*finish_text([TEXT, text.as_bytes()].concat()), *event.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn bytes_are_base64() {
        assert_eq!(*message(false, b""), *b"event: binary\ndata: \n\n");
        assert_eq!(*message(false, b"\xFF\0\n"), *b"event: binary\ndata: /wAK\n\n");
    }

    #[test]
    fn a_number_stands_first() {
        assert_eq!(*numbered(0x2A, 7, true, b"x\ny"), *b"id: 2a-7\ndata: x\ndata: y\n\n");
        assert_eq!(*numbered(0, 1, false, b"x"), *b"id: 0-1\nevent: binary\ndata: eA==\n\n");
    }

    #[test]
    fn a_close_is_one_line_whatever_its_reason() {
        assert_eq!(*close(None, "ignored"), *b"event: close\ndata: {\"code\":1005,\"reason\":\"\"}\n\n");
        let stream = close(Some(4008), "too \"slow\"\r\n\n\u{e9}");
        assert_eq!(read(&stream)[0].2, "{\"code\":4008,\"reason\":\"too \\\"slow\\\"\\r\\n\\n\u{e9}\"}");
        let long = close(Some(1000), &"\u{e9}".repeat(100));
        assert_eq!(read(&long)[0].2, format!("{{\"code\":1000,\"reason\":\"{}\"}}", "\u{e9}".repeat(61)));
    }

    proptest! {
        #[test]
        fn a_receiver_reads_what_was_sent_with_its_line_ends_as_lf(text in "[a\n\r: \u{e9}]{0,40}") {
            let seen = text.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(text_of(&message(true, text.as_bytes())), seen.clone());
            let parts = [&*message(true, text.as_bytes()), HEARTBEAT, &*numbered(1, 2, true, text.as_bytes())];
            let both = read(&parts.concat());
            let expected = [(String::new(), String::new(), seen.clone()), (String::new(), "1-2".into(), seen)];
            prop_assert_eq!(both, expected);
        }

        #[test]
        fn the_capacity_is_right(payload in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(message(false, &payload).len(), message_len(false, payload.len()));
            let lines = payload.iter().filter(|byte| b"\r\n".contains(byte)).count();
            let len = message_len(true, payload.len());
            let found = message(true, &payload).len();
            prop_assert!((len..=len + lines * TEXT.len()).contains(&found));
        }
    }
}
