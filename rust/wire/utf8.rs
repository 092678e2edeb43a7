//! Checks UTF-8 that comes in pieces. Invalid bytes are found in their own piece, not at the end of the message.

use std::str;

/// The state between two pieces: a character that is incomplete.
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8 {
    bytes: [u8; 4],
    len: usize,
}

/// The bytes are not UTF-8, whatever follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid;

impl Utf8 {
    /// Checks the next piece.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), Invalid> {
        while self.len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            self.bytes[self.len] = byte;
            self.len += 1;
            match str::from_utf8(&self.bytes[..self.len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return Err(Invalid),
                Err(_) => {}
            }
        }
        match str::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(Invalid),
            Err(error) => {
                // At most three bytes, because a character has at most four.
                let begun = &piece[error.valid_up_to()..];
                self.bytes[..begun.len()].copy_from_slice(begun);
                self.len = begun.len();
                Ok(())
            }
        }
    }

    /// Ends the text. Fails if its last character is incomplete.
    pub fn end(&mut self) -> Result<(), Invalid> {
        if std::mem::take(&mut self.len) == 0 { Ok(()) } else { Err(Invalid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_utf8(pieces: &[&[u8]]) -> bool {
        let mut text = Utf8::default();
        pieces.iter().all(|piece| text.push(piece).is_ok()) && text.end().is_ok()
    }

    proptest! {
        #[test]
        fn pieces_give_the_same_result_as_the_whole(
            text in prop_oneof![".{0,12}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..12)],
            first in 0..13usize,
            second in 0..13usize,
        ) {
            let (a, b) = (first.min(second).min(text.len()), first.max(second).min(text.len()));
            let pieces = [&text[..a], &text[a..b], &text[b..]];
            prop_assert_eq!(is_utf8(&pieces), str::from_utf8(&text).is_ok());
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            prop_assert_eq!(is_utf8(&bytes), str::from_utf8(&text).is_ok());
        }
    }

    #[test]
    fn what_cannot_become_right_is_found_at_once() {
        for wrong in [&b"\xff"[..], b"\x80", b"\xc0", b"\xed\xa0", b"\xf4\x90", b"\xf5", b"\xe2\x82x"] {
            assert_eq!(Utf8::default().push(wrong), Err(Invalid), "{wrong:x?}");
            let mut text = Utf8::default();
            let (last, before) = wrong.split_last().unwrap();
            assert_eq!(before.iter().try_for_each(|&byte| text.push(&[byte])), Ok(()), "{wrong:x?}");
            assert_eq!(text.push(&[*last]), Err(Invalid), "{wrong:x?}");
        }
    }

    #[test]
    fn a_character_that_is_not_whole_at_the_end() {
        let mut text = Utf8::default();
        assert_eq!(text.push(b"a\xe2\x82"), Ok(()));
        assert_eq!(text.end(), Err(Invalid));
        // The next text starts from the beginning.
        assert_eq!(text.push(b"b").and(text.end()), Ok(()));
    }
}
