//! `naive PORT`: the server everybody writes first. One thread, one epoll, each message built once and then one
//! `send()` per subscriber in a plain loop. It is the baseline the others are compared with, and it fulfils the target
//! contract of `benches/load/README.md`. Not a server for anything else: no pings, no limits worth the name.
//!
//! With `--coalesce` it makes one `send()` per subscriber for all messages that one read brought. That is about the
//! least a server can do, so it also shows what the load client itself can take.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use clap::Parser;
use fanwire_load::{frame, handshake, machine};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

const LISTENER: Token = Token(usize::MAX);
const CHUNK: usize = 1 << 18;
/// Bytes waiting for one subscriber. Beyond it the connection is cut: a stalled reader must not take the machine.
const BACKLOG: usize = 64 << 20;
/// No bench names more; a stray client shall not fill the memory with names.
const ROOMS: usize = 100_000;
/// The one room of all connections that name none.
const LOBBY: usize = 0;

#[derive(Debug, Parser)]
#[command(about = "The naive broadcast server")]
struct Cli {
    /// Port on 127.0.0.1.
    port: u16,
    /// One send per subscriber and read, instead of one per subscriber and message.
    #[arg(long)]
    coalesce: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Upgrading,
    Subscriber { room: usize, place: usize },
    Publisher,
    RoomPublisher,
    Sink,
    Echo,
}

#[derive(Debug)]
struct Conn {
    stream: TcpStream,
    role: Role,
    carry: Vec<u8>,
    backlog: Vec<u8>,
    sent: usize,
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    names: HashMap<String, usize>,
    rooms: Vec<Vec<usize>>,
    buffer: Vec<u8>,
    coalesce: bool,
    inbound: u64,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    machine::raise_files().context("the limit of open files")?;
    let mut server = Server::listen(cli.port, cli.coalesce)?;
    println!("READY");
    let mut events = Events::with_capacity(1024);
    loop {
        match server.poll.poll(&mut events, None) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                server.accept()?;
                continue;
            }
            let id = event.token().0;
            if event.is_writable() {
                server.flush(id);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                server.read(id);
            }
        }
    }
}

