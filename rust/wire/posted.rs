//! Messages of a client that came in the body of a request, as the frames of a WebSocket that they stand for, so that the
//! same limits, rates and reports hold for both. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::wire::frame::{self, Opcode};

/// Returns the frames of a body that has one message a line: text or, if it `is_binary`, base64. Empty lines stand for
/// nothing. The error says what is wrong with the body.
pub fn frames(body: &[u8], is_binary: bool) -> Result<Vec<u8>, String> {
    let text = str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
    let mut frames = Vec::with_capacity(body.len() + body.len() / 8);
    let mut message = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        if is_binary {
            message.clear();
            BASE64.decode_vec(line, &mut message).map_err(|_| format!("line {} is not base64", number + 1))?;
            frame::push_unmasked(&mut frames, Opcode::Binary, &message);
        } else {
            frame::push_unmasked(&mut frames, Opcode::Text, line.as_bytes());
        }
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decoder::{Decoded, Decoder, Limits};
    use proptest::prelude::*;
    use std::ops::ControlFlow;

    /// The messages in frames.
    fn read(mut frames: Vec<u8>) -> Vec<(bool, Vec<u8>)> {
        let mut read = Vec::new();
        let mut decoder = Decoder::new(Limits { max_message: 1 << 20, max_fragments: 1 });
        let consumed = decoder.decode(&mut frames, &mut |item| {
            read.push(match item {
                Decoded::Text(text) => (true, text.as_bytes().to_vec()),
                Decoded::Binary(bytes) => (false, bytes.to_vec()),
                other => panic!("{other:?}"),
            });
            ControlFlow::Continue(())
        });
        assert_eq!(consumed, Ok(frames.len()));
        assert!(!decoder.is_within_message());
        read
    }

    #[test]
    fn each_line_is_a_message() {
        for (body, messages) in [
            ("", &[][..]),
            ("\n\r\n\n", &[]),
            ("a", &["a"]),
            ("a\n", &["a"]),
            ("a\r\n\nb", &["a", "b"]),
            (" \n\u{e9}\n", &[" ", "\u{e9}"]),
        ] {
            let read = read(frames(body.as_bytes(), false).unwrap());
            let expected: Vec<_> = messages.iter().map(|text| (true, text.as_bytes().to_vec())).collect();
            assert_eq!(read, expected, "{body:?}");
        }
    }

    #[test]
    fn what_is_no_line_of_messages() {
        assert_eq!(frames(b"a\xFF", false).unwrap_err(), "the body is not UTF-8");
        for (line, body) in [(1, "*"), (2, "YQ==\nYQ"), (3, "\nYQ==\nYQ= =")] {
            assert_eq!(frames(body.as_bytes(), true).unwrap_err(), format!("line {line} is not base64"));
        }
    }

    proptest! {
        #[test]
        fn messages_of_any_bytes_come_through(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..5)) {
            let lines: Vec<_> = messages.iter().map(|message| BASE64.encode(message)).collect();
            let expected: Vec<_> = messages.into_iter().map(|message| (false, message)).collect();
            prop_assert_eq!(read(frames(lines.join("\n").as_bytes(), true).unwrap()), expected);
        }

        #[test]
        fn lengths_of_all_headers(len in prop::sample::select(vec![1_usize, 125, 126, 0xFFFF, 0x1_0000])) {
            prop_assert_eq!(read(frames(&vec![b'x'; len], false).unwrap()), [(true, vec![b'x'; len])]);
        }
    }
}
