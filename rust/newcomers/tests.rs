//! Helpers for the tests of newcomers: links that record, and an acceptor without a thread.

mod asking;
mod fallbacks;
mod limits;
mod model;
mod proxies;
mod reading;
mod refusals;
mod tls;

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use super::leaving::{LINGER, MAX_LEAVING};
use super::*;
use crate::admission::AdmissionSettings;
use crate::admission::proxies::Proxies;
use crate::tls::info::TlsInfo;
use crate::wire::prefix::Prefix;

/// The client side of a newcomer, with a record of what the engine did.
#[derive(Debug, Clone, Default)]
struct Far(Rc<RefCell<Record>>);

#[derive(Debug, Default)]
struct Record {
    /// The bytes to read, and whether the end or a reset follows them.
    given: Vec<u8>,
    is_ended: bool,
    is_reset: bool,
    answer: Vec<u8>,
    is_finished: bool,
    watched: Option<ConnId>,
    is_closed: bool,
}

/// The link of a newcomer.
#[derive(Debug)]
struct Near(Far);

impl Far {
    fn says(bytes: &[u8]) -> Self {
        let far = Self::default();
        far.say(bytes);
        far
    }

    fn say(&self, bytes: &[u8]) {
        self.0.borrow_mut().given.extend_from_slice(bytes);
    }

    fn end(&self) {
        self.0.borrow_mut().is_ended = true;
    }

    fn reset(&self) {
        self.0.borrow_mut().is_reset = true;
    }

    /// The first line of the answer.
    fn answer(&self) -> String {
        let record = self.0.borrow();
        String::from_utf8_lossy(&record.answer).lines().next().unwrap_or_default().into()
    }

    fn status(&self) -> u16 {
        self.answer().split(' ').nth(1).map_or(0, |status| status.parse().unwrap())
    }

    fn is_closed(&self) -> bool {
        self.0.borrow().is_closed
    }

    fn is_finished(&self) -> bool {
        self.0.borrow().is_finished
    }

    fn watched(&self) -> Option<ConnId> {
        self.0.borrow().watched
    }
}

impl Near {
    fn take(&mut self, into: &mut [u8], is_peek: bool) -> io::Result<usize> {
        let mut record = self.0.0.borrow_mut();
        let read = into.len().min(record.given.len());
        match read {
            0 if record.is_reset => Err(ErrorKind::ConnectionReset.into()),
            0 if record.is_ended => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            _ => {
                into[..read].copy_from_slice(&record.given[..read]);
                if !is_peek {
                    record.given.drain(..read);
                }
                Ok(read)
            }
        }
    }
}

impl Stream for Near {
    fn watch(&mut self, id: ConnId) -> io::Result<()> {
        let mut record = self.0.0.borrow_mut();
        record.watched = Some(id);
        Ok(())
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.take(into, false)
    }

    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.take(into, true)
    }

    fn answer(&mut self, bytes: &[u8]) {
        let mut record = self.0.0.borrow_mut();
        assert!(!record.is_finished, "answered twice");
        record.answer.extend_from_slice(bytes);
        record.is_finished = true;
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        self.0.0.borrow_mut().is_closed = true;
    }
}

/// Newcomers, and a clock that the test sets.
struct Gate {
    newcomers: Newcomers<Near>,
    admission: Admission,
    now_us: u64,
    /// Newcomers that were announced, and those whose end was announced.
    announced: Vec<ConnId>,
    gone: Vec<ConnId>,
    lines: Vec<(u16, u64)>,
    /// Newcomers whose TLS handshake has to begin.
    insecure: Vec<Insecure<Near>>,
}

fn gate() -> Gate {
    Gate::new(NewcomerSettings::default(), AdmissionSettings::default())
}

impl Gate {
    fn new(settings: NewcomerSettings, limits: AdmissionSettings) -> Self {
        let admission = Admission::new(limits);
        Self {
            newcomers: Newcomers::new(settings, admission.clone()),
            admission,
            now_us: 1_000_000,
            announced: Vec::new(),
            gone: Vec::new(),
            lines: Vec::new(),
            insecure: Vec::new(),
        }
    }

    fn arrive(&mut self, far: &Far) {
        self.arrive_at(far, ListenerOptions::default(), Some("192.0.2.7"));
    }

    fn arrive_at(&mut self, far: &Far, options: ListenerOptions, address: Option<&str>) {
        let address = address.map(|address| address.parse().unwrap());
        self.newcomers.arrive(Near(far.clone()), options, address, self.now_us);
        self.listen();
    }

    /// Announces that a newcomer can be read, if it is watched.
    fn wake(&mut self, far: &Far, is_gone: bool) {
        if let Some(id) = far.watched().filter(|_| !far.is_closed()) {
            self.newcomers.ready(id, is_gone, self.now_us);
        }
        self.listen();
    }

    fn pass(&mut self, us: u64) {
        self.now_us += us;
        self.newcomers.tick(self.now_us);
        self.listen();
    }

    fn listen(&mut self) {
        self.insecure.append(&mut self.newcomers.take_insecure());
        for event in self.newcomers.take() {
            match event {
                Event::Newcomer { conn } => self.announced.push(conn),
                Event::NewcomerGone { conn } => self.gone.push(conn),
                Event::TurnedAway { status, suppressed, .. } => self.lines.push((status, suppressed)),
                event => panic!("{event:?}"),
            }
        }
    }

    /// The only newcomer that was announced.
    fn announced(&mut self) -> ConnId {
        assert_eq!(self.announced.len(), 1);
        self.announced.remove(0)
    }

    /// Lets an upgrade request come and be announced.
    fn ask(&mut self) -> (Far, ConnId) {
        let far = Far::says(&upgrade("/", ""));
        self.arrive(&far);
        let id = self.announced();
        assert!(matches!(self.newcomers.news(id), Some(NewcomerEvent::Request(_))));
        (far, id)
    }

    fn connections(&self) -> usize {
        self.admission.connections()
    }

    fn passed(&self, limit: Limit) -> u64 {
        self.newcomers.report().limits()[limit as usize]
    }
}

fn upgrade(target: &str, lines: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    )
    .into_bytes()
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: example.com\r\n\r\n").into_bytes()
}

fn paths(prefix: &str, mount: &str) -> Paths {
    Paths { prefix: Prefix::new(prefix).unwrap(), mount: Prefix::new(mount).unwrap() }
}

fn trusting(network: &str) -> NewcomerSettings {
    let entry = Entry::new(None, None, Proxies::new(&[network]).unwrap());
    NewcomerSettings { entry, ..NewcomerSettings::default() }
}

const SECOND: u64 = 1_000_000;
