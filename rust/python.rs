//! The border: one class, plain values, conversions and no decisions. Its contract, with every docstring, is
//! `python/fanwire/_engine.pyi`, which stubtest holds against this module.
//!
//! Nothing here calls back into Python, and nothing panics into it: a panic becomes an `EngineFailed`.

use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pyo3::exceptions::{PyException, PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use pyo3::{create_exception, intern};

use crate::admission::AdmissionSettings;
use crate::ages::{BOUNDS_MS, OLDEST_MS};
use crate::arrivals::Credit;
use crate::batch::{Messages, Received};
use crate::codec::Codec;
use crate::command::{Cause, Event, Source};
use crate::document::{self, Fault};
use crate::driver::panic_text;
use crate::engine::{Engine, Entrance, Farewell, Settings, Way, forgetting};
use crate::entry::Entry;
use crate::envelope::Kind;
use crate::error::Error;
use crate::form::Form;
use crate::inbound::InboundSettings;
use crate::limit::LIMITS;
use crate::message::{Delivery, Message, Role};
use crate::mint::{Draft, JoinReply, Joined, Stamp};
use crate::newcomers::{Door, NewcomerSettings};
use crate::pace::RateSettings;
use crate::parcel;
use crate::probes::Seal;
use crate::proxies::Proxies;
use crate::report::{Report, Taken};
use crate::room::{Position, RoomSettings, unrecovered_name};
use crate::shard::ShardSettings;
use crate::slots::ConnId;
use crate::stats::DROPS;
use crate::wire::decoder::Limits;
use crate::wire::prefix::Paths;
use crate::wire::refusal::Refusal;
use crate::wire::table::{delivery, kind, skipped_reason};

// The tree is drawn in `python/fanwire/errors.py`, with the exceptions that Python defines.
create_exception!(fanwire, FanwireError, PyException, "What all exceptions of fanwire derive from.");
create_exception!(
    fanwire,
    Closed,
    FanwireError,
    "The caller used a server that is not running, or a client that is closed. The caller starts it, or stops calling."
);
create_exception!(
    fanwire,
    Overloaded,
    FanwireError,
    "A bounded queue or table is full. Nothing was queued and no sequence number was taken; the caller tries again later."
);
create_exception!(
    fanwire.errors,
    RoomFull,
    Overloaded,
    "The room has as many members as it may have. The caller tries again when a member has left."
);
create_exception!(
    fanwire.errors,
    EngineFailed,
    FanwireError,
    "A thread of the engine has panicked: a bug in fanwire. Every later call raises this; the operator restarts the server."
);

/// The native half of fanwire.
#[pymodule(gil_used = false)]
mod _engine {
    #[pymodule_export]
    use super::cluster::{PyInlet, PyLine};
    #[pymodule_export]
    use super::{Closed, EngineFailed, FanwireError, Overloaded, PyEngine, RoomFull};
    #[pymodule_export]
    use super::{check_json, glance, is_surely_finite, json_to_msgpack, msgpack_to_json, payload_of};
}

#[pyfunction]
fn check_json(document: &[u8], max_nesting: usize) -> Option<(String, String)> {
    document::check_json(document, allowed(max_nesting)).err().map(told)
}

#[pyfunction]
fn payload_of(frame: &[u8], is_json: bool) -> Option<(usize, usize)> {
    document::payload_of(frame, is_json).map(|found| (found.start, found.end))
}

#[pyfunction]
fn glance(document: &[u8], max_nesting: usize) -> u8 {
    let (has_null, is_deep) = document::glance(document, allowed(max_nesting));
    u8::from(has_null) | u8::from(is_deep) << 1
}

#[pyfunction]
fn is_surely_finite(value: &Bound<'_, PyAny>) -> bool {
    is_finite_within(value, document::DEPTH_MAX)
}

/// Whether it is made of nothing but the usual types, and has no float that is not finite.
fn is_finite_within(value: &Bound<'_, PyAny>, levels: usize) -> bool {
    if let Ok(float) = value.cast_exact::<PyFloat>() {
        return float.value().is_finite();
    }
    if value.is_none() || value.is_exact_instance_of::<PyString>() || value.is_exact_instance_of::<PyInt>() {
        return true;
    }
    let Some(levels) = levels.checked_sub(1) else {
        return false;
    };
    if let Ok(map) = value.cast_exact::<PyDict>() {
        map.iter().all(|(_, value)| is_finite_within(&value, levels))
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        list.iter().all(|value| is_finite_within(&value, levels))
    } else {
        value.is_instance_of::<PyBool>()
    }
}

#[pyfunction]
fn json_to_msgpack<'py>(py: Python<'py>, document: &[u8], max_nesting: usize) -> PyResult<Bound<'py, PyAny>> {
    let mut out = Vec::with_capacity(document.len());
    match document::json_to_msgpack(document, allowed(max_nesting), &mut out) {
        Ok(()) => Ok(PyBytes::new(py, &out).into_any()),
        Err(fault) => Ok(told(fault).into_pyobject(py)?.into_any()),
    }
}

