//! Compresses and inflates messages (permessage-deflate, RFC 7692), always without the context of earlier messages.
//! Functions on bytes. Each thread keeps its memory for the next call: at most 1 MB, of which a window of 15 bits takes 0.4.

use std::cell::{Cell, RefCell};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::wire::frame::{self, RSV1};

/// How a message is compressed. All who have agreed to the same share its bytes.
///
/// A client may ask for a smaller window than 32 KiB (`server_max_window_bits`). It gets the largest of a few, so that
/// clients with different wishes still share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Deflate {
    /// Not at all.
    None,
    /// A window of 512 bytes.
    Window9,
    /// A window of 4 KiB.
    Window12,
    /// A window of 32 KiB.
    Window15,
}

impl Deflate {
    /// Returns the size of the window as the extension names it, in bits; none if nothing is compressed.
    pub const fn bits(self) -> Option<u8> {
        match self {
            Self::None => None,
            Self::Window9 => Some(9),
            Self::Window12 => Some(12),
            Self::Window15 => Some(15),
        }
    }

    /// Returns the largest window of at most so many bits; [`Self::None`] if there is none.
    pub const fn within(bits: u8) -> Self {
        match bits {
            15.. => Self::Window15,
            12.. => Self::Window12,
            9.. => Self::Window9,
            _ => Self::None,
        }
    }
}

/// Why a message cannot be inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InflateFault {
    /// It has more bytes than allowed.
    TooLarge,
    /// Its data is not valid, or not complete.
    Corrupt,
}

/// Returns a whole frame of a server with its payload compressed; none if that is not smaller. The level is zlib's, 1
/// to 9.
pub fn compress(plain: &[u8], deflate: Deflate, level: u32) -> Option<Box<[u8]>> {
    let bits = deflate.bits()?;
    let payload = frame::payload(plain);
    COMPRESSORS.with_borrow_mut(|compressors| {
        let (_, zlib) = match &mut compressors[deflate as usize] {
            Some(kept) if kept.0 == level => kept,
            place => place.insert((level, Compress::new_with_window_bits(Compression::new(level), false, bits))),
        };
        zlib.reset();
        // Space for everything, although most of it would do: zlib-rs 0.6.8 does not forget what it could not give when it
        // is reset, and panics or errs in a later message.
        let mut bytes = Vec::with_capacity(payload.len() + payload.len() / 8 + LARGER);
        let status = zlib.compress_vec(payload, &mut bytes, FlushCompress::Sync);
        // One byte stays free, by which zlib shows that it has given everything.
        if !matches!(status, Ok(Status::Ok)) || bytes.len() == bytes.capacity() {
            compressors[deflate as usize] = None;
            return None;
        }
        // The receiver appends what is cut off here (section 7.2.1).
        let compressed = bytes.strip_suffix(&TAIL)?;
        if compressed.len() >= payload.len() {
            return None;
        }
        let mut frame = frame::header_of(plain[0] | RSV1, compressed.len());
        frame.extend_from_slice(compressed);
        Some(frame.into())
    })
}

/// Inflates the payload of a message (section 7.2.2), and passes at most `limit` bytes to `take`. Stops at the first
/// byte over the limit.
///
/// Blocks that are marked as the last one of their data may be followed by others, which then begin anew. An empty
/// payload, which is no valid data, stands for an empty message: peers have sent it, and all receivers take it for that.
pub fn inflate<R>(payload: &[u8], limit: usize, take: impl FnOnce(&[u8]) -> R) -> Result<R, InflateFault> {
    // Taken, not borrowed: `take` may come here again.
    let mut inflater = INFLATER.take().unwrap_or_else(Inflater::new);
    let taken = inflater.run(payload, limit).map(|len| take(&inflater.out[..len]));
    if inflater.out.len() > KEEP {
        inflater.out = Vec::new();
    }
    INFLATER.set(Some(inflater));
    taken
}

/// The memory for inflating.
#[derive(Debug)]
struct Inflater {
    zlib: Decompress,
    /// The inflated bytes, and space for more.
    out: Vec<u8>,
}

impl Inflater {
    fn new() -> Box<Self> {
        Box::new(Self { zlib: Decompress::new(false), out: Vec::new() })
    }

    /// Inflates to the front of `out`. Returns the number of bytes.
    fn run(&mut self, payload: &[u8], limit: usize) -> Result<usize, InflateFault> {
        if payload.is_empty() {
            return Ok(0);
        }
        self.zlib.reset(false);
        let mut len = 0;
        for (mut input, is_end) in [(payload, false), (&END, true)] {
            loop {
                let room = limit.saturating_add(1);
                if len == self.out.len() {
                    self.out.resize((2 * len).max(BEGINNING).min(room), 0);
                }
                let end = self.out.len().min(room);
                let before = (self.zlib.total_in(), self.zlib.total_out());
                let result = self.zlib.decompress(input, &mut self.out[len..end], FlushDecompress::Sync);
                let status = result.map_err(|_| InflateFault::Corrupt)?;
                let (read, written) = (self.zlib.total_in() - before.0, self.zlib.total_out() - before.1);
                input = &input[read as usize..];
                len += written as usize;
                if len > limit {
                    return Err(InflateFault::TooLarge);
                }
                match status {
                    Status::StreamEnd if input.is_empty() => return Ok(len),
                    // Bits of the message were left over for the end that every message gets.
                    Status::StreamEnd if is_end => return Err(InflateFault::Corrupt),
                    Status::StreamEnd => self.zlib.reset(false),
                    _ if input.is_empty() && len < end => break,
                    _ if read == 0 && written == 0 => return Err(InflateFault::Corrupt),
                    _ => {}
                }
            }
        }
        Err(InflateFault::Corrupt)
    }
}

thread_local! {
    /// The compressors by [`Deflate`], each with its level.
    static COMPRESSORS: RefCell<[Option<(u32, Compress)>; 4]> = const { RefCell::new([const { None }; 4]) };
    static INFLATER: Cell<Option<Box<Inflater>>> = const { Cell::new(None) };
}

/// The end of flushed data, which is not sent (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// The bytes by which data that does not compress gets larger, besides an eighth: heads and ends of blocks, of which the
/// fastest level writes one in all.
const LARGER: usize = 64;

/// That end, and an empty last block. Data that is not complete does not end with it.
const END: [u8; 9] = [0, 0, 0xFF, 0xFF, 1, 0, 0, 0xFF, 0xFF];

/// The bytes of space to begin with: more than nearly all messages have.
const BEGINNING: usize = 16 << 10;

/// The bytes of space that are kept for the next message.
const KEEP: usize = 64 << 10;

#[cfg(test)]
mod tests;
