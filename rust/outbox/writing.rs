//! How an outbox writes: it offers the next frames to the sink, and removes what has left.

use std::io::{self, ErrorKind, IoSlice};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::message::Message;
use crate::outbox::control::{Control, ControlKind};
use crate::outbox::probes;
use crate::outbox::{Close, Flushed, Outbox, Progress, Sink};
use crate::protocol::envelope;
use crate::protocol::form::Form;

impl Outbox {
    /// Writes what waits, as much as one call of the sink may carry.
    pub fn flush(&mut self, sink: &mut impl Sink, now_us: u64) -> io::Result<Flushed> {
        let mut flushed = Flushed { progress: Progress::More, messages: 0, bytes: 0, oldest_us: None };
        self.plan(now_us);
        if self.may_leave() {
            // Zeroing a large array costs more than a small write.
            let (offered, result) = match self.messages() {
                0..=7 => self.write::<12>(sink),
                _ => self.write::<IOV_MAX>(sink),
            };
            match result {
                Ok(written) => flushed.bytes = written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(flushed),
                Err(error) => return Err(error),
            }
            self.advance(flushed.bytes, &mut flushed, now_us);
            if flushed.bytes < offered {
                flushed.progress = Progress::Blocked;
                return Ok(flushed);
            }
            self.plan(now_us);
        }
        if self.is_empty() {
            self.allowance = 0;
            self.reliable.shrink();
            self.droppable.shrink();
            flushed.progress = if self.is_closing() { Progress::Closed } else { Progress::Empty };
        } else if !self.may_leave() {
            flushed.progress = Progress::Held;
        }
        Ok(flushed)
    }

    /// Offers the next frames to the sink. Returns the bytes offered and the sink's result.
    pub(super) fn write<const N: usize>(&self, sink: &mut impl Sink) -> (usize, io::Result<usize>) {
        let begun = self.begun.iter().map(|begun| &begun.frame.bytes(self.form)[begun.written..]);
        let control = self.control.iter().map(|control| &*control.bytes);
        // The frame that is being sent again is still the first pending one, and must not be offered twice.
        let skip = usize::from(self.begun.as_ref().is_some_and(|begun| begun.is_again));
        let again = self.replay.iter().flat_map(|replay| replay.iter_pending().skip(skip));
        let messages = again.chain(&self.urgent).chain(self.reliable.iter()).map(|message| message.frame(self.form));
        let mut bufs = [IoSlice::new(&[]); N];
        let (mut count, mut offered) = (0, 0);
        let mut offer = |bytes| {
            bufs[count] = IoSlice::new(bytes);
            count += 1;
            offered += bytes.len();
            if count < N && offered < WRITE_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        // Not a loop over the chain: internal iteration is several times as fast.
        let mut flow = begun.chain(control).chain(messages).try_for_each(&mut offer);
        if flow.is_continue() {
            flow = self.droppable.try_each(|message| offer(message.frame(self.form)));
        }
        if let Close::Queued(frame) = &self.close
            && flow.is_continue()
            && self.droppable.is_all_planned()
        {
            bufs[count] = IoSlice::new(frame);
            count += 1;
            offered += frame.len();
        }
        (offered, sink.write(&bufs[..count]))
    }

    /// Removes `written` bytes from the front, in the order in which [`Self::write`] offered them.
    pub(super) fn advance(&mut self, mut written: usize, flushed: &mut Flushed, now_us: u64) {
        while written > 0 {
            let Some(mut next) = self.begun.take().or_else(|| self.pop(now_us)) else { return };
            let left = next.frame.bytes(self.form).len() - next.written;
            if written < left {
                next.written += written;
                self.begun = Some(next);
                return;
            }
            written -= left;
            match next.frame {
                Frame::Own(bytes) => self.bytes -= bytes.len(),
                Frame::Message(message) => {
                    flushed.messages += message.count();
                    if next.is_again {
                        self.replay.iter_mut().for_each(|replay| replay.wrote_pending());
                        continue;
                    }
                    flushed.oldest_us = flushed.oldest_us.or(Some(message.published_us));
                    let cost = message.cost(self.form);
                    self.bytes -= cost;
                    if let Some(replay) = &mut self.replay {
                        replay.wrote(message, cost);
                    }
                }
            }
        }
    }

    pub(super) fn pop(&mut self, now_us: u64) -> Option<Begun> {
        let mut is_again = false;
        let frame = if let Some(control) = self.control.pop_front() {
            Frame::Own(control.bytes)
        } else if let Some(message) = self.replay.as_ref().and_then(|replay| replay.first_pending()) {
            is_again = true;
            Frame::Message(Arc::clone(message))
        } else if let Some(message) = self.urgent.pop_front() {
            Frame::Message(message)
        } else if let Some(message) = self.reliable.pop() {
            Frame::Message(message)
        } else if let Some(message) = self.droppable.pop(self.next_index(), now_us) {
            Frame::Message(message)
        } else if let Close::Queued(frame) = &mut self.close
            && self.droppable.len() == 0
        {
            let frame = std::mem::take(frame);
            self.close = Close::Sent;
            self.bytes += frame.len();
            Frame::Own(frame)
        } else {
            return None;
        };
        Some(Begun { frame, written: 0, is_again })
    }

    /// Computes which droppable messages may leave, and queues a probe if one has to come first.
    pub(super) fn plan(&mut self, now_us: u64) {
        let probe = self.droppable.plan(IOV_MAX, now_us);
        for (room, name, bytes) in self.droppable.take_new() {
            if let Some(frame) = envelope::window(self.form, &name, bytes) {
                self.push_at_most(1, Control { kind: ControlKind::Window(room), bytes: frame });
            }
        }
        if let Some(probe) = probe
            && let Some((probe_key, conn)) = &self.probe_key
        {
            let frame = probes::frame(probe_key.payload(*conn, probe));
            self.push_control(Control { kind: ControlKind::Probe, bytes: frame });
        }
    }

    /// Whether anything may be sent now.
    pub(super) fn may_leave(&self) -> bool {
        !self.is_empty() && (!self.droppable.is_held() || self.droppable.is_ready() || self.has_others())
    }

    /// Whether anything but droppable messages may be sent.
    pub(super) fn has_others(&self) -> bool {
        self.begun.is_some() || !self.control.is_empty() || self.messages() > self.droppable.len()
    }

    /// Returns the number in the session of the next new message.
    pub(super) fn next_index(&self) -> u64 {
        self.replay.as_ref().map_or(0, |replay| replay.total()) + 1
    }
}

/// A frame that is being written.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) frame: Frame,
    pub(super) written: usize,
    /// Whether it was sent before; it then stays in the replay until it is written.
    pub(super) is_again: bool,
}

#[derive(Debug)]
pub(super) enum Frame {
    Message(Arc<Message>),
    Own(Box<[u8]>),
}

impl Frame {
    pub(super) fn bytes(&self, form: Form) -> &[u8] {
        match self {
            Self::Message(message) => message.frame(form),
            Self::Own(bytes) => bytes,
        }
    }
}

/// The limit on buffers in one vectored write. The kernel takes 1,024; past 256 the cost of each frame no longer falls.
pub(super) const IOV_MAX: usize = 256;

/// The approximate limit on bytes in one write: enough to make the call cheap, and no long wait for the next
/// connection.
pub(super) const WRITE_MAX: usize = 256 << 10;
