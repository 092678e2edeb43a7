//! Connections and sessions by id: opening, resuming over another link, sending and closing.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::engine::{Engine, EngineSettings, Handle, lock};
use crate::error::Error;
use crate::io::link::AnyLink;
use crate::io::socket_link::SocketLink;
use crate::protocol::form::Form;
use crate::protocol::report::Report;
use crate::queues::command::{Command, Greeting, Resume, Retired, Source, UNRESUMED};
use crate::slots::ConnId;
use crate::wire::{frame, posted};

/// The close code and reason of a link that is closed while its session continues.
#[derive(Debug, Clone, Copy)]
pub struct CloseReason<'a> {
    code: u16,
    reason: &'a str,
}

impl<'a> CloseReason<'a> {
    /// Fails if the code may not be sent.
    pub fn new(code: u16, reason: &'a str) -> Result<Self, Error> {
        match frame::is_sendable_code(code) {
            true => Ok(Self { code, reason }),
            false => Err(Error::Invalid(format!("the close code {code} must not be sent (RFC 6455 section 7.4)"))),
        }
    }

    pub(super) fn retire(self, id: ConnId) -> Retired {
        Retired { id, code: self.code, reason: self.reason.into() }
    }
}

impl Engine {
    /// Opens a connection over a socket, with or without a session. Only the engine reads and writes the socket from now
    /// on. The connection is sent the bytes `greeting` and then, as a message, `first`.
    pub fn open(
        &self,
        fd: OwnedFd,
        form: Form,
        has_session: bool,
        [greeting, first]: [&[u8]; 2],
        source: Source,
    ) -> Result<ConnId, Error> {
        self.check()?;
        let shard = self.emptiest()?;
        let (conn, link) = self.link(fd, shard)?;
        let (greeting, first) = (Greeting::Bytes(greeting.into()), first.into());
        shard.push(Command::Open { conn, link, form, has_session, greeting, first, source }, 0);
        Ok(conn)
    }

    /// Resumes the session of a connection over another socket. The client has received the first `received` messages of
    /// it, and the host has counted the first `refusals` refusals of the client's messages. The link starts with the bytes `greeting` and the envelope `accepted`. If the session cannot be resumed, the
    /// envelope is the one in `refused` for the reason, and the link becomes a connection of its own with the returned
    /// id. [`Event::Resumed`](crate::queues::command::Event::Resumed) or
    /// [`Event::Refused`](crate::queues::command::Event::Refused) reports the result.
    #[expect(clippy::too_many_arguments, reason = "the session, the link and what it begins with")]
    pub fn resume(
        &self,
        conn: ConnId,
        fd: OwnedFd,
        form: Form,
        [received, refusals]: [u64; 2],
        [greeting, accepted]: [&[u8]; 2],
        refused: [Box<[u8]>; UNRESUMED.len()],
        close: CloseReason<'_>,
        source: Source,
    ) -> Result<ConnId, Error> {
        self.check()?;
        let Some(shard) = self.shard_of(conn) else {
            return Err(Error::Invalid(format!("there is no connection {conn:?}")));
        };
        let retired = close.retire(shard.take_id()?);
        let (as_new, link) = self.link(fd, shard).inspect_err(|_| lock(&shard.ids).release(retired.id))?;
        let (greeting, accepted) = (Greeting::Bytes(greeting.into()), accepted.into());
        let resume =
            Resume { conn, link, as_new, retired, form, received, refusals, greeting, accepted, refused, source };
        shard.push(Command::Resume(Box::new(resume)), 0);
        Ok(as_new)
    }

    /// Closes the link of a session, if `link` still is its link. The session goes on without a link or, if it
    /// `is_over`, ends as by [`Self::gone`].
    pub fn retire(&self, conn: ConnId, link: ConnId, close: CloseReason<'_>, is_over: bool) -> Result<(), Error> {
        self.check()?;
        let Some(shard) = self.shard_of(conn) else { return Ok(()) };
        let command = match shard.take_id() {
            Ok(id) => Command::Retire { conn, link, retired: close.retire(id), is_over },
            // No id is left for the link, so it is cut without a close frame.
            Err(_) if is_over => Command::Gone { conn },
            Err(_) => Command::Cut { conn, link },
        };
        shard.push(command, 0);
        Ok(())
    }