#[pyfunction]
fn msgpack_to_json<'py>(py: Python<'py>, document: &[u8], max_nesting: usize) -> PyResult<Bound<'py, PyAny>> {
    match document::msgpack_to_json(document, allowed(max_nesting)) {
        Ok(json) => Ok(PyBytes::new(py, &json).into_any()),
        Err(fault) => Ok(told(fault).into_pyobject(py)?.into_any()),
    }
}

/// Recursion is bounded, whatever the caller says.
fn allowed(max_nesting: usize) -> usize {
    max_nesting.min(document::DEPTH_MAX)
}

fn told(fault: Fault) -> (String, String) {
    (fault.path(), fault.text)
}

#[pyclass(name = "Engine", module = "fanwire._engine", frozen)]
#[derive(Debug)]
struct PyEngine(Arc<Engine>);

#[pymethods]
impl PyEngine {
    #[new]
    #[pyo3(signature = (*, shards, connection_bytes, replay_bytes, engine_bytes, history_bytes, max_rooms, queue_items, queue_bytes, unsent_bytes, write_timeout, ping_interval, ping_timeout, close_timeout, min_rate, slow_code, max_nesting=64, max_message=1 << 20, max_fragments=131_072, message_timeout=30.0, inbox_messages=64, inbox_bytes=1 << 20, inbound_bytes=128 << 20, message_rate=1e3, message_burst=2e3, byte_rate=4194304.0, byte_burst=8388608.0, ping_rate=10.0, ping_burst=100.0, max_refused=1e3, dry_run=false, max_head=16 << 10, handshake_timeout=5.0, max_connections=0, handshake_rate=0.0, handshake_burst=1.0, max_address_connections=0, address_handshake_rate=0.0, address_handshake_burst=1.0, hosts=None, origins=None, trusted_proxies=Vec::new(), prefix="", mount=""))]
    #[expect(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn new(
        shards: usize,
        connection_bytes: usize,
        replay_bytes: usize,
        engine_bytes: usize,
        history_bytes: usize,
        max_rooms: usize,
        queue_items: usize,
        queue_bytes: usize,
        unsent_bytes: u32,
        write_timeout: f64,
        ping_interval: f64,
        ping_timeout: f64,
        close_timeout: f64,
        min_rate: u64,
        slow_code: u16,
        max_nesting: usize,
        max_message: usize,
        max_fragments: usize,
        message_timeout: f64,
        inbox_messages: usize,
        inbox_bytes: usize,
        inbound_bytes: usize,
        message_rate: f64,
        message_burst: f64,
        byte_rate: f64,
        byte_burst: f64,
        ping_rate: f64,
        ping_burst: f64,
        max_refused: f64,
        dry_run: bool,
        max_head: usize,
        handshake_timeout: f64,
        max_connections: usize,
        handshake_rate: f64,
        handshake_burst: f64,
        max_address_connections: usize,
        address_handshake_rate: f64,
        address_handshake_burst: f64,
        hosts: Option<Vec<String>>,
        origins: Option<Vec<String>>,
        trusted_proxies: Vec<String>,
        prefix: &str,
        mount: &str,
    ) -> PyResult<Self> {
        let proxies = guard(|| Proxies::new(&trusted_proxies))?;
        let settings = Settings {
            shards,
            engine_bytes,
            history_bytes,
            max_rooms,
            queue_items,
            queue_bytes,
            max_nesting,
            unsent_bytes,
            write_timeout: duration(write_timeout)?,
            shard: ShardSettings {
                connection_bytes,
                replay_bytes,
                started_ms: 0,
                ping_interval_us: micros(ping_interval)?,
                ping_timeout_us: micros(ping_timeout)?,
                close_timeout_us: micros(close_timeout)?,
                write_timeout_us: micros(write_timeout)?,
                min_rate,
                slow_code,
                inbound: InboundSettings {
                    limits: Limits { max_message, max_fragments },
                    rates: RateSettings {
                        message_rate,
                        message_burst,
                        byte_rate,
                        byte_burst,
                        ping_rate,
                        ping_burst,
                        max_refused,
                    },
                    message_timeout_us: micros(message_timeout)?,
                    min_rate,
                    dry_run,
                },
                seal: Seal::default(),
            },
            credit: Credit { messages: inbox_messages, bytes: inbox_bytes, total: inbound_bytes },
            admission: AdmissionSettings {
                max_connections,
                handshake_rate,
                handshake_burst,
                max_address_connections,
                address_handshake_rate,
                address_handshake_burst,
                dry_run,
            },
            newcomers: NewcomerSettings {
                max_head,
                handshake_timeout_us: micros(handshake_timeout)?,
                entry: Entry::new(hosts, origins, proxies),
                paths: Paths {
                    prefix: accepting::prefix("prefix", prefix)?,
                    mount: accepting::prefix("mount", mount)?,
                },
            },
        };
        guard(|| Engine::start(settings)).map(|engine| Self(Arc::new(engine)))
    }

    fn fileno(&self) -> RawFd {
        self.0.fd()
    }

    #[pyo3(signature = (most=1024, held=0))]
    fn events<'py>(&self, py: Python<'py>, most: usize, held: usize) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for event in self.here(|engine| engine.events(most, held))? {
            if let Some(tuple) = event_tuple(py, &self.0, event)? {
                list.append(tuple)?;
            }
        }
        Ok(list)
    }

    #[pyo3(signature = (pattern, *, delivery, max_keys, max_members, history, history_bytes, history_age))]
    #[expect(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn add_rule(
        &self,
        pattern: &str,
        delivery: &str,
        max_keys: usize,
        max_members: usize,
        history: usize,
        history_bytes: usize,
        history_age: f64,
    ) -> PyResult<()> {
        let (delivery, history_age_us) = (parse_delivery(delivery)?, micros(history_age)?);
        let settings = RoomSettings { delivery, max_keys, max_members, history, history_bytes, history_age_us };
        guard(|| self.0.add_rule(pattern, settings))
    }

    #[pyo3(signature = (fd, codec="raw", window=0, *, session=false, greeting=b"".as_slice(), first=b"".as_slice(), rest=b"".as_slice(), rate=1.0))]
    #[expect(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn open(
        &self,
        fd: Option<RawFd>,
        codec: &str,
        window: usize,
        session: bool,
        greeting: &[u8],
        first: &[u8],
        rest: &[u8],
        rate: f64,
    ) -> PyResult<u64> {
        let (way, form) = (way(fd, window)?, Form::websocket(parse_codec(codec)?));
        let source = Source { rest: rest.into(), times: rate };
        guard(|| self.0.open(way, form, session, [greeting, first], source)).map(ConnId::as_u64)
    }

    #[pyo3(signature = (fd, *, tls=false, proxy_protocol=false))]
    fn listen(&self, fd: RawFd, tls: bool, proxy_protocol: bool) -> PyResult<()> {
        let fd = accepting::duplicate(fd)?;
        guard(|| self.0.listen(fd, Door { is_tls: tls, has_proxy_header: proxy_protocol }))
    }

    fn stop_listening(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| guard(|| self.0.stop_listening()))
    }

    fn set_ready(&self, is_ready: bool) -> PyResult<()> {
        self.here(|engine| engine.set_ready(is_ready))
    }

    #[pyo3(signature = (request, session=None, first=b"".as_slice(), rate=1.0))]
    fn accept(&self, request: u64, session: Option<&str>, first: &[u8], rate: f64) -> PyResult<Option<u64>> {
        let session = session.map(parse_codec).transpose()?;
        guard(|| self.0.accept(ConnId::from_u64(request), session, first, rate)).map(|conn| conn.map(ConnId::as_u64))
    }

    #[pyo3(signature = (conn, request, session, received, accepted, refused, farewell, rate=1.0))]
    #[expect(clippy::too_many_arguments, reason = "the session, the link and what it begins with")]
    fn resume(
        &self,
        conn: u64,
        request: u64,
        session: &str,
        received: u64,
        accepted: &[u8],
        refused: &Bound<'_, PyDict>,
        farewell: (u16, String),
        rate: f64,
    ) -> PyResult<Option<u64>> {
        let (conn, request) = (ConnId::from_u64(conn), ConnId::from_u64(request));
        let (codec, refused) = (parse_codec(session)?, accepting::refused_replies(refused)?);
        guard(|| {
            let farewell = Farewell::new(farewell.0, &farewell.1)?;
            self.0.accept_again(conn, request, codec, received, accepted, refused, farewell, rate)
        })
        .map(|link| link.map(ConnId::as_u64))
    }

    #[pyo3(signature = (request, status, headers=Vec::new(), reason=""))]
    fn refuse(&self, request: u64, status: u16, headers: Vec<String>, reason: &str) -> PyResult<()> {
        let headers = headers.into_iter().map(Into::into).collect();
        let refusal = Refusal { status, reason: reason.to_owned().into(), headers, limit: None };
        guard(|| self.0.refuse(ConnId::from_u64(request), refusal))
    }

    fn take_back(&self, request: u64, fd: RawFd, data: &[u8]) -> PyResult<()> {
        let fd = accepting::duplicate(fd)?;
        guard(|| self.0.take_back(ConnId::from_u64(request), fd, data))
    }

    fn left(&self, request: u64) -> PyResult<()> {
        self.here(|engine| engine.left(ConnId::from_u64(request)))
    }

    #[getter]
    fn waiting(&self) -> PyResult<usize> {
        self.here(Engine::waiting)
    }

    #[pyo3(signature = (conn, fd, codec, received, greeting, accepted, refused, farewell, window=0, *, rest=b"".as_slice(), rate=1.0))]
    #[expect(clippy::too_many_arguments, reason = "the session, the link and what it begins with")]
    fn resume_socket(
        &self,
        conn: u64,
        fd: Option<RawFd>,
        codec: &str,
        received: u64,
        greeting: &[u8],
        accepted: &[u8],
        refused: &Bound<'_, PyDict>,
        farewell: (u16, String),
        window: usize,
        rest: &[u8],
        rate: f64,
    ) -> PyResult<u64> {
        let (way, form) = (way(fd, window)?, Form::websocket(parse_codec(codec)?));
        let replies = accepting::refused_replies(refused)?;
        let source = Source { rest: rest.into(), times: rate };
        guard(|| {
            let farewell = Farewell::new(farewell.0, &farewell.1)?;
            self.0.resume(ConnId::from_u64(conn), way, form, received, [greeting, accepted], replies, farewell, source)
        })
        .map(ConnId::as_u64)
    }

    fn retire(&self, conn: u64, link: u64, farewell: (u16, String), is_over: bool) -> PyResult<()> {
        guard(|| {
            let farewell = Farewell::new(farewell.0, &farewell.1)?;
            self.0.retire(ConnId::from_u64(conn), ConnId::from_u64(link), farewell, is_over)
        })
    }

    fn cut(&self, conn: u64, link: u64) -> PyResult<()> {
        guard(|| self.0.cut(ConnId::from_u64(conn), ConnId::from_u64(link)))
    }

    fn hold(&self, conn: u64, is_held: bool) -> PyResult<()> {
        guard(|| self.0.hold(ConnId::from_u64(conn), is_held))
    }

    fn feed(&self, conn: u64, link: u64, data: Option<&[u8]>) -> PyResult<()> {
        guard(|| self.0.feed(ConnId::from_u64(conn), ConnId::from_u64(link), data))
    }

    fn report(&self, conn: u64, count: u64, taken: Option<Vec<(String, u64, Option<u64>)>>) -> PyResult<()> {
        let taken = taken.map(|rooms| {
            let rooms = rooms.into_iter().map(|(room, count, ts_ms)| Taken { room: room.into(), count, ts_ms });
            rooms.collect()
        });
        guard(|| self.0.report(ConnId::from_u64(conn), Report { count, taken }))
    }

    fn gone(&self, conn: u64) -> PyResult<()> {
        guard(|| self.0.gone(ConnId::from_u64(conn)))
    }

    fn send_raw(&self, conn: u64, data: &[u8]) -> PyResult<()> {
        guard(|| self.0.send_raw(ConnId::from_u64(conn), data))
    }

    #[pyo3(signature = (conn, payload, json=false, delivery=None, id=None, ack=false))]
    fn send(
        &self,
        conn: u64,
        payload: &Bound<'_, PyAny>,
        json: bool,
        delivery: Option<&str>,
        id: Option<&str>,
        ack: bool,
    ) -> PyResult<()> {
        let draft = Draft { id, ack, ..draft(payload, json, None, delivery)? };
        guard(|| self.0.send(ConnId::from_u64(conn), draft))
    }

    fn send_control(&self, conn: u64, codec: &str, envelope: &[u8]) -> PyResult<()> {
        let codec = parse_codec(codec)?;
        guard(|| self.0.send_control(ConnId::from_u64(conn), codec, envelope))
    }

    #[pyo3(signature = (conn, codec, envelope, urgent=false))]
    fn send_envelope(&self, conn: u64, codec: &str, envelope: &[u8], urgent: bool) -> PyResult<()> {
        let codec = parse_codec(codec)?;
        guard(|| self.0.send_envelope(ConnId::from_u64(conn), codec, envelope, urgent))
    }

    #[pyo3(signature = (payload, json=false, exclude=Vec::new(), delivery=None))]
    fn broadcast(
        &self,
        payload: &Bound<'_, PyAny>,
        json: bool,
        exclude: Vec<u64>,
        delivery: Option<&str>,
    ) -> PyResult<()> {
        let draft = draft(payload, json, None, delivery)?;
        guard(|| self.0.broadcast(draft, &conn_ids(exclude)))
    }

    #[pyo3(signature = (room, payload, json=false, key=None, exclude=Vec::new(), delivery=None))]
    fn publish(
        &self,
        room: &str,
        payload: &Bound<'_, PyAny>,
        json: bool,
        key: Option<&str>,
        exclude: Vec<u64>,
        delivery: Option<&str>,
    ) -> PyResult<u64> {
        let draft = draft(payload, json, key, delivery)?;
        guard(|| self.0.publish(room, draft, &conn_ids(exclude)))
    }

    fn notify(&self, room: &str, event: &str, payload: &str, exclude: Vec<u64>) -> PyResult<()> {
        let label = match event {
            kind::MEMBER_JOINED => kind::MEMBER_JOINED,
            kind::MEMBER_LEFT => kind::MEMBER_LEFT,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "{event:?} is no event; choose member_joined or member_left"
                )));
            }
        };
        guard(|| self.0.notify(room, label, payload, &conn_ids(exclude)))
    }

    fn place(&self, room: &str, epoch: &str, seq: u64) -> PyResult<()> {
        let position = parse_position(epoch, seq)?;
        guard(|| self.0.place(room, position))
    }

    #[pyo3(signature = (room, seq, ts_ms, payload, json=false, key=None, exclude=Vec::new(), delivery=None))]
    #[expect(clippy::too_many_arguments, reason = "those of publish, and two")]
    fn deliver(
        &self,
        room: &str,
        seq: u64,
        ts_ms: u64,
        payload: Option<&Bound<'_, PyAny>>,
        json: bool,
        key: Option<&str>,
        exclude: Vec<u64>,
        delivery: Option<&str>,
    ) -> PyResult<bool> {
        let draft = logged(payload, json, key, delivery)?;
        guard(|| self.0.deliver(room, Stamp { seq, ts_ms }, draft, &conn_ids(exclude)))
    }

    fn extend(&self, room: &str, epoch: &str, floor: u64, messages: Vec<Older<'_>>) -> PyResult<()> {
        let from = parse_position(epoch, floor)?;
        let messages = messages.iter().map(stamped).collect::<PyResult<Vec<_>>>()?;
        guard(|| self.0.extend(room, from, &messages))
    }

    fn skip(&self, room: &str, count: u64, reason: &str) -> PyResult<()> {
        let reason = match reason {
            skipped_reason::BACKPLANE => skipped_reason::BACKPLANE,
            _ => return Err(PyValueError::new_err(format!("{reason:?} is no reason; there is backplane"))),
        };
        guard(|| self.0.skip(room, count, reason))
    }

    fn floor(&self, room: &str) -> PyResult<(String, u64)> {
        let Position { epoch, seq } = guard(|| self.0.floor(room))?;
        Ok((format!("{epoch:x}"), seq))
    }

    #[pyo3(signature = (conn, room, since=None, *, reply=false, re=None, extra="", is_state=false, only_whole=false, again=false))]
    #[expect(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn join(
        &self,
        conn: u64,
        room: &str,
        since: Option<(String, u64)>,
        reply: bool,
        re: Option<&str>,
        extra: &str,
        is_state: bool,
        only_whole: bool,
        again: bool,
    ) -> PyResult<(String, u64, Option<&'static str>)> {
        let since = since.map(|(epoch, seq)| Position { epoch: parse_epoch(&epoch), seq });
        let reply = reply.then_some(JoinReply { re, extra, is_state });
        let entrance = Entrance { since, only_whole, again };
        let joined = guard(|| self.0.join(ConnId::from_u64(conn), room, entrance, reply))?;
        let Joined { position: Position { epoch, seq }, recovered } = joined;
        Ok((format!("{epoch:x}"), seq, recovered.err().map(unrecovered_name)))
    }

    fn position(&self, room: &str) -> PyResult<(String, u64)> {
        let Position { epoch, seq } = guard(|| self.0.position(room))?;
        Ok((format!("{epoch:x}"), seq))
    }

    fn leave(&self, conn: u64, room: &str) -> PyResult<()> {
        guard(|| self.0.leave(ConnId::from_u64(conn), room))
    }

    fn members(&self, room: &str) -> PyResult<usize> {
        self.here(|engine| engine.members(room))
    }

    fn rooms<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, members) in py.detach(|| guard(|| self.0.room_sizes()))? {
            dict.set_item(&*name, members)?;
        }
        Ok(dict)
    }

    fn history<'py>(
        &self,
        py: Python<'py>,
        room: &str,
        after: Option<(String, u64)>,
        limit: usize,
    ) -> PyResult<(String, Vec<(u64, Bound<'py, PyBytes>)>)> {
        let after = after.map(|(epoch, seq)| Position { epoch: parse_epoch(&epoch), seq });
        let (epoch, kept) = py.detach(|| guard(|| self.0.history(room, after, limit)))?;
        let pack = |message: &Arc<Message>| Some((message.seq(), PyBytes::new(py, &parcel::pack(message)?)));
        Ok((format!("{epoch:x}"), kept.iter().filter_map(pack).collect()))
    }

    fn values<'py>(&self, py: Python<'py>, room: &str) -> PyResult<Bound<'py, PyList>> {
        let values = py.detach(|| guard(|| self.0.values(room)))?;
        PyList::new(py, values.iter().map(|value| PyBytes::new(py, value)))
    }

    fn take_values(&self, room: &str, since_ms: u64, values: Vec<Bound<'_, PyBytes>>) -> PyResult<usize> {
        let values: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
        guard(|| self.0.take_values(room, since_ms, &values))
    }

    fn forget(&self, room: &str, key: &str) -> PyResult<(bool, u64)> {
        guard(|| self.0.forget(room, key))
    }

    fn forget_older(&self, room: &str, key: &str, ts_us: u64, is_numbered: bool) -> PyResult<bool> {
        guard(|| self.0.forget_older(room, key, ts_us, is_numbered))
    }

    fn has_value(&self, room: &str, key: &str) -> PyResult<bool> {
        self.here(|engine| engine.has_value(room, key))
    }

    #[getter]
    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    #[pyo3(signature = (conn, code, reason="", flush=true))]
    fn close(&self, conn: u64, code: Option<u16>, reason: &str, flush: bool) -> PyResult<()> {
        guard(|| self.0.close(ConnId::from_u64(conn), code, reason, flush))
    }

    fn grant(&self, conn: u64, size: usize) -> PyResult<()> {
        guard(|| self.0.grant(ConnId::from_u64(conn), size))
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.here(|_| ())?;
        let sum = |count: &dyn Fn(&crate::stats::Stats) -> u64| self.0.stats().map(count).sum::<u64>();
        let (published, refused) = self.0.published();
        let dict = PyDict::new(py);
        dict.set_item("connections", sum(&|stats| stats.connections.value()))?;
        dict.set_item("rooms", self.0.rooms())?;
        dict.set_item("published", published)?;
        dict.set_item("refused", refused)?;
        dict.set_item("late", self.0.late().load(Relaxed))?;
        dict.set_item("delivered", sum(&|stats| stats.delivered.value()))?;
        dict.set_item("bytes", sum(&|stats| stats.bytes.value()))?;
        dict.set_item("writes", sum(&|stats| stats.writes.value()))?;
        dict.set_item("blocked", sum(&|stats| stats.blocked.value()))?;
        dict.set_item("held", sum(&|stats| stats.held.value()))?;
        dict.set_item("pings", sum(&|stats| stats.pings.value()))?;
        dict.set_item("closed_slow", sum(&|stats| stats.slow.value()))?;
        dict.set_item("closed_unanswered", sum(&|stats| stats.unanswered.value()))?;
        dict.set_item("history_bytes", self.0.kept().used())?;
        dict.set_item("waiting_bytes", self.0.budget().used())?;
        dict.set_item("waiting_bytes_limit", self.0.budget().limit())?;
        let drops = PyDict::new(py);
        for (reason, name) in DROPS {
            drops.set_item(name, sum(&|stats| stats.drops[reason as usize].value()))?;
        }
        dict.set_item("drops", drops)?;
        dict.set_item("inbound_bytes", self.0.inbound_bytes())?;
        let limits = PyDict::new(py);
        for ((_, name), count) in LIMITS.into_iter().zip(self.0.passed()) {
            limits.set_item(name, count)?;
        }
        dict.set_item("limits", limits)?;
        dict.set_item("taken_age", taken_age(py, self.0.ages())?)?;
        let handshakes = PyDict::new(py);
        for (status, count) in self.0.handshakes() {
            handshakes.set_item(status, count)?;
        }
        dict.set_item("handshakes", handshakes)?;
        let mut latency: Vec<(u64, u64)> = Vec::new();
        dict.set_item("latency_sum_us", sum(&|stats| stats.latency.sum_us()))?;
        for stats in self.0.stats() {
            for (place, (below, count)) in stats.latency.buckets().enumerate() {
                match latency.get_mut(place) {
                    Some(bucket) => bucket.1 += count,
                    None => latency.push((below, count)),
                }
            }
        }
        dict.set_item("latency_us", latency)?;
        Ok(dict)
    }

    fn shutdown(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let timeout = duration(timeout)?;
        py.detach(|| guard(|| Ok(self.0.shutdown(timeout))))
    }
}

