//! How an outbox writes: it offers the next frames to the sink, and removes what has left.

use std::io::{self, ErrorKind, IoSlice};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::message::Message;
use crate::outbox::control::{Control, ControlKind};
use crate::outbox::joins::{Batcher, Joins, Run};
use crate::outbox::probes;
use crate::outbox::{Close, Flushed, Outbox, Progress, Sink};
use crate::protocol::envelope;
use crate::protocol::form::Form;

impl Outbox {
    /// Writes what waits, as much as one call of the sink may carry. Connections that take batches share `joins`.
    /// Calls `left` with each message that has left, and whether it had left before.
    pub fn flush(
        &mut self,
        sink: &mut impl Sink,
        joins: &mut Joins,
        now_us: u64,
        left: &mut impl FnMut(&Message, bool),
    ) -> io::Result<Flushed> {
        let mut flushed = Flushed { progress: Progress::More, messages: 0, bytes: 0 };
        self.plan(now_us);
        if self.may_leave() {
            let batches = if self.form.is_batched { self.batches(joins) } else { Vec::new() };
            let count = if batches.is_empty() { self.messages() } else { batches.len() };
            // Zeroing a large array costs more than a small write.
            let (offered, result) = match count {
                0..=7 => self.write::<12>(sink, &batches),
                _ => self.write::<IOV_MAX>(sink, &batches),
            };
            match result {
                Ok(written) => flushed.bytes = written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(flushed),
                Err(error) => return Err(error),
            }
            flushed.messages = self.advance(flushed.bytes, batches, now_us, left);
            if self.tiers.is_some() && flushed.bytes > 0 {
                self.turn_tiers();
            }
            if flushed.bytes < offered {
                flushed.progress = Progress::Blocked;
                return Ok(flushed);
            }
            self.plan(now_us);
        }
        if self.is_empty() {
            self.allowance = 0;
            self.reliable.shrink();
            self.tiers.iter_mut().for_each(|tiers| tiers.shrink());
            self.droppable.shrink();
            flushed.progress = if self.is_closing() { Progress::Closed } else { Progress::Empty };
        } else if !self.may_leave() {
            flushed.progress = Progress::Held;
        }
        Ok(flushed)
    }

    /// Returns the next messages in batches; empty if at most one waits.
    fn batches(&self, joins: &mut Joins) -> Vec<Run> {
        let count = self.messages() - self.begun_again();
        if count < 2 {
            return Vec::new();
        }
        let mut batcher = Batcher::new(joins, self.form);
        let mut flow = self.iter_again().try_for_each(|message| batcher.add(message));
        // What was sent before is not joined with what was not, because only the latter counts as waiting.
        batcher.cut();
        if flow.is_continue() {
            flow = self.urgent.iter().try_for_each(|message| batcher.add(message));
        }
        if flow.is_continue() {
            // It is a limit on what is offered, and does not matter here.
            let _ = self.try_each_room(|message| batcher.add(message));
        }
        batcher.finish()
    }

    /// Returns what is to be sent again and has not begun to leave.
    fn iter_again(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.replay.iter().flat_map(|replay| replay.iter_pending().skip(self.begun_again()))
    }

    /// Returns 1 if a message is being sent again; it is still the first pending one, and must not be offered twice.
    fn begun_again(&self) -> usize {
        usize::from(self.begun.as_ref().is_some_and(|begun| begun.is_again))
    }

