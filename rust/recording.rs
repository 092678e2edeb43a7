//! Recordings: what is published in some rooms, in files. The format, byte by byte, is in docs/recording.md. The bounded
//! queue between publishers and the thread that writes is here, too; the files and the thread are in [`crate::io`].

pub mod block;
pub mod entry;
pub mod queue;
pub mod reader;
pub mod recorder;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