impl PyEngine {
    /// Asks the engine, unless this is the child of a fork: a thread that is not here may have held its locks.
    fn here<R>(&self, ask: impl FnOnce(&Engine) -> R) -> PyResult<R> {
        guard(|| self.0.check_process().map(|()| ask(&self.0)))
    }
}

/// By pattern: `count`, `sum` in seconds, and `buckets`, pairs of an upper bound in seconds and a count.
fn taken_age<'py>(
    py: Python<'py>,
    patterns: Vec<(Box<str>, [u64; BOUNDS_MS.len() + 1], u64)>,
) -> PyResult<Bound<'py, PyDict>> {
    let mut sums: Vec<(Box<str>, [u64; BOUNDS_MS.len() + 1], u64)> = Vec::new();
    for (pattern, counts, sum_ms) in patterns {
        match sums.iter_mut().find(|(name, ..)| *name == pattern) {
            Some((_, all, all_ms)) => {
                all.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
                *all_ms += sum_ms;
            }
            None => sums.push((pattern, counts, sum_ms)),
        }
    }
    let dict = PyDict::new(py);
    for (pattern, counts, sum_ms) in sums {
        let bounds = BOUNDS_MS.into_iter().chain([OLDEST_MS]).map(|bound_ms| bound_ms as f64 / 1e3);
        let ages = PyDict::new(py);
        ages.set_item("count", counts.iter().sum::<u64>())?;
        ages.set_item("sum", sum_ms as f64 / 1e3)?;
        ages.set_item("buckets", bounds.zip(counts).collect::<Vec<_>>())?;
        dict.set_item(&*pattern, ages)?;
    }
    Ok(dict)
}

