//! Connections and sessions by id: opening, resuming over another link, sending and closing.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::engine::{Engine, EngineSettings, Handle, lock};
use crate::error::Error;
use crate::io::link::{AnyLink, HostLink, SocketLink};
use crate::newcomers;
use crate::protocol::form::Form;
use crate::protocol::report::Report;
use crate::queues::command::{Command, Resume, Retired, Source, UNRESUMED};
use crate::slots::ConnId;
use crate::wire::frame;

/// What a new connection is read from and written to.
#[derive(Debug)]
pub enum Transport {
    /// A socket. Only the engine reads and writes it from now on.
    Socket(OwnedFd),
    /// The host reads and writes it. Bytes to write go to the host as events, and read bytes come by [`Engine::feed`].
    Hosted {
        /// Bytes that may be on their way to the host.
        window: usize,
        /// The socket underneath, which the kernel is asked about.
        fd: Option<OwnedFd>,
    },
}

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

    pub(super) fn frame(self) -> Box<[u8]> {
        frame::close(Some(self.code), self.reason)
    }
}

impl Engine {
    /// Opens a connection with or without a session. It is sent the bytes `greeting` and then, as a message, `first`.
    pub fn open(
        &self,
        transport: Transport,
        form: Form,
        has_session: bool,
        [greeting, first]: [&[u8]; 2],
        source: Source,
    ) -> Result<ConnId, Error> {
        self.check()?;
        let shard = self.emptiest()?;
        let (conn, link) = self.link(transport, shard)?;
        let [greeting, first] = [greeting, first].map(Into::into);
        shard.push(Command::Open { conn, link, form, has_session, greeting, first, source }, 0);
        Ok(conn)
    }

    /// Resumes the session of a connection over another link. The client has received the first `received` messages of
    /// it. The link starts with the bytes `greeting` and the envelope `accepted`. If the session cannot be resumed, the
    /// envelope is the one in `refused` for the reason, and the link becomes a connection of its own with the returned
    /// id. [`Event::Resumed`](crate::queues::command::Event::Resumed) or
    /// [`Event::Refused`](crate::queues::command::Event::Refused) reports the result.
    #[expect(clippy::too_many_arguments, reason = "the session, the link and what it begins with")]
    pub fn resume(
        &self,
        conn: ConnId,
        transport: Transport,
        form: Form,
        received: u64,
        [greeting, accepted]: [&[u8]; 2],
        refused: [Box<[u8]>; UNRESUMED.len()],
        close: CloseReason<'_>,
        source: Source,
    ) -> Result<ConnId, Error> {
        self.check()?;
        let Some(shard) = self.shard_of(conn) else {
            return Err(Error::Invalid(format!("there is no connection {conn:?}")));
        };
        let retired = Retired { id: shard.take_id()?, frame: close.frame() };
        let (as_new, link) = self.link(transport, shard).inspect_err(|_| lock(&shard.ids).release(retired.id))?;
        let [greeting, accepted] = [greeting, accepted].map(Into::into);
        let resume = Resume { conn, link, as_new, retired, form, received, greeting, accepted, refused, source };
        shard.push(Command::Resume(Box::new(resume)), 0);
        Ok(as_new)
    }

    /// Closes the link of a session, if `link` still is its link. The session goes on without a link or, if it
    /// `is_over`, ends as by [`Self::gone`].
    pub fn retire(&self, conn: ConnId, link: ConnId, close: CloseReason<'_>, is_over: bool) -> Result<(), Error> {
        self.check()?;
        let Some(shard) = self.shard_of(conn) else { return Ok(()) };
        let command = match shard.take_id() {
            Ok(id) => Command::Retire { conn, link, retired: Retired { id, frame: close.frame() }, is_over },
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
        self.tell(conn, Command::Close { conn, frame: frame::close(code, reason), flush }, 0)
    }

    /// Stops or continues reading messages of a connection.
    pub fn hold(&self, conn: ConnId, is_held: bool) -> Result<(), Error> {
        self.tell(conn, Command::Hold { conn, is_held }, 0)
    }

    /// Takes bytes that the host has read of a link; none: the link has ended.
    pub fn feed(&self, conn: ConnId, link: ConnId, bytes: Option<&[u8]>) -> Result<(), Error> {
        if conn.shard() == newcomers::SHARD {
            self.check_process()?;
            self.feed_newcomer(conn, bytes);
            return Ok(());
        }
        let size = bytes.map_or(0, <[u8]>::len);
        self.tell(conn, Command::Feed { conn, link, bytes: bytes.map(Into::into) }, size)
    }

    /// The host has written `bytes` of a connection, and may be given as many more.
    pub fn grant(&self, conn: ConnId, bytes: usize) -> Result<(), Error> {
        self.tell(conn, Command::Grant { conn, bytes }, 0)
    }

    /// Takes a report of the peer that the host has read.
    pub fn report(&self, conn: ConnId, report: Report) -> Result<(), Error> {
        self.tell(conn, Command::Report { conn, report: Box::new(report) }, 0)
    }

    /// Sends raw bytes, such as a handshake reply, ahead of all messages.
    pub fn send_raw(&self, conn: ConnId, bytes: &[u8]) -> Result<(), Error> {
        self.tell(conn, Command::Raw { conn, bytes: bytes.into() }, bytes.len())
    }

    fn link(&self, transport: Transport, shard: &Handle) -> Result<(ConnId, AnyLink), Error> {
        let id = shard.take_id()?;
        let EngineSettings { unsent_bytes, write_timeout, .. } = self.settings;
        let link = match transport {
            Transport::Hosted { window, fd } => {
                HostLink::new(id, Arc::clone(&self.events), window, fd, write_timeout).map(AnyLink::Host)
            }
            Transport::Socket(fd) => {
                SocketLink::new(fd, Arc::clone(&shard.registry), unsent_bytes, write_timeout).map(AnyLink::Socket)
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
