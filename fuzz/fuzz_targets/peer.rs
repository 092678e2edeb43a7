//! The other end of an outbox: a link that takes a limited number of bytes, and a peer that knows what has to come.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use fanwire::message::{Delivery, Message, RoomId};
use fanwire::outbox::Sink;
use fanwire::protocol::form::{Deflate, Form};
use fanwire::wire::deflate::inflate;
use fanwire::wire::frame;

use crate::wire;

/// Takes `left` bytes, then blocks.
#[derive(Default)]
pub struct Link {
    pub left: usize,
    pub is_interrupted: bool,
    pub taken: Vec<u8>,
}

impl Sink for Link {
    fn write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if std::mem::take(&mut self.is_interrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.left == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let before = self.taken.len();
        for buf in bufs {
            let take = buf.len().min(self.left);
            self.taken.extend_from_slice(&buf[..take]);
            self.left -= take;
        }
        Ok(self.taken.len() - before)
    }
}

pub struct Peer {
    pub link: Link,
    /// The messages that have come, in order.
    pub came: Vec<Arc<Message>>,
    pub is_closed: bool,
    /// The payloads of the pings that have come over this link.
    pub pings: Vec<Vec<u8>>,
    form: Form,
    /// What came already and has to come again, before everything else.
    again: VecDeque<Arc<Message>>,
    reliable: VecDeque<Arc<Message>>,
    droppable: BTreeMap<RoomId, VecDeque<Arc<Message>>>,
}

impl Peer {
    pub fn new(form: Form) -> Self {
        let (link, came, pings) = Default::default();
        let (again, reliable, droppable) = Default::default();
        Self { link, came, is_closed: false, pings, form, again, reliable, droppable }
    }

    /// Expects a message, or the parts of a joined one.
    pub fn expect(&mut self, message: &Arc<Message>) {
        let lane = match message.delivery() {
            Delivery::Reliable => &mut self.reliable,
            _ => self.droppable.entry(message.room()).or_default(),
        };
        lane.extend(message.parts().iter().cloned());
    }

    /// A message will not come.
    pub fn forget(&mut self, room: RoomId, seq: u64) {
        let (lane, place) = self.place(room, seq);
        lane.remove(place);
    }

    /// Another message will come in its place.
    pub fn replace(&mut self, room: RoomId, seq: u64, by: &Arc<Message>) {
        let (lane, place) = self.place(room, seq);
        assert_eq!(lane[place].key(), by.key());
        lane[place] = Arc::clone(by);
    }

    fn place(&mut self, room: RoomId, seq: u64) -> (&mut VecDeque<Arc<Message>>, usize) {
        let lane = self.droppable.entry(room).or_default();
        let place = lane.iter().position(|message| message.seq() == seq).expect("only what waits is dropped");
        (lane, place)
    }

    /// The link is lost with what was on it, and the session goes on after the first `received` messages, in this form.
    pub fn lost(&mut self, received: usize, form: Form) {
        self.form = form;
        self.link.taken.clear();
        self.pings.clear();
        for message in self.came.drain(received..).rev() {
            self.again.push_front(message);
        }
    }

    pub fn has_all(&self) -> bool {
        self.again.is_empty() && self.reliable.is_empty() && self.droppable.values().all(VecDeque::is_empty)
    }

    /// Reads the whole frames that are there.
    pub fn read(&mut self) {
        let taken = std::mem::take(&mut self.link.taken);
        let mut bytes = &*taken;
        loop {
            let rest = bytes;
            let Some(frame) = wire::take(&mut bytes) else { break };
            assert!(!self.is_closed, "a frame after the close frame");
            match frame.first {
                0x88 => self.is_closed = true,
                0x89 => self.pings.push(frame.payload.to_vec()),
                0x8A => {}
                // An envelope is longer than a heartbeat.
                _ if self.form.codec.has_envelopes() && frame.payload.len() < 16 => {}
                _ if WINDOW.iter().any(|start| frame.payload.starts_with(start)) => {}
                _ => self.read_message(&rest[..rest.len() - bytes.len()]),
            }
        }
        self.link.taken = bytes.to_vec();
    }

    fn read_message(&mut self, frame: &[u8]) {
        let is_it = |message: Option<&Arc<Message>>| message.is_some_and(|message| message.frame(self.form) == frame);
        let plain = Form { deflate: Deflate::None, ..self.form };
        let message = if !self.again.is_empty() {
            assert!(is_it(self.again.front()), "not what has to come again");
            self.again.pop_front()
        } else if is_it(self.reliable.front()) {
            self.reliable.pop_front()
        } else {
            let lane = self.droppable.values_mut().find(|lane| is_it(lane.front()));
            lane.expect("nothing that is to come next").pop_front()
        };
        if let Some(message) = &message
            && frame[0] & 0x40 != 0
        {
            let plain = message.frame(plain);
            let is_same = inflate(frame::payload(frame), plain.len(), |inflated| inflated == frame::payload(plain));
            assert_eq!((is_same, frame.len() < plain.len()), (Ok(true), true));
        }
        self.came.extend(message);
    }
}

/// The beginning of envelopes about a window, which a session does not count.
const WINDOW: [&[u8]; 2] = [br#"{"type":"window","#, b"\x83\xa4type\xa6window"];
