//! Newcomers that wait for the host's answer.

use std::io::ErrorKind;

use crate::newcomers::state::{Asking, State};
use crate::newcomers::{Accepted, Newcomers, Stream};
use crate::queues::command::Event;
use crate::slots::ConnId;
use crate::wire::opening::Opening;
use crate::wire::refusal::Refusal;

impl<L: Stream> Newcomers<L> {
    /// Accepts a newcomer; none if it has gone.
    pub fn accept(&mut self, id: ConnId, now_us: u64) -> Option<Accepted<L>> {
        let Asking { peer, opening, subprotocol, cors, rest, asked_us, .. } = self.take_asking(id)?;
        self.ids.release(id);
        self.report.accepted(opening.status());
        self.report.answered(now_us.saturating_sub(asked_us));
        let head = opening.head(subprotocol, &cors);
        // The client of a fallback transport sends nothing more over this link.
        let rest = if matches!(opening, Opening::WebSocket { .. }) { rest.into() } else { Box::default() };
        Some(Accepted { link: peer.link, place: peer.place, opening, head, rest })
    }

    /// Refuses a newcomer, if it has not gone.
    pub fn refuse(&mut self, id: ConnId, mut refusal: Refusal, now_us: u64) {
        if let Some(Asking { peer, address, mut cors, asked_us, .. }) = self.take_asking(id) {
            self.report.answered(now_us.saturating_sub(asked_us));
            refusal.headers.append(&mut cors);
            self.deny(id, peer, address, &refusal, now_us);
        }
    }

    /// Checks whether a newcomer that waits for the host's answer has gone. One that has ended its side right behind
    /// the request has given up. One that has sent more bytes before the end has not: they must be read.
    pub(super) fn look(&mut self, id: ConnId, mut asking: Asking<L>) {
        let has_gone = match asking.peer.link.peek(&mut [0]) {
            Ok(0) => asking.rest.is_empty(),
            Ok(_) => false,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if has_gone {
            self.lose(id);
        } else {
            self.put_state(id, State::Asking(asking));
        }
    }

    /// Forgets a newcomer that has gone while it waited for the host's answer.
    pub(super) fn lose(&mut self, id: ConnId) {
        self.ids.release(id);
        self.events.push(Event::NewcomerGone { conn: id });
    }

    fn take_asking(&mut self, id: ConnId) -> Option<Asking<L>> {
        match self.take_state(id)? {
            State::Asking(asking) => Some(asking),
            state => {
                self.put_state(id, state);
                None
            }
        }
    }
}
