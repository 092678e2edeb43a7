//! The messages of one read, on their way to the host. All their bytes share one allocation, so that a message needs
//! none of its own. Pure.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

/// A message of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// The payload; UTF-8 if it is text.
    pub payload: &'a [u8],
    /// Whether it is text.
    pub is_text: bool,
    /// How many microseconds the client should wait, if the message came too fast and has to be refused.
    pub wait_us: Option<u64>,
    /// The number of messages that were refused already, and their bytes, if the item stands for such. It has no
    /// payload.
    pub refused: Option<(usize, usize)>,
}

/// The messages of one read, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    /// Where the message ends.
    end: usize,
    is_text: bool,
    wait_us: Option<u64>,
    refused: Option<(usize, usize)>,
}

impl Batch {
    /// Adds a message.
    pub fn push(&mut self, message: Received<'_>) {
        self.bytes.extend_from_slice(message.payload);
        let Received { is_text, wait_us, refused, .. } = message;
        self.marks.push(Mark { end: self.bytes.len(), is_text, wait_us, refused });
    }

    /// Adds a message of `size` bytes that was refused already. Such messages in a row are one item. Returns whether
    /// this one begins a new item.
    pub fn refuse(&mut self, size: usize) -> bool {
        if let Some(Mark { refused: Some((count, bytes)), .. }) = self.marks.last_mut() {
            (*count, *bytes) = (*count + 1, *bytes + size);
            return false;
        }
        self.push(Received { payload: b"", is_text: false, wait_us: None, refused: Some((1, size)) });
        true
    }

    /// Returns the number of messages.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there are no messages.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Removes all messages. Keeps the memory for the next read, unless it is large.
    pub fn clear(&mut self) {
        self.marks.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
    }

    /// Takes some of the messages, in memory of their size. A large batch that is taken whole is not copied; this one
    /// is then empty.
    pub fn take(&mut self, range: Range<usize>) -> Self {
        if self.bytes.len() > KEEP && range == (0..self.len()) {
            let mut whole = mem::take(self);
            whole.bytes.shrink_to_fit();
            return whole;
        }
        let begin = self.begin(range.start);
        let bytes = self.bytes[begin..self.begin(range.end)].to_vec();
        let mut marks = self.marks[range].to_vec();
        if begin > 0 {
            marks.iter_mut().for_each(|mark| mark.end -= begin);
        }
        Self { bytes, marks }
    }

    /// Returns one message.
    pub fn get(&self, index: usize) -> Received<'_> {
        let Mark { end, is_text, wait_us, refused } = self.marks[index];
        Received { payload: &self.bytes[self.begin(index)..end], is_text, wait_us, refused }
    }

    /// Returns the bytes of some messages.
    pub fn size(&self, range: Range<usize>) -> usize {
        self.begin(range.end) - self.begin(range.start)
    }

    fn begin(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.marks[before].end)
    }
}

/// Consecutive messages of a batch; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    batch: Arc<Batch>,
    range: Range<usize>,
}

impl Piece {
    /// Creates a piece of all messages of a batch; none if the batch is empty.
    pub fn new(batch: Batch) -> Option<Self> {
        let range = 0..batch.len();
        (!batch.is_empty()).then(|| Self { batch: Arc::new(batch), range })
    }

    /// Returns the number of messages.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Returns their bytes.
    pub fn size(&self) -> usize {
        self.batch.size(self.range.clone())
    }

    /// Splits off the first `most` messages, at least one. Also returns the rest, if there is any.
    pub fn split(self, most: usize) -> (Self, Option<Self>) {
        let most = most.max(1);
        if most >= self.len() {
            return (self, None);
        }
        let middle = self.range.start + most;
        let first = Self { batch: Arc::clone(&self.batch), range: self.range.start..middle };
        (first, Some(Self { range: middle..self.range.end, batch: self.batch }))
    }

    /// Returns the messages.
    pub fn iter(&self) -> impl Iterator<Item = Received<'_>> {
        self.range.clone().map(|index| self.batch.get(index))
    }
}

/// Messages of one client on their way to the host, from one or more reads.
#[derive(Debug, PartialEq, Eq)]
pub struct Messages {
    first: Piece,
    more: Vec<Piece>,
}

impl Messages {
    /// Creates it from the messages of one read.
    pub fn new(first: Piece) -> Self {
        Self { first, more: Vec::new() }
    }

    /// Adds the messages of a later read.
    pub fn push(&mut self, piece: Piece) {
        self.more.push(piece);
    }

