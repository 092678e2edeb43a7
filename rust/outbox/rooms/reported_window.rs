//! The window of a room whose reader reports, and what the reader knows of it.

use crate::outbox::window::{self, Reader, Window, part};

/// A window, and the size that the reader was told last. The reader reports by that size, and so the window is open by
/// it: no message waits for a report that is not due.
#[derive(Debug)]
pub(super) struct ReportedWindow {
    window: Window,
    told: usize,
}

impl ReportedWindow {
    /// Creates a window with nothing under way. The reader is told [`window::INITIAL`].
    pub(super) fn new(now_us: u64) -> Self {
        Self { window: Window::new(Reader::Reporting, now_us), told: window::INITIAL }
    }

    /// Whether so many bytes may be written.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.window.fits(bytes)
    }

    /// Whether a message of `bytes` may be written after `ahead` bytes that are about to be written. Bytes are those that
    /// the reader counts, or fewer.
    pub(super) fn admits(&mut self, ahead: usize, bytes: usize) -> bool {
        self.window.admits(ahead, bytes, part(self.told))
    }

    /// Notes a message that was written. Indexes rise.
    pub(super) fn sent(&mut self, index: u64, bytes: usize, now_us: u64) {
        self.window.sent(index, bytes, now_us);
    }

    /// Notes a report: everything up to an index was taken. Returns the size if the reader has to be told; `is_tellable`
    /// says whether that is possible.
    pub(super) fn taken(&mut self, index: u64, now_us: u64, is_tellable: bool) -> Option<usize> {
        self.window.taken(index, now_us);
        let size = self.window.size();
        let is_news = size * 4 <= self.told * 3 || size * 2 >= self.told * 3;
        (is_news && is_tellable).then(|| {
            self.told = size;
            size
        })
    }
}

#[cfg(test)]
mod tests;