/// Runs the engine's code; its errors become exceptions and so does a panic, which must not unwind into the
/// interpreter: PyO3 would raise a `BaseException` that no handler expects.
fn guard<R>(call: impl FnOnce() -> Result<R, Error>) -> PyResult<R> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(to_exception),
        Err(panic) => Err(to_exception(Error::Failed(panic_text(&*panic)))),
    }
}

fn to_exception(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::ShutDown | Error::Forked { .. } => Closed::new_err(text),
        Error::Invalid(_) => PyValueError::new_err(text),
        Error::Overloaded { field, .. } => with_limit(Overloaded::new_err(text), field),
        Error::Full { .. } => with_limit(RoomFull::new_err(text), "max_members"),
        Error::Failed(_) => EngineFailed::new_err(text),
        Error::Io(error) => PyOSError::new_err((error.raw_os_error(), text)),
    }
}

/// Names the limit that was met.
fn with_limit(error: PyErr, field: &str) -> PyErr {
    Python::attach(|py| error.value(py).setattr(intern!(py, "limit"), field).err().unwrap_or(error))
}

fn draft<'a>(
    payload: &'a Bound<'_, PyAny>,
    json: bool,
    key: Option<&'a str>,
    delivery: Option<&str>,
) -> PyResult<Draft<'a>> {
    let delivery = delivery.map(parse_delivery).transpose()?;
    let (kind, payload) = if let Ok(bytes) = payload.cast::<PyBytes>() {
        (if json { Kind::Json } else { Kind::Binary }, bytes.as_bytes())
    } else if let Ok(string) = payload.cast::<PyString>() {
        (if json { Kind::Json } else { Kind::Text }, string.to_str()?.as_bytes())
    } else {
        let kind = payload.get_type();
        return Err(PyTypeError::new_err(format!("payload must be bytes or str, not {}", kind.name()?)));
    };
    Ok(Draft { kind, payload, role: Role::Data, id: None, ack: false, key, delivery })
}