impl Server {
    fn listen(port: u16, coalesce: bool) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        socket.listen(4096)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            conns: Vec::new(),
            free: Vec::new(),
            names: HashMap::new(),
            rooms: vec![Vec::new()],
            buffer: vec![0; CHUNK],
            coalesce,
            inbound: 0,
        })
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.raw_os_error() == Some(nix::errno::Errno::EMFILE as i32) => return Ok(()),
                Err(_) => continue,
            };
            _ = stream.set_nodelay(true);
            let id = self.free.pop().unwrap_or_else(|| {
                self.conns.push(None);
                self.conns.len() - 1
            });
            self.poll.registry().register(&mut stream, Token(id), Interest::READABLE | Interest::WRITABLE)?;
            let conn = Conn { stream, role: Role::Upgrading, carry: Vec::new(), backlog: Vec::new(), sent: 0 };
            self.conns[id] = Some(conn);
        }
    }

    fn read(&mut self, id: usize) {
        loop {
            let Some(conn) = self.conns.get_mut(id).and_then(Option::as_mut) else { return };
            let kept = conn.carry.len();
            if kept >= CHUNK {
                return self.close(id);
            }
            self.buffer[..kept].copy_from_slice(&conn.carry);
            let filled = match conn.stream.read(&mut self.buffer[kept..]) {
                Ok(0) => return self.close(id),
                Ok(n) => kept + n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.close(id),
            };
            let mut buffer = std::mem::take(&mut self.buffer);
            let used = self.take(id, &mut buffer[..filled]);
            self.buffer = buffer;
            let Some(conn) = self.conns.get_mut(id).and_then(Option::as_mut) else { return };
            match used {
                Some(used) => {
                    conn.carry.clear();
                    conn.carry.extend_from_slice(&self.buffer[used..filled]);
                }
                None => return self.close(id),
            }
        }
    }

    /// Acts on what has arrived and says how much of it is done with; `None` ends the connection.
    fn take(&mut self, id: usize, bytes: &mut [u8]) -> Option<usize> {
        let role = self.conns.get(id)?.as_ref()?.role;
        if role == Role::Upgrading {
            return match handshake::head_size(bytes) {
                Some(size) => self.upgrade(id, &bytes[..size]).map(|()| size),
                None => (bytes.len() <= handshake::LIMIT).then_some(0),
            };
        }
        let mut ended = false;
        let mut batch: HashMap<usize, Vec<u8>> = HashMap::new();
        let used = frame::walk_masked(bytes, |first, payload| match (first & 0x0F, role) {
            (frame::CLOSE, _) => ended = true,
            (frame::BINARY, Role::Sink) => self.inbound += 1,
            (frame::BINARY, Role::Echo) => {
                let mut whole = Vec::with_capacity(payload.len() + 10);
                frame::push(&mut whole, frame::BINARY, payload);
                self.send(id, &whole);
            }
            (frame::BINARY, Role::Publisher) if payload == b"STAT?" => self.answer(id),
            (frame::BINARY, Role::Publisher) => self.publish(LOBBY, payload, &mut batch),
            (frame::BINARY, Role::RoomPublisher) => match split(payload) {
                Some((name, rest)) => {
                    if let Some(&room) = self.names.get(name) {
                        self.publish(room, rest, &mut batch);
                    }
                }
                None => ended = true,
            },
            _ => {}
        });
        for (room, frames) in batch {
            self.broadcast(room, &frames);
        }
        used.ok().filter(|_| !ended)
    }

    fn upgrade(&mut self, id: usize, head: &[u8]) -> Option<()> {
        let (path, reply) = handshake::response(head)?;
        let role = match path.as_str() {
            "/pub" => Role::Publisher,
            "/pubrooms" => Role::RoomPublisher,
            "/sink" => Role::Sink,
            "/echo" => Role::Echo,
            other => {
                let room = other.strip_prefix("/rooms/").map_or(Some(LOBBY), |name| self.room(name))?;
                self.rooms[room].push(id);
                Role::Subscriber { room, place: self.rooms[room].len() - 1 }
            }
        };
        self.conns.get_mut(id)?.as_mut()?.role = role;
        self.send(id, &reply);
        Some(())
    }

    fn room(&mut self, name: &str) -> Option<usize> {
        if let Some(&room) = self.names.get(name) {
            return Some(room);
        }
        if self.rooms.len() >= ROOMS {
            return None;
        }
        self.rooms.push(Vec::new());
        self.names.insert(name.to_owned(), self.rooms.len() - 1);
        Some(self.rooms.len() - 1)
    }

    fn publish(&mut self, room: usize, payload: &[u8], batch: &mut HashMap<usize, Vec<u8>>) {
        if self.coalesce {
            return frame::push(batch.entry(room).or_default(), frame::BINARY, payload);
        }
        let mut whole = Vec::with_capacity(payload.len() + 10);
        frame::push(&mut whole, frame::BINARY, payload);
        self.broadcast(room, &whole);
    }

    /// The plain loop. From the back, because a send that ends its connection moves the last member into its place.
    fn broadcast(&mut self, room: usize, frames: &[u8]) {
        for place in (0..self.rooms[room].len()).rev() {
            if let Some(&id) = self.rooms[room].get(place) {
                self.send(id, frames);
            }
        }
    }

    fn send(&mut self, id: usize, frames: &[u8]) {
        let Some(conn) = self.conns.get_mut(id).and_then(Option::as_mut) else { return };
        let mut rest = frames;
        // Nothing may overtake what waits already.
        while conn.backlog.is_empty() && !rest.is_empty() {
            match conn.stream.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return self.close(id),
            }
        }
        if conn.backlog.len() + rest.len() > BACKLOG {
            return self.close(id);
        }
        conn.backlog.extend_from_slice(rest);
    }

    fn flush(&mut self, id: usize) {
        let Some(conn) = self.conns.get_mut(id).and_then(Option::as_mut) else { return };
        while conn.sent < conn.backlog.len() {
            match conn.stream.write(&conn.backlog[conn.sent..]) {
                Ok(n) => conn.sent += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.close(id),
            }
        }
        conn.backlog.clear();
        conn.sent = 0;
    }

    fn close(&mut self, id: usize) {
        let Some(mut conn) = self.conns.get_mut(id).and_then(Option::take) else { return };
        _ = self.poll.registry().deregister(&mut conn.stream);
        if let Role::Subscriber { room, place } = conn.role {
            self.rooms[room].swap_remove(place);
            let moved = self.rooms[room].get(place).copied();
            if let Some(Some(conn)) = moved.and_then(|id| self.conns.get_mut(id)) {
                conn.role = Role::Subscriber { room, place };
            }
        }
        self.free.push(id);
    }

    fn answer(&mut self, id: usize) {
        let Ok(used) = machine::usage() else { return };
        let stat = serde_json::json!({
            "cpu_user": used.cpu_user,
            "cpu_sys": used.cpu_sys,
            "maxrss_kb": used.maxrss_kb,
            "rss_kb": used.rss_kb,
            "conns": self.conns.len() - self.free.len(),
            "inbound": self.inbound,
        });
        let mut reply = Vec::new();
        frame::push(&mut reply, frame::BINARY, stat.to_string().as_bytes());
        self.send(id, &reply);
    }
}

/// The room's name and the payload of a message on `/pubrooms`.
fn split(message: &[u8]) -> Option<(&str, &[u8])> {
    let (size, rest) = message.split_first_chunk::<2>()?;
    let (name, payload) = rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
    Some((std::str::from_utf8(name).ok()?, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_for_a_room_splits_and_a_cut_one_does_not() {
        assert_eq!(split(b"\x00\x02ab!"), Some(("ab", &b"!"[..])));
        assert_eq!(split(b"\x00\x03ab"), None);
        assert_eq!(split(b"\x00"), None);
        assert_eq!(split(b"\x00\x01\xff"), None);
    }
}
