//! Connections and sessions by their ids: opened, resumed over another link, told, and closed.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::engine::{Engine, Handle, Settings, lock};
use crate::error::Error;
use crate::io::link::{HostLink, SocketLink, Wire};
use crate::newcomers;
use crate::protocol::form::Form;
use crate::protocol::report::Report;
use crate::queues::command::{Command, Resume, Retired, Source, UNRESUMED};
use crate::slots::ConnId;
use crate::wire::frame;

/// The way out of a new connection.
#[derive(Debug)]
pub enum Way {
    /// Its socket, which nobody else reads or writes from here on.
    Socket(OwnedFd),
    /// The host reads and writes: bytes go as events, `window` at a time, and come by [`Engine::feed`].
    Hosted {
        /// Bytes.
        window: usize,
        /// The socket below, to ask the kernel about.
        fd: Option<OwnedFd>,
    },
}

/// What the last frame of a link says, when it is closed and its session is not.
#[derive(Debug, Clone, Copy)]
pub struct Farewell<'a> {
    code: u16,
    reason: &'a str,
}

impl<'a> Farewell<'a> {
    /// An error if the code may not be sent.
    pub fn new(code: u16, reason: &'a str) -> Result<Self, Error> {
        match frame::is_sendable_code(code) {
            true => Ok(Self { code, reason }),
            false => Err(Error::Invalid(format!("{code} is no close code that may be sent (RFC 6455 section 7.4)"))),
        }
    }

    pub(super) fn frame(self) -> Box<[u8]> {
        frame::close(Some(self.code), self.reason)
    }
}

impl Engine {
    /// Takes a connection, with a session or without. It is sent `greeting` and, as a message, `first`.
    pub fn open(
        &self,
        way: Way,
        form: Form,
        has_session: bool,
        [greeting, first]: [&[u8]; 2],
        source: Source,
    ) -> Result<ConnId, Error> {
        self.check()?;
        let shard = self.emptiest()?;
        let (conn, link) = self.link(way, shard)?;
        let [greeting, first] = [greeting, first].map(Into::into);
        shard.push(Command::Open { conn, link, form, has_session, greeting, first, source }, 0);
        Ok(conn)
    }

    /// Goes on with the session of a connection over another link, after the first `received` messages of it. The link
    /// begins with the bytes of `greeting` and the envelope `accepted`. Where the session cannot go on the envelope is the one
    /// of `refused` for the reason, and the link is a connection of its own by the id that is returned. [`Event::Resumed`](crate::queues::command::Event::Resumed) or [`Event::Refused`](crate::queues::command::Event::Refused) says which.
    #[expect(clippy::too_many_arguments, reason = "the session, the link and what it begins with")]
    pub fn resume(
        &self,
        conn: ConnId,
        way: Way,
        form: Form,
        received: u64,
        [greeting, accepted]: [&[u8]; 2],
        refused: [Box<[u8]>; UNRESUMED.len()],
        farewell: Farewell<'_>,
        source: Source,
    ) -> Result<ConnId, Error> {
        self.check()?;
        let Some(shard) = self.shard_of(conn) else {
            return Err(Error::Invalid(format!("{conn:?} is no connection")));
        };
        let retired = Retired { id: shard.take_id()?, frame: farewell.frame() };
        let (as_new, link) = self.link(way, shard).inspect_err(|_| lock(&shard.ids).release(retired.id))?;
        let [greeting, accepted] = [greeting, accepted].map(Into::into);
        let resume = Resume { conn, link, as_new, retired, form, received, greeting, accepted, refused, source };
        shard.push(Command::Resume(Box::new(resume)), 0);
        Ok(as_new)
    }

    /// The link of a session is closed with a farewell, if it still is this one. The session goes on without a link or,
    /// if it `is_over`, ends as by [`Self::gone`].
    pub fn retire(&self, conn: ConnId, link: ConnId, farewell: Farewell<'_>, is_over: bool) -> Result<(), Error> {
        self.check()?;
        let Some(shard) = self.shard_of(conn) else { return Ok(()) };
        let command = match shard.take_id() {
            Ok(id) => Command::Retire { conn, link, retired: Retired { id, frame: farewell.frame() }, is_over },
            // No place is left for the link, which ends without a word. The session is not touched by that.
            Err(_) if is_over => Command::Gone { conn },
            Err(_) => Command::Cut { conn, link },
        };
        shard.push(command, 0);
        Ok(())
    }

    /// Ends a link at once; a session goes on without one until it is resumed, or [`Self::gone`].
    pub fn cut(&self, conn: ConnId, link: ConnId) -> Result<(), Error> {
        self.tell(conn, Command::Cut { conn, link }, 0)
    }

    /// A connection is over, and its session with it. A link that it still has is ended at once.
    pub fn gone(&self, conn: ConnId) -> Result<(), Error> {
        self.tell(conn, Command::Gone { conn }, 0)
    }

    /// Closes a connection with a close frame, after all that waits (`flush`) or before it.
    pub fn close(&self, conn: ConnId, code: Option<u16>, reason: &str, flush: bool) -> Result<(), Error> {
        if let Some(code) = code
            && !frame::is_sendable_code(code)
        {
            return Err(Error::Invalid(format!("{code} is no close code that may be sent (RFC 6455 section 7.4)")));
        }
        self.tell(conn, Command::Close { conn, frame: frame::close(code, reason), flush }, 0)
    }

    /// The host wants no more messages of a connection for now, or wants them again.
    pub fn hold(&self, conn: ConnId, is_held: bool) -> Result<(), Error> {
        self.tell(conn, Command::Hold { conn, is_held }, 0)
    }

    /// What the host has read of a link that it reads; none: its end.
    pub fn feed(&self, conn: ConnId, link: ConnId, bytes: Option<&[u8]>) -> Result<(), Error> {
        if conn.shard() == newcomers::SHARD {
            self.check_process()?;
            self.feed_newcomer(conn, bytes);
            return Ok(());
        }
        let size = bytes.map_or(0, <[u8]>::len);
        self.tell(conn, Command::Feed { conn, link, bytes: bytes.map(Into::into) }, size)
    }

    /// The host has handed over bytes of a connection that it writes to, and takes as many more.
    pub fn grant(&self, conn: ConnId, bytes: usize) -> Result<(), Error> {
        self.tell(conn, Command::Grant { conn, bytes }, 0)
    }

    /// What the peer reports, where the host has read it.
    pub fn report(&self, conn: ConnId, report: Report) -> Result<(), Error> {
        self.tell(conn, Command::Report { conn, report: Box::new(report) }, 0)
    }

    /// Sends bytes that are no message, such as a handshake reply, ahead of all messages.
    pub fn send_raw(&self, conn: ConnId, bytes: &[u8]) -> Result<(), Error> {
        self.tell(conn, Command::Raw { conn, bytes: bytes.into() }, bytes.len())
    }

    fn link(&self, way: Way, shard: &Handle) -> Result<(ConnId, Wire), Error> {
        let id = shard.take_id()?;
        let Settings { unsent_bytes, write_timeout, .. } = self.settings;
        let link = match way {
            Way::Hosted { window, fd } => {
                HostLink::new(id, Arc::clone(&self.events), window, fd, write_timeout).map(Wire::Host)
            }
            Way::Socket(fd) => {
                SocketLink::new(fd, Arc::clone(&shard.registry), unsent_bytes, write_timeout).map(Wire::Socket)
            }
        };
        match link {
            Ok(link) => Ok((id, link)),
            Err(error) => {
                lock(&shard.ids).release(id);
                Err(error.into())
            }
        }
    }
}