    /// Returns the number of messages.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.pieces().map(Piece::len).sum()
    }

    /// Returns their bytes.
    pub fn size(&self) -> usize {
        self.pieces().map(Piece::size).sum()
    }

    /// Returns the messages.
    pub fn iter(&self) -> impl Iterator<Item = Received<'_>> {
        self.pieces().flat_map(Piece::iter)
    }

    /// Returns how many messages were refused already, if there are no others.
    pub fn refused(&self) -> Option<usize> {
        self.iter().try_fold(0, |sum, message| Some(sum + message.refused?.0))
    }

    /// Returns the messages of each read.
    pub fn into_pieces(self) -> impl Iterator<Item = Piece> {
        std::iter::once(self.first).chain(self.more)
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        std::iter::once(&self.first).chain(&self.more)
    }
}

/// The bytes that an empty batch keeps: those of one read, besides one large message.
const KEEP: usize = 128 << 10;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Text messages as one read brings them.
    pub(crate) fn messages_of<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Messages {
        let mut batch = Batch::default();
        for text in texts {
            batch.push(Received { payload: text.as_ref(), is_text: true, wait_us: None, refused: None });
        }
        Messages::new(Piece::new(batch).unwrap())
    }

    fn batch(texts: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for (place, text) in texts.iter().enumerate() {
            let wait_us = (place == 2).then_some(7);
            batch.push(Received { payload: text.as_bytes(), is_text: place % 2 == 0, wait_us, refused: None });
        }
        batch
    }

    fn texts<'a>(messages: impl Iterator<Item = Received<'a>>) -> Vec<String> {
        messages.map(|message| String::from_utf8_lossy(message.payload).into_owned()).collect()
    }

    #[test]
    fn messages_are_as_they_were_pushed() {
        let batch = batch(&["a", "", "ccc"]);
        assert_eq!(batch.get(0), Received { payload: b"a", is_text: true, wait_us: None, refused: None });
        assert_eq!(batch.get(1), Received { payload: b"", is_text: false, wait_us: None, refused: None });
        assert_eq!(batch.get(2), Received { payload: b"ccc", is_text: true, wait_us: Some(7), refused: None });
        assert_eq!((batch.len(), batch.size(0..3), batch.size(0..2), batch.size(2..2)), (3, 4, 1, 0));
    }

    #[test]
    fn a_part_of_a_batch_is_a_batch() {
        let mut whole = batch(&["a", "bb", "ccc", "dddd"]);
        let part = whole.take(1..3);
        assert_eq!(
            (part.len(), part.size(0..2), part.get(1).payload, part.get(1).wait_us),
            (2, 5, &b"ccc"[..], Some(7))
        );
        assert_eq!(whole.len(), 4);
        assert_eq!(whole.take(0..4), whole);
        whole.clear();
        assert!(whole.is_empty() && Piece::new(whole.take(0..0)).is_none());
        let large = "x".repeat(KEEP + 1);
        whole.push(Received { payload: large.as_bytes(), is_text: true, wait_us: None, refused: None });
        assert_eq!(whole.take(0..1).size(0..1), KEEP + 1);
        assert_eq!((whole.bytes.capacity(), whole.len()), (0, 0));
    }

    #[test]
    fn refused_messages_in_a_row_are_one_item() {
        let mut batch = Batch::default();
        assert_eq!([batch.refuse(5), batch.refuse(6)], [true, false]);
        assert_eq!(Messages::new(Piece::new(batch.take(0..1)).unwrap()).refused(), Some(2));
        batch.push(Received { payload: b"a", is_text: true, wait_us: None, refused: None });
        assert!(batch.refuse(7));
        let found: Vec<_> =
            (0..batch.len()).map(|place| (batch.get(place).payload, batch.get(place).refused)).collect();
        assert_eq!(found, [(&b""[..], Some((2, 11))), (b"a", None), (b"", Some((1, 7)))]);
        assert_eq!(Messages::new(Piece::new(batch).unwrap()).refused(), None);
    }

    #[test]
    fn pieces_are_split_and_joined() {
        let (first, rest) = Piece::new(batch(&["a", "bb", "ccc", "dddd"])).unwrap().split(1);
        let (second, rest) = rest.unwrap().split(2);
        let (third, none) = rest.unwrap().split(9);
        assert!(none.is_none());
        assert_eq!([first.len(), second.len(), third.len()], [1, 2, 1]);
        assert_eq!([first.size(), second.size(), third.size()], [1, 5, 4]);
        let mut messages = Messages::new(second);
        messages.push(third);
        assert_eq!(texts(messages.iter()), ["bb", "ccc", "dddd"]);
        assert_eq!((messages.len(), messages.size(), messages.into_pieces().count()), (3, 9, 2));
    }
}