    /// Offers the next frames to the sink. Returns the bytes offered and the sink's result.
    pub(super) fn write<const N: usize>(&self, sink: &mut impl Sink, batches: &[Run]) -> (usize, io::Result<usize>) {
        let begun = self.begun.iter().map(|begun| &begun.frame.bytes(self.form)[begun.written..]);
        let control = self.control.iter().map(|control| &*control.bytes);
        let mut bufs = [IoSlice::new(&[]); N];
        let (mut count, mut offered) = (0, 0);
        let mut offer = |bytes| {
            bufs[count] = IoSlice::new(bytes);
            count += 1;
            offered += bytes.len();
            if count < N && offered < WRITE_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        // Not a loop over the chain: internal iteration is several times as fast.
        let first = begun.chain(control);
        let mut flow = if batches.is_empty() {
            let messages = self.iter_again().chain(&self.urgent);
            first.chain(messages.map(|message| message.frame(self.form))).try_for_each(&mut offer)
        } else {
            first.chain(batches.iter().map(|batch| batch.message.frame(self.form))).try_for_each(&mut offer)
        };
        if flow.is_continue() && batches.is_empty() {
            flow = self.try_each_room(|message| offer(message.frame(self.form)));
        }
        let joined: usize = batches.iter().map(|batch| batch.count).sum();
        if let Close::Queued(frame) = &self.close
            && flow.is_continue()
            && self.droppable.is_all_planned()
            && (batches.is_empty() || joined + self.begun_again() == self.messages())
        {
            bufs[count] = IoSlice::new(frame);
            count += 1;
            offered += frame.len();
        }
        (offered, sink.write(&bufs[..count]))
    }

    /// Removes `written` bytes from the front, in the order in which [`Self::write`] offered them. Returns the number of
    /// messages that have left.
    fn advance(
        &mut self,
        mut written: usize,
        batches: Vec<Run>,
        now_us: u64,
        left: &mut impl FnMut(&Message, bool),
    ) -> usize {
        let mut batches = batches.into_iter();
        let mut messages = 0;
        while written > 0 {
            let Some(mut next) = self.begun.take().or_else(|| self.pop(&mut batches, now_us)) else { break };
            let rest = next.frame.bytes(self.form).len() - next.written;
            if written < rest {
                next.written += written;
                self.begun = Some(next);
                break;
            }
            written -= rest;
            match next.frame {
                Frame::Own(bytes) => self.bytes -= bytes.len(),
                Frame::Message(message) => {
                    messages += message.count();
                    left(&message, next.is_again);
                    if next.is_again {
                        self.replay.iter_mut().for_each(|replay| replay.wrote_pending());
                        continue;
                    }
                    let cost = message.cost(self.form);
                    self.bytes -= cost;
                    if let Some(replay) = &mut self.replay {
                        replay.wrote(message, cost);
                    }
                }
            }
        }
        messages
    }

    fn pop(&mut self, batches: &mut impl Iterator<Item = Run>, now_us: u64) -> Option<Begun> {
        let mut is_again = false;
        let frame = if let Some(control) = self.control.pop_front() {
            Frame::Own(control.bytes)
        } else if let Some(Run { message, count }) = batches.next() {
            is_again = self.pop_batch(&message, count, now_us);
            Frame::Message(message)
        } else if let Some(message) = self.replay.as_ref().and_then(|replay| replay.first_pending()) {
            is_again = true;
            Frame::Message(Arc::clone(message))
        } else if let Some(message) = self.pop_new(self.next_index(), now_us) {
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

    /// Takes the next message that was never sent. `index` is its number in the session.
    fn pop_new(&mut self, index: u64, now_us: u64) -> Option<Arc<Message>> {
        self.urgent.pop_front().or_else(|| self.pop_room(index, now_us))
    }

    /// Takes the next `count` messages, in whose place the batch `joined` leaves. Returns whether they were sent before;
    /// the batch then waits in the replay in their place.
    fn pop_batch(&mut self, joined: &Arc<Message>, count: usize, now_us: u64) -> bool {
        if let Some(replay) = &mut self.replay
            && replay.pending() > 0
        {
            replay.join_pending(joined, count);
            return true;
        }
        let mut index = self.next_index();
        for _ in 0..count {
            let Some(message) = self.pop_new(index, now_us) else { break };
            index += message.count() as u64;
            self.bytes -= message.cost(self.form);
        }
        self.bytes += joined.cost(self.form);
        false
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
