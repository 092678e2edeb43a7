//! One hostile connection: its socket, what it has still to do, and how it ended. Not what it does, which is a plan of
//! `mix.rs`, and not its place in the poll, which is the raid's. The rule: whatever the server answers is an outcome,
//! never an error.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, SockRef, Socket, Type};

use crate::mix::{Act, Plan};
use crate::{clock, frame, handshake};

/// More of an answer than any server writes before it ends a connection.
const CARRY: usize = 1 << 18;

/// How a hostile connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The server refused it with this HTTP status.
    Status(u16),
    /// The server closed it with this code; 1005 is none (RFC 6455 7.1.5).
    Code(u16),
    /// The server ended it without a word.
    Ended,
    /// The server, or its kernel, ended it with a reset.
    Cut,
    /// It has done all it came for and left.
    Left,
    /// What came is neither HTTP nor frames.
    Gibberish,
    /// The server had not ended it when its time was up.
    Unanswered,
    /// The raid was over before it was.
    Recalled,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(number) | Self::Code(number) => write!(f, "{number}"),
            Self::Ended => f.write_str("ended"),
            Self::Cut => f.write_str("cut"),
            Self::Left => f.write_str("left"),
            Self::Gibberish => f.write_str("gibberish"),
            Self::Unanswered => f.write_str("unanswered"),
            Self::Recalled => f.write_str("recalled"),
        }
    }
}

/// What is next for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The socket's turn.
    Socket,
    /// At that instant at the latest.
    At(u64),
    /// Nothing any more.
    Done(Outcome),
}

/// One hostile connection.
#[derive(Debug)]
pub struct Intruder {
    /// Its socket.
    pub stream: TcpStream,
    /// Its place in the table of kinds.
    pub kind: usize,
    /// When it began.
    pub born: u64,
    /// For when its raid has last been asked to call it.
    pub alarm: u64,
    plan: Plan,
    is_deaf: bool,
    /// What has been done of the act: bytes, and whole blocks.
    sent: usize,
    rounds: u32,
    /// When the act is over or due again; 0 before it has begun.
    due: u64,
    is_upgraded: bool,
    carry: Vec<u8>,
}

impl Intruder {
    /// Begins to connect from the address `source`.
    ///
    /// # Errors
    /// The operator's: no descriptors or ports left.
    pub fn connect(source: SocketAddr, server: SocketAddr, kind: usize, plan: Plan) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
        let is_deaf = plan.iter().any(|act| matches!(act, Act::Deaf(_)));
        if is_deaf {
            // As a reader far away, see `link.rs`.
            socket.set_recv_buffer_size(4096)?;
            socket.set_tcp_mss(1460)?;
        }
        socket.bind(&source.into())?;
        match socket.connect(&server.into()) {
            Err(e) if e.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => return Err(e),
            _ => {}
        }
        Ok(Self {
            stream: TcpStream::from_std(socket.into()),
            kind,
            born: clock::now(),
            alarm: 0,
            plan,
            is_deaf,
            sent: 0,
            rounds: 0,
            due: 0,
            is_upgraded: false,
            carry: Vec::new(),
        })
    }

    /// Does as much of its plan as can be done now.
    pub fn advance(&mut self, now: u64, buffer: &mut [u8]) -> Next {
        loop {
            let Some(act) = self.plan.front() else {
                self.reset();
                return Next::Done(Outcome::Left);
            };
            let is_done = match act {
                Act::Send(bytes) => {
                    let bytes = bytes.clone();
                    self.write(&bytes, 1)
                }
                Act::Flood(block, times) => {
                    let (block, times) = (block.clone(), *times);
                    self.write(&block, times)
                }
                Act::Drip(piece, gap) => {
                    if now >= self.due {
                        let (piece, gap) = (piece.clone(), *gap);
                        // A piece of which the socket takes a part will do.
                        match self.stream.write(&piece) {
                            Err(e) if !is_later(&e) => return Next::Done(self.last_word(buffer)),
                            _ => self.due = now + gap,
                        }
                    }
                    return Next::At(self.due);
                }
                Act::Upgrade if self.is_upgraded => Ok(true),
                Act::Upgrade => Ok(false),
                Act::Read(nanos) | Act::Deaf(nanos) => {
                    self.due = if self.due == 0 { now + nanos } else { self.due };
                    if now < self.due {
                        return Next::At(self.due);
                    }
                    Ok(true)
                }
                Act::Leave => return Next::Done(Outcome::Left),
                Act::Reset => {
                    self.reset();
                    return Next::Done(Outcome::Left);
                }
            };
            match is_done {
                Ok(true) => {
                    self.plan.pop_front();
                    (self.sent, self.rounds, self.due) = (0, 0, 0);
                }
                Ok(false) => return Next::Socket,
                Err(_) => return Next::Done(self.last_word(buffer)),
            }
        }
    }

    /// Reads what there is; an outcome if that is the end. `to_end` says that the end is there, too.
    pub fn read(&mut self, buffer: &mut [u8], to_end: bool) -> Option<Outcome> {
        if self.is_deaf && self.is_upgraded {
            return None;
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Some(Outcome::Ended),
                Ok(n) => {
                    let found = self.take(&buffer[..n]);
                    // epoll(7): a short read of a stream means it is drained.
                    if found.is_some() || (n < buffer.len() && !to_end) {
                        return found;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_later(&e) => return None,
                Err(_) => return Some(Outcome::Cut),
            }
        }
    }

    /// Makes its end one with a reset, so that no port stays in TIME_WAIT.
    pub fn reset(&self) {
        _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Sends `bytes` as often as still needed; true when all of it is sent.
    fn write(&mut self, bytes: &[u8], times: u32) -> io::Result<bool> {
        while self.rounds < times {
            match self.stream.write(&bytes[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_later(&e) => return Ok(false),
                Err(e) => return Err(e),
            }
            if self.sent == bytes.len() {
                self.rounds += 1;
                self.sent = 0;
            }
        }
        Ok(true)
    }

    /// What the server said before it stopped to listen.
    fn last_word(&mut self, buffer: &mut [u8]) -> Outcome {
        self.is_deaf = false;
        self.read(buffer, true).unwrap_or(Outcome::Cut)
    }

    fn take(&mut self, bytes: &[u8]) -> Option<Outcome> {
        self.carry.extend_from_slice(bytes);
        if !self.is_upgraded {
            let size = match handshake::head_size(&self.carry) {
                Some(size) => size,
                None => return (self.carry.len() > CARRY).then_some(Outcome::Gibberish),
            };
            let status = std::str::from_utf8(&self.carry[..size])
                .ok()
                .and_then(|head| head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
            match status {
                Some(101) => self.is_upgraded = true,
                Some(status) => return Some(Outcome::Status(status)),
                None => return Some(Outcome::Gibberish),
            }
            self.carry.drain(..size);
        }
        let mut code = None;
        let used = frame::walk(&self.carry, |first, payload| {
            if first & 0x0F == frame::CLOSE && code.is_none() {
                code = Some(payload.first_chunk().map_or(1005, |&code| u16::from_be_bytes(code)));
            }
        });
        match (code, used) {
            (Some(code), _) => Some(Outcome::Code(code)),
            (None, Ok(used)) => {
                self.carry.drain(..used);
                (self.carry.len() > CARRY).then_some(Outcome::Gibberish)
            }
            (None, Err(_)) => Some(Outcome::Gibberish),
        }
    }
}

/// A socket that is not connected yet says the one or the other.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}