/// A numbering by its name. What is none is one that no room has.
fn parse_epoch(epoch: &str) -> u64 {
    u64::from_str_radix(epoch, 16).unwrap_or(u64::MAX)
}

/// What stands in a log: a message or, without a payload, that a key was forgotten.
fn logged<'a>(
    payload: Option<&'a Bound<'_, PyAny>>,
    json: bool,
    key: Option<&'a str>,
    delivery: Option<&str>,
) -> PyResult<Draft<'a>> {
    match payload {
        Some(payload) => draft(payload, json, key, delivery),
        None => Ok(forgetting(key.unwrap_or_default())),
    }
}

/// A message from before: number, time, payload, whether that is JSON, key and delivery class.
type Older<'py> = (u64, u64, Option<Bound<'py, PyAny>>, bool, Option<String>, Option<String>);

fn stamped<'a>((seq, ts_ms, payload, json, key, delivery): &'a Older<'_>) -> PyResult<(Stamp, Draft<'a>)> {
    let draft = logged(payload.as_ref(), *json, key.as_deref(), delivery.as_deref())?;
    Ok((Stamp { seq: *seq, ts_ms: *ts_ms }, draft))
}

fn way(fd: Option<RawFd>, window: usize) -> PyResult<Way> {
    match fd {
        None => Ok(Way::Hosted { window, fd: None }),
        Some(fd) => {
            let owned = accepting::duplicate(fd)?;
            Ok(if window > 0 { Way::Hosted { window, fd: Some(owned) } } else { Way::Socket(owned) })
        }
    }
}

