//! The connections of a swarm that carry requests with answers of known size: polls, and the POSTs of a fallback's client.
//! Not what they say, which is `fallback.rs`. The rule: as a browser, one connection waits and another posts; both are kept
//! alive, and one that the server has closed is opened again when there is something to ask.

use std::io;

use anyhow::Result;
use mio::{Interest, Token};

use super::Swarm;
use crate::fallback::Broken;
use crate::link::{Role, State};
use crate::reply::Reply;
use crate::session::Seen;
use crate::tally::Tally;
use crate::transport::Transport;
use crate::{clock, event_stream, frame};

/// Requests of fallbacks that were answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answers {
    /// Polls with messages.
    pub polls: u64,
    /// Polls that waited for nothing.
    pub empty: u64,
    /// POSTs.
    pub posts: u64,
}

impl Swarm {
    /// Requests of fallbacks that were answered since the beginning.
    #[must_use]
    pub fn answers(&self) -> Answers {
        self.answers
    }

    /// Posts what the client of a link has said, unless a POST is under way.
    pub(super) fn post(&mut self, id: usize) {
        let link = &mut self.links[id];
        let (Role::Session(session, _), Some(fallback)) = (&link.role, &mut link.fallback) else { return };
        fallback.say(&session.link, &mut link.out);
        let Some(request) = fallback.next_post().map(<[u8]>::to_vec) else { return };
        let courier = fallback.courier;
        let sent = match courier {
            Some(courier) if self.links[courier].state == State::Open => {
                self.links[courier].out.extend_from_slice(&request);
                self.flush(courier);
                Ok(())
            }
            Some(courier) => self.renew(courier, request),
            None => self.hire(id, request),
        };
        if sent.is_err() {
            self.close(id);
        }
    }

    /// Serves a readable courier.
    pub(super) fn read_posts(&mut self, id: usize) {
        let Role::Courier(owner) = self.links[id].role else { return };
        loop {
            let Self { links, buffer, scratch, .. } = self;
            let link = &mut links[id];
            match link.wire.read(buffer, scratch) {
                Ok(got) if got.size == 0 => return self.close(id),
                Ok(got) => link.carry.extend_from_slice(&buffer[..got.size]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return self.flush(id),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.close(id),
            }
            match Reply::read(&link.carry) {
                Ok(None) => continue,
                Ok(Some(reply)) => {
                    link.carry.drain(..reply.size);
                    self.answers.posts += 1;
                    let Some(fallback) = &mut self.links[owner].fallback else { return };
                    let taken = fallback.answered(reply.status);
                    if reply.closes {
                        self.shut(id);
                    }
                    match taken {
                        Ok(()) => self.post(owner),
                        Err(Broken) => return self.close(owner),
                    }
                }
                Err(_) => return self.close(owner),
            }
            if self.links[id].state == State::Closed {
                return;
            }
        }
    }

    /// A courier's connection is over.
    pub(super) fn courier_lost(&mut self, id: usize, owner: usize) {
        self.shut(id);
        if self.links[owner].state == State::Closed {
            return;
        }
        let Some(fallback) = &mut self.links[owner].fallback else { return };
        let again = fallback.repeat_post().map(|request| request.map(<[u8]>::to_vec));
        let repeated = match again {
            Ok(None) => return,
            Ok(Some(request)) => self.renew(id, request).is_ok(),
            Err(Broken) => false,
        };
        if !repeated {
            self.close(owner);
        }
    }

    /// Serves a readable long-polling link: the answer to its opening request, or to a poll.
    pub(super) fn read_polls(&mut self, id: usize, tally: &mut Tally) {
        let Self { links, buffer, scratch, common, answers, .. } = self;
        let link = &mut links[id];
        loop {
            let kept = link.carry.len();
            buffer[..kept].copy_from_slice(&link.carry);
            let filled = match link.wire.read(&mut buffer[kept..], scratch) {
                Ok(got) if got.size == 0 => return self.lost(id),
                Ok(got) => kept + got.size,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return self.flush(id),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.lost(id),
            };
            let now = clock::now();
            link.carry.clear();
            let reply = match Reply::read(&buffer[..filled]) {
                Ok(Some(reply)) if reply.size == filled => reply,
                Ok(None) if filled < buffer.len() => {
                    link.carry.extend_from_slice(&buffer[..filled]);
                    continue;
                }
                _ => return self.close(id),
            };
            let (Role::Session(session, _), Some(fallback)) = (&mut link.role, &mut link.fallback) else { return };
            match (link.state, reply.status) {
                (State::Upgrading, 200) => link.state = State::Joining,
                (State::Joining | State::Open, 200) => answers.polls += 1,
                (State::Joining | State::Open, 204) => answers.empty += 1,
                _ => return self.close(id),
            }
            let (state, out, started) = (&mut link.state, &mut link.out, link.started);
            let mut ended = false;
            let used = event_stream::walk(&buffer[reply.head..filled], |first, data| {
                match session.take(first, data, out) {
                    Ok(Seen::Message(stamp)) => {
                        tally.enter(id, &mut session.next, stamp, now);
                    }
                    Ok(Seen::Joined) => {
                        *state = State::Open;
                        common.opened.push(now - started);
                    }
                    Ok(Seen::Other) => {}
                    Err(_) => ended = true,
                }
                ended |= first & 0x0F == frame::CLOSE;
            });
            if ended || used != Ok(reply.size - reply.head) {
                return self.close(id);
            }
            fallback.polled();
            let counted = session.counted();
            if !link.out.is_empty() {
                self.post(id);
            }
            return self.poll(id, counted, reply.closes);
        }
    }

    /// Asks again at once, as a client does, on the same connection if that stays.
    fn poll(&mut self, id: usize, received: u64, closes: bool) {
        let link = &mut self.links[id];
        let Some(fallback) = &link.fallback else { return };
        let request = fallback.poll(received);
        if closes {
            if self.renew(id, request).is_err() {
                self.close(id);
            }
        } else if link.state != State::Closed {
            link.out.extend_from_slice(&request);
            self.flush(id);
        }
    }

    /// A connection is over that may be opened again.
    pub(super) fn lost(&mut self, id: usize) {
        let link = &mut self.links[id];
        let is_open = matches!(link.state, State::Joining | State::Open);
        let (Role::Session(session, _), Some(fallback)) = (&link.role, &mut link.fallback) else {
            return self.close(id);
        };
        if !is_open || session.transport != Transport::LongPoll || fallback.repeat().is_err() {
            return self.close(id);
        }
        let counted = session.counted();
        self.poll(id, counted, true);
    }

    /// Opens the connection that carries the POSTs of a link, and the first of them.
    fn hire(&mut self, owner: usize, request: Vec<u8>) -> Result<()> {
        let id = self.connect("", Role::Courier(owner))?;
        (self.links[id].out, self.links[id].state) = (request, State::Open);
        if let Some(fallback) = &mut self.links[owner].fallback {
            fallback.courier = Some(id);
        }
        Ok(())
    }

    /// Opens a connection again, in its place and with its state, for this request. Only while its own event is served,
    /// or when it has none.
    fn renew(&mut self, id: usize, request: Vec<u8>) -> Result<()> {
        let link = &mut self.links[id];
        link.renew(request)?;
        if matches!(link.role, Role::Courier(_)) {
            link.state = State::Open;
        }
        self.poll.registry().register(link.wire.stream_mut(), Token(id), Interest::READABLE | Interest::WRITABLE)?;
        Ok(())
    }
}