    /// Ends a link at once. Its session goes on without a link until it is resumed or [`Self::gone`] is called.
    pub fn cut(&self, conn: ConnId, link: ConnId) -> Result<(), Error> {
        self.tell(conn, Command::Cut { conn, link }, 0)
    }

    /// Ends a connection and its session. A link that it still has is cut.
    pub fn gone(&self, conn: ConnId) -> Result<(), Error> {
        self.tell(conn, Command::Gone { conn }, 0)
    }

    /// Closes a connection with a close frame: after all that waits (`flush`), or before it.
    pub fn close(&self, conn: ConnId, code: Option<u16>, reason: &str, flush: bool) -> Result<(), Error> {
        if let Some(code) = code
            && !frame::is_sendable_code(code)
        {
            return Err(Error::Invalid(format!("the close code {code} must not be sent (RFC 6455 section 7.4)")));
        }
        self.tell(conn, Command::Close { conn, code, reason: frame::cut(reason).into(), flush }, 0)
    }

    /// Stops or continues reading messages of a connection.
    pub fn hold(&self, conn: ConnId, is_held: bool) -> Result<(), Error> {
        self.tell(conn, Command::Hold { conn, is_held }, 0)
    }

    /// Takes messages of a one-way link's client, which the host has read of another request: one a line, of text or, if
    /// it `is_binary`, of base64. They are handled like frames of a WebSocket. Counts as a sign of life. Returns how many
    /// bytes [`Event::Read`](crate::queues::command::Event::Read) reports for them. With `close` the client closes
    /// behind them, as by a close frame with that code. Fails if a line or the code is not valid.
    pub fn post(
        &self,
        conn: ConnId,
        link: ConnId,
        lines: &[u8],
        is_binary: bool,
        close: Option<u16>,
    ) -> Result<usize, Error> {
        let mut frames = posted::frames(lines, is_binary).map_err(Error::Invalid)?;
        if let Some(code) = close {
            let CloseReason { code, .. } = CloseReason::new(code, "")?;
            frame::push_unmasked(&mut frames, frame::Opcode::Close, &code.to_be_bytes());
        }
        let size = frames.len();
        self.tell(conn, Command::Post { conn, link, frames: frames.into() }, size)?;
        Ok(size)
    }

    /// The client of a link of polls has sent a poll, and has received the first `received` messages. What follows them
    /// is sent again, or sent. One event [`Event::Data`](crate::queues::command::Event::Data) answers the poll. Counts as
    /// a sign of life. If the client cannot have received so many, or what follows is no longer kept, the link is lost.
    pub fn poll(&self, conn: ConnId, link: ConnId, received: u64) -> Result<(), Error> {
        self.tell(conn, Command::Poll { conn, link, received }, 0)
    }

    /// Takes a report of the peer that the host has read.
    pub fn report(&self, conn: ConnId, report: Report) -> Result<(), Error> {
        self.tell(conn, Command::Report { conn, report: Box::new(report) }, 0)
    }

    /// Sends raw bytes, such as a handshake reply, ahead of all messages.
    pub fn send_raw(&self, conn: ConnId, bytes: &[u8]) -> Result<(), Error> {
        self.tell(conn, Command::Raw { conn, bytes: bytes.into() }, bytes.len())
    }

    fn link(&self, fd: OwnedFd, shard: &Handle) -> Result<(ConnId, AnyLink), Error> {
        let id = shard.take_id()?;
        let EngineSettings { unsent_bytes, write_timeout, .. } = self.settings;
        match SocketLink::new(fd, Arc::clone(&shard.registry), unsent_bytes, write_timeout) {
            Ok(link) => Ok((id, AnyLink::Socket(link))),
            Err(error) => {
                lock(&shard.ids).release(id);
                Err(error.into())
            }
        }
    }
}