fn parse_position(epoch: &str, seq: u64) -> PyResult<Position> {
    // The parser alone would let a sign pass.
    let digits = Some(epoch).filter(|epoch| epoch.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
        Some(epoch) => Ok(Position { epoch, seq }),
        None => Err(PyValueError::new_err(format!("{epoch:?} is no epoch: up to 16 hexadecimal digits"))),
    }
}

fn parse_codec(name: &str) -> PyResult<Codec> {
    match name {
        "raw" => Ok(Codec::Raw),
        "json" => Ok(Codec::Json),
        "msgpack" => Ok(Codec::Msgpack),
        _ => Err(PyValueError::new_err(format!("{name:?} is no codec; choose raw, json or msgpack"))),
    }
}

fn parse_delivery(name: &str) -> PyResult<Delivery> {
    match name {
        delivery::RELIABLE => Ok(Delivery::Reliable),
        delivery::LATEST => Ok(Delivery::Latest),
        delivery::DROP_OLDEST => Ok(Delivery::DropOldest),
        delivery::DROP_NEWEST => Ok(Delivery::DropNewest),
        _ => Err(PyValueError::new_err(format!(
            "{name:?} is no delivery class; choose reliable, latest, drop-oldest or drop-newest"
        ))),
    }
}

fn conn_ids(numbers: Vec<u64>) -> Vec<ConnId> {
    let mut conns: Vec<_> = numbers.into_iter().map(ConnId::from_u64).collect();
    conns.sort_unstable();
    conns
}

fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err(format!("{seconds} is no duration in seconds")))
}

fn micros(seconds: f64) -> PyResult<u64> {
    Ok(duration(seconds)?.as_micros() as u64)
}

/// None: it is of a newcomer that has gone since.
fn event_tuple<'py>(py: Python<'py>, engine: &Engine, event: Event) -> PyResult<Option<Bound<'py, PyAny>>> {
    let tuple = match event {
        Event::Closing { conn, cause } => {
            (intern!(py, "closing"), conn.as_u64(), cause_name(cause)).into_pyobject(py)?.into_any()
        }
        Event::Closed { conn, cause } => {
            (intern!(py, "closed"), conn.as_u64(), cause_name(cause)).into_pyobject(py)?.into_any()
        }
        Event::Ended { conn, account } => {
            let drops = PyDict::new(py);
            for (name, count) in account.drops() {
                drops.set_item(name, count)?;
            }
            let detail = (account.messages, account.bytes, drops);
            (intern!(py, "ended"), conn.as_u64(), detail).into_pyobject(py)?.into_any()
        }
        Event::Parked { conn, cause } => {
            (intern!(py, "parked"), conn.as_u64(), cause_name(cause)).into_pyobject(py)?.into_any()
        }
        Event::Resumed { conn, link } => {
            (intern!(py, "resumed"), link.as_u64(), conn.as_u64()).into_pyobject(py)?.into_any()
        }
        Event::Refused { conn, link, why } => {
            (intern!(py, "refused"), link.as_u64(), (conn.as_u64(), why.name())).into_pyobject(py)?.into_any()
        }
        Event::Data { conn, bytes } => {
            (intern!(py, "data"), conn.as_u64(), PyBytes::new(py, &bytes)).into_pyobject(py)?.into_any()
        }
        Event::Messages { conn, of: _, messages } => {
            let detail = (messages.size(), message_list(py, messages)?);
            (intern!(py, "messages"), conn.as_u64(), detail).into_pyobject(py)?.into_any()
        }
        Event::PeerClosed { conn, code, reason } => {
            (intern!(py, "peer_closed"), conn.as_u64(), (code, &*reason)).into_pyobject(py)?.into_any()
        }
        Event::Broke { conn, code, reason } => {
            (intern!(py, "broke"), conn.as_u64(), (code, reason)).into_pyobject(py)?.into_any()
        }
        Event::Read { conn, bytes } => (intern!(py, "read"), conn.as_u64(), bytes).into_pyobject(py)?.into_any(),
        Event::Finish { conn } => (intern!(py, "finish"), conn.as_u64(), "").into_pyobject(py)?.into_any(),
        Event::Newcomer { conn } => return accepting::news_tuple(py, engine, conn),
        Event::NewcomerGone { conn } => (intern!(py, "gone"), conn.as_u64(), py.None()).into_pyobject(py)?.into_any(),
        Event::TurnedAway { remote, status, reason, suppressed } => {
            (intern!(py, "turned_away"), 0, (remote, status, &*reason, suppressed)).into_pyobject(py)?.into_any()
        }
        Event::Failed { what } => (intern!(py, "failed"), 0, what).into_pyobject(py)?.into_any(),
    };
    Ok(Some(tuple))
}

fn message_list(py: Python<'_>, messages: Messages) -> PyResult<Bound<'_, PyList>> {
    let mut pieces = messages.into_pieces();
    let Some(first) = pieces.next() else { return Ok(PyList::empty(py)) };
    // As long from the beginning as it is in the end, for mostly there is one piece.
    let objects = first.iter().map(|message| message_object(py, message)).collect::<PyResult<Vec<_>>>()?;
    let list = PyList::new(py, objects)?;
    for piece in pieces {
        for message in piece.iter() {
            list.append(message_object(py, message)?)?;
        }
    }
    Ok(list)
}

/// A message; one that came too fast with the seconds to wait. Of those that were refused already only how many they are, and
/// their bytes.
fn message_object<'py>(py: Python<'py>, message: Received<'_>) -> PyResult<Bound<'py, PyAny>> {
    let Received { payload, is_text, wait_us, refused } = message;
    if let Some(refused) = refused {
        return Ok(refused.into_pyobject(py)?.into_any());
    }
    let payload = match is_text {
        true => PyString::from_bytes(py, payload)?.into_any(),
        false => PyBytes::new(py, payload).into_any(),
    };
    match wait_us {
        None => Ok(payload),
        Some(wait_us) => Ok((payload, wait_us as f64 / 1e6).into_pyobject(py)?.into_any()),
    }
}

fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Slow => "slow",
        Cause::Budget => "budget",
        Cause::Unanswered => "unanswered",
        Cause::CloseTimeout => "close timeout",
        Cause::Reset => "reset",
        Cause::Eof => "eof",
        Cause::Over => "over",
        Cause::Cut => "cut",
    }
}

mod accepting;
mod cluster;
