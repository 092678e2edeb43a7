//! The border to Python: one class, plain values, conversions and no decisions. Its contract, with every docstring, is
//! `python/fanwire/_engine.pyi`, which stubtest compares with this module.
//!
//! Longer than other files, because PyO3 needs all methods of a class in one block. Each method converts its arguments
//! and calls the engine.
//!
//! Nothing here calls back into Python, and no panic reaches it: a panic becomes an `EngineFailed`.

use std::os::fd::RawFd;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::admission::AdmissionSettings;
use crate::admission::entry::Entry;
use crate::admission::proxies::Proxies;
use crate::cluster::node_message;
use crate::engine::message_builder::{Draft, JoinReply, Joined, Stamp};
use crate::engine::{CloseReason, Engine, EngineSettings, JoinOptions};
use crate::io::spin::SpinSettings;
use crate::message::Message;
use crate::newcomers::{ListenerOptions, NewcomerSettings};
use crate::outbox::probes::ProbeKey;
use crate::protocol::form::Form;
use crate::protocol::report::{Report, RoomReport};
use crate::python::arguments::{
    Older, conn_ids, draft, duration, logged, micros, parse_audience, parse_codec, parse_delivery, parse_epoch,
    parse_position, parse_priority, parse_rates, parse_wish, stamped,
};
use crate::python::attributes::attributes;
use crate::python::events::event_tuple;
use crate::python::exceptions::guard;
use crate::python::stats::{ReaderRow, RoomRow};
use crate::queues::command::Source;
use crate::queues::fair_queue::Credit;
use crate::queues::slow_readers::SlowReaders;
use crate::room::{Position, RoomSettings, unrecovered_name};
use crate::shard::ShardSettings;
use crate::shard::inbound::InboundSettings;
use crate::shard::rate_limit::RateSettings;
use crate::slots::ConnId;
use crate::wire::decoder::Limits;
use crate::wire::prefix::Paths;
use crate::wire::refusal::{About, Refusal};
use crate::wire::table::{kind, skipped_reason};

/// The native half of fanwire. A free-threaded interpreter takes its lock again for it: the tests have not run without.
#[pymodule(gil_used = true)]
mod _engine {
    #[pymodule_export]
    use super::PyEngine;
    #[pymodule_export]
    use super::cluster::{PyIngress, PyNatsConnection};
    #[pymodule_export]
    use super::documents::{
        check_audience, check_filter, check_json, glance, is_surely_finite, json_to_msgpack, msgpack_to_json,
        payload_of,
    };
    #[pymodule_export]
    use super::exceptions::{Closed, EngineFailed, FanwireError, Overloaded, RoomFull};
    #[pymodule_export]
    use super::recording::PyRecordingReader;
    #[pymodule_export]
    use super::tls::check_tls;
}

#[pyclass(name = "Engine", module = "fanwire._engine", frozen)]
#[derive(Debug)]
struct PyEngine(Arc<Engine>);

#[pymethods]
impl PyEngine {
    #[new]
    #[pyo3(signature = (*, shards, shard_spin=0.0, shard_cores=Vec::new(), connection_bytes, replay_bytes, engine_bytes, history_bytes, max_rooms, queue_items, queue_bytes, unsent_bytes, write_timeout, ping_interval, ping_timeout, close_timeout, min_rate, slow_code, max_nesting=64, max_message=1 << 20, max_fragments=131_072, message_timeout=30.0, inbox_messages=64, inbox_bytes=1 << 20, inbound_bytes=128 << 20, message_rate=1e3, message_burst=2e3, byte_rate=4194304.0, byte_burst=8388608.0, ping_rate=10.0, ping_burst=100.0, max_refused=1e3, dry_run=false, max_head=16 << 10, handshake_timeout=5.0, max_connections=0, handshake_rate=0.0, handshake_burst=1.0, max_address_connections=0, address_handshake_rate=0.0, address_handshake_burst=1.0, hosts=None, origins=None, trusted_proxies=Vec::new(), prefix="", mount=""))]
    #[expect(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn new(
        shards: usize,
        shard_spin: f64,
        shard_cores: Vec<usize>,
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
        let settings = EngineSettings {
            shards,
            spin: SpinSettings { for_us: micros(shard_spin)?, cores: shard_cores.into() },
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
                probe_key: ProbeKey::default(),
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

    #[pyo3(signature = (pattern, *, delivery, max_keys, max_members, history, history_bytes, history_age, compress=false, priority="normal", tick=0, interest=false, delta=false))]
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
        compress: bool,
        priority: &str,
        tick: u32,
        interest: bool,
        delta: bool,
    ) -> PyResult<()> {
        let (delivery, history_age_us) = (parse_delivery(delivery)?, micros(history_age)?);
        let priority = parse_priority(priority)?;
        let settings = RoomSettings {
            delivery,
            max_keys,
            max_members,
            history,
            history_bytes,
            history_age_us,
            compress,
            priority,
            tick,
            interest,
            delta,
            ..RoomSettings::default()
        };
        guard(|| {
            self.0.add_rule(pattern, settings)?;
            if tick > 0 { self.0.begin_ticks() } else { Ok(()) }
        })
    }

    fn set_compression(&self, level: u32, min_bytes: usize) -> PyResult<()> {
        guard(|| self.0.set_compression(level, min_bytes))
    }

    #[pyo3(signature = (fd, codec="raw", *, session=false, greeting=b"".as_slice(), first=b"".as_slice(), rest=b"".as_slice(), rate=1.0))]
    #[expect(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn open(
        &self,
        fd: RawFd,
        codec: &str,
        session: bool,
        greeting: &[u8],
        first: &[u8],
        rest: &[u8],
        rate: f64,
    ) -> PyResult<u64> {
        let (fd, form) = (accepting::duplicate(fd)?, Form::websocket(parse_codec(codec)?));
        let source = Source { rest: rest.into(), times: rate };
        guard(|| self.0.open(fd, form, session, [greeting, first], source)).map(ConnId::as_u64)
    }

    #[pyo3(signature = (certificates, *, client_ca, client_required, min_version, handshake_timeout))]
    fn set_tls(
        &self,
        py: Python<'_>,
        certificates: Vec<tls::Files>,
        client_ca: Option<(String, Vec<u8>)>,
        client_required: bool,
        min_version: &str,
        handshake_timeout: f64,
    ) -> PyResult<Vec<(Vec<String>, i64)>> {
        let timeout_us = micros(handshake_timeout)?;
        // Checking keys takes a while.
        py.detach(|| {
            guard(|| tls::set_tls(&self.0, &certificates, client_ca.as_ref(), client_required, min_version, timeout_us))
        })
    }

    #[pyo3(signature = (fd, *, tls=false, proxy_protocol=false))]
    fn listen(&self, fd: RawFd, tls: bool, proxy_protocol: bool) -> PyResult<()> {
        let fd = accepting::duplicate(fd)?;
        guard(|| self.0.listen(fd, ListenerOptions { is_tls: tls, has_proxy_header: proxy_protocol }))
    }

    fn stop_listening(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| guard(|| self.0.stop_listening()))
    }

    fn set_ready(&self, is_ready: bool) -> PyResult<()> {
        self.here(|engine| engine.set_ready(is_ready))
    }

    #[pyo3(signature = (request, session=None, first=b"".as_slice(), rate=1.0, batch=false, delta=false))]
    fn accept(
        &self,
        request: u64,
        session: Option<&str>,
        first: &[u8],
        rate: f64,
        batch: bool,
        delta: bool,
    ) -> PyResult<Option<u64>> {
        let session = session.map(parse_codec).transpose()?;
        let conn = guard(|| self.0.accept(ConnId::from_u64(request), session, first, rate, batch, delta))?;
        Ok(conn.map(ConnId::as_u64))
    }

    #[pyo3(signature = (
        conn, request, session, received, refusals, accepted, refused, close, rate=1.0, batch=false, delta=false
    ))]
    #[expect(clippy::too_many_arguments, reason = "the session, the link and what it begins with")]
    fn resume(
        &self,
        conn: u64,
        request: u64,
        session: &str,
        received: u64,
        refusals: u64,
        accepted: &[u8],
        refused: &Bound<'_, PyDict>,
        close: (u16, String),
        rate: f64,
        batch: bool,
        delta: bool,
    ) -> PyResult<Option<u64>> {
        let (conn, request) = (ConnId::from_u64(conn), ConnId::from_u64(request));
        let (codec, refused) = (parse_codec(session)?, accepting::refused_replies(refused)?);
        guard(|| {
            let close = CloseReason::new(close.0, &close.1)?;
            let counts = [received, refusals];
            self.0.accept_again(conn, request, codec, counts, accepted, refused, close, rate, batch, delta)
        })
        .map(|link| link.map(ConnId::as_u64))
    }

    #[pyo3(signature = (request, status, headers=Vec::new(), reason="", path="", user_agent=""))]
    fn refuse(
        &self,
        request: u64,
        status: u16,
        headers: Vec<String>,
        reason: &str,
        path: &str,
        user_agent: &str,
    ) -> PyResult<()> {
        let headers = headers.into_iter().map(Into::into).collect();
        let asked = About::new(path.as_bytes(), user_agent.as_bytes());
        let refusal = Refusal { status, reason: reason.to_owned().into(), headers, limit: None, asked };
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

    #[pyo3(signature = (conn, fd, codec, received, greeting, accepted, refused, close, *, rest=b"".as_slice(), rate=1.0))]
    #[expect(clippy::too_many_arguments, reason = "the session, the link and what it begins with")]
    fn resume_socket(
        &self,
        conn: u64,
        fd: RawFd,
        codec: &str,
        received: u64,
        greeting: &[u8],
        accepted: &[u8],
        refused: &Bound<'_, PyDict>,
        close: (u16, String),
        rest: &[u8],
        rate: f64,
    ) -> PyResult<u64> {
        let (fd, form) = (accepting::duplicate(fd)?, Form::websocket(parse_codec(codec)?));
        let replies = accepting::refused_replies(refused)?;
        let source = Source { rest: rest.into(), times: rate };
        guard(|| {
            let close = CloseReason::new(close.0, &close.1)?;
            self.0.resume(ConnId::from_u64(conn), fd, form, [received, 0], [greeting, accepted], replies, close, source)
        })
        .map(ConnId::as_u64)
    }

    fn retire(&self, conn: u64, link: u64, close: (u16, String), is_over: bool) -> PyResult<()> {
        guard(|| {
            let close = CloseReason::new(close.0, &close.1)?;
            self.0.retire(ConnId::from_u64(conn), ConnId::from_u64(link), close, is_over)
        })
    }

    fn cut(&self, conn: u64, link: u64) -> PyResult<()> {
        guard(|| self.0.cut(ConnId::from_u64(conn), ConnId::from_u64(link)))
    }

    fn hold(&self, conn: u64, is_held: bool) -> PyResult<()> {
        guard(|| self.0.hold(ConnId::from_u64(conn), is_held))
    }

    #[pyo3(signature = (conn, link, lines, is_binary=false, close=None))]
    fn post(&self, conn: u64, link: u64, lines: &[u8], is_binary: bool, close: Option<u16>) -> PyResult<usize> {
        guard(|| self.0.post(ConnId::from_u64(conn), ConnId::from_u64(link), lines, is_binary, close))
    }

    fn poll(&self, conn: u64, link: u64, received: u64) -> PyResult<()> {
        guard(|| self.0.poll(ConnId::from_u64(conn), ConnId::from_u64(link), received))
    }

    fn report(&self, conn: u64, count: u64, taken: Option<Vec<(String, u64, Option<u64>)>>) -> PyResult<()> {
        let taken = taken.map(|rooms| {
            let rooms = rooms.into_iter().map(|(room, count, ts_ms)| RoomReport { room: room.into(), count, ts_ms });
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
        let draft = Draft { id, ack, ..draft(payload, json, None, delivery, None)? };
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
        let draft = draft(payload, json, None, delivery, None)?;
        guard(|| self.0.broadcast(draft, &conn_ids(exclude)))
    }

    #[pyo3(signature = (room, payload, json=false, key=None, exclude=Vec::new(), delivery=None, ticket=0, audience=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn publish(
        &self,
        room: &str,
        payload: &Bound<'_, PyAny>,
        json: bool,
        key: Option<&str>,
        exclude: Vec<u64>,
        delivery: Option<&str>,
        ticket: u64,
        audience: Option<&[u8]>,
    ) -> PyResult<Option<u64>> {
        let audience = parse_audience(audience)?;
        let draft = draft(payload, json, key, delivery, audience.as_ref())?;
        let seq = guard(|| self.0.publish_for(room, draft, &conn_ids(exclude), ticket))?;
        Ok((seq > 0).then_some(seq))
    }

    fn lead_tick(&self, hz: u32, is_led: bool) -> PyResult<()> {
        guard(|| self.0.lead_tick(hz, is_led))
    }

    #[pyo3(signature = (hz, envelopes=Vec::new(), stopped=Vec::new()))]
    fn flush_tick(
        &self,
        hz: u32,
        envelopes: Vec<(u64, String, Bound<'_, PyBytes>)>,
        stopped: Vec<String>,
    ) -> PyResult<usize> {
        let parsed = envelopes
            .iter()
            .map(|(conn, codec, envelope)| Ok((ConnId::from_u64(*conn), parse_codec(codec)?, envelope.as_bytes())));
        let envelopes = parsed.collect::<PyResult<Vec<_>>>()?;
        guard(|| self.0.flush_tick(hz, &envelopes, &stopped))
    }

    fn stop_in_tick(&self, room: &str, is_stopped: bool) -> PyResult<()> {
        guard(|| self.0.stop_in_tick(room, is_stopped))
    }

    fn next_in_tick(&self, room: &str) -> PyResult<u64> {
        guard(|| self.0.next_in_tick(room))
    }

    fn notify(&self, room: &str, event: &str, payload: &str, exclude: Vec<u64>) -> PyResult<()> {
        let label = match event {
            kind::MEMBER_JOINED => kind::MEMBER_JOINED,
            kind::MEMBER_LEFT => kind::MEMBER_LEFT,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "event must be member_joined or member_left, got {event:?}"
                )));
            }
        };
        guard(|| self.0.notify(room, label, payload, &conn_ids(exclude)))
    }

    fn place(&self, room: &str, epoch: &str, seq: u64) -> PyResult<()> {
        let position = parse_position(epoch, seq)?;
        guard(|| self.0.place(room, position))
    }

    #[pyo3(name = "raise_position")]
    fn raise(&self, room: &str, epoch: &str, seq: u64) -> PyResult<()> {
        let position = parse_position(epoch, seq)?;
        guard(|| self.0.raise(room, position))
    }

    #[pyo3(signature = (room, seq, ts_ms, payload, json=false, key=None, exclude=Vec::new(), delivery=None, audience=None, prev=None))]
    #[expect(clippy::too_many_arguments, reason = "those of publish, and three")]
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
        audience: Option<&[u8]>,
        prev: Option<u64>,
    ) -> PyResult<bool> {
        let audience = parse_audience(audience)?;
        let draft = logged(payload, json, key, delivery, audience.as_ref())?;
        guard(|| self.0.deliver(room, Stamp { seq, ts_ms, prev }, draft, &conn_ids(exclude)))
    }

    fn extend(&self, room: &str, epoch: &str, floor: u64, messages: Vec<Older<'_>>) -> PyResult<()> {
        let from = parse_position(epoch, floor)?;
        let audience = |message: &Older<'_>| parse_audience(message.6.as_ref().map(|json| json.as_bytes()));
        let audiences = messages.iter().map(audience).collect::<PyResult<Vec<_>>>()?;
        let messages = messages.iter().zip(&audiences).map(|(message, audience)| stamped(message, audience.as_ref()));
        let messages = messages.collect::<PyResult<Vec<_>>>()?;
        guard(|| self.0.extend(room, from, &messages))
    }

    fn skip(&self, room: &str, count: u64, reason: &str) -> PyResult<()> {
        let reason = match reason {
            skipped_reason::BACKPLANE => skipped_reason::BACKPLANE,
            _ => return Err(PyValueError::new_err(format!("reason must be backplane, got {reason:?}"))),
        };
        guard(|| self.0.skip(room, count, reason))
    }

    fn floor(&self, room: &str) -> PyResult<(String, u64)> {
        let Position { epoch, seq } = guard(|| self.0.floor(room))?;
        Ok((format!("{epoch:x}"), seq))
    }

    #[pyo3(signature = (conn, room, since=None, *, reply=false, re=None, extra="", is_state=false, only_whole=false, again=false, last=None, filter=None, everything=false))]
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
        last: Option<usize>,
        filter: Option<&[u8]>,
        everything: bool,
    ) -> PyResult<(String, u64, Option<&'static str>)> {
        let since = since.map(|(epoch, seq)| Position { epoch: parse_epoch(&epoch), seq });
        let reply = reply.then_some(JoinReply { re, extra, is_state });
        let entrance = JoinOptions { since, only_whole, again, wish: parse_wish(filter, everything)?, last };
        let joined = guard(|| self.0.join(ConnId::from_u64(conn), room, entrance, reply))?;
        let Joined { position: Position { epoch, seq }, recovered, .. } = joined;
        Ok((format!("{epoch:x}"), seq, recovered.err().map(unrecovered_name)))
    }

    fn change_attributes(&self, conn: u64, room: &str, change: &Bound<'_, PyDict>) -> PyResult<()> {
        let change = attributes(change)?;
        guard(|| self.0.change_attributes(ConnId::from_u64(conn), room, change))
    }

    fn set_filter(&self, conn: u64, room: &str, filter: &[u8]) -> PyResult<()> {
        let wish = parse_wish(Some(filter), false)?;
        guard(|| self.0.wish(ConnId::from_u64(conn), room, wish))
    }

    fn configure(&self, conn: u64, room: &str, max_rate: Option<f64>, max_bytes: Option<u64>) -> PyResult<()> {
        let rates = parse_rates(max_rate, max_bytes)?;
        guard(|| self.0.configure(ConnId::from_u64(conn), room, rates))
    }

    fn bytes_since(&self, room: &str, since: (String, u64)) -> PyResult<Option<usize>> {
        let since = Position { epoch: parse_epoch(&since.0), seq: since.1 };
        Ok(guard(|| self.0.bytes_since(room, since))?.ok())
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

    fn watch_rooms(&self, pattern: &str) -> PyResult<()> {
        guard(|| self.0.watch_rooms(pattern))
    }

    fn matching_rooms(&self, py: Python<'_>, pattern: &str, part: usize) -> PyResult<(Vec<String>, Option<usize>)> {
        let (found, next) = py.detach(|| guard(|| self.0.matching_rooms(pattern, part)))?;
        Ok((found.into_iter().map(String::from).collect(), next))
    }

    fn is_new_room(&self, room: &str) -> PyResult<bool> {
        self.here(|engine| engine.is_new_room(room))
    }

    fn unwatch_rooms(&self, pattern: &str) -> PyResult<()> {
        self.here(|engine| engine.unwatch_rooms(pattern))
    }

    fn settle_room(&self, room: &str) -> PyResult<()> {
        self.here(|engine| engine.settle_room(room))
    }

    #[pyo3(signature = (room, after, limit, before=None))]
    #[expect(clippy::type_complexity, reason = "what the Python side unpacks: an epoch, and numbered messages")]
    fn history<'py>(
        &self,
        py: Python<'py>,
        room: &str,
        after: Option<(String, u64)>,
        limit: usize,
        before: Option<u64>,
    ) -> PyResult<(String, Vec<(u64, Bound<'py, PyBytes>)>)> {
        let after = after.map(|(epoch, seq)| Position { epoch: parse_epoch(&epoch), seq });
        let (epoch, kept) = py.detach(|| guard(|| self.0.history(room, after, before, limit)))?;
        let pack = |message: &Arc<Message>| Some((message.seq(), PyBytes::new(py, &node_message::pack(message)?)));
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

    #[getter]
    fn now_us(&self) -> u64 {
        self.0.unix_us()
    }

    #[pyo3(signature = (conn, code, reason="", flush=true))]
    fn close(&self, conn: u64, code: Option<u16>, reason: &str, flush: bool) -> PyResult<()> {
        guard(|| self.0.close(ConnId::from_u64(conn), code, reason, flush))
    }

    fn busy_rooms(&self, py: Python<'_>, most: usize) -> PyResult<Vec<RoomRow>> {
        Ok(py.detach(|| guard(|| self.0.busy_rooms(most)))?.into_iter().map(stats::busy_room).collect())
    }

    fn slow_readers(&self, py: Python<'_>, most: usize, timeout: f64) -> PyResult<(usize, Vec<ReaderRow>)> {
        let timeout = duration(timeout)?;
        let SlowReaders { count, most } = py.detach(|| guard(|| self.0.slow_readers(most, timeout)))?;
        Ok((count, most.into_iter().map(stats::slow_reader).collect()))
    }

    fn connection_reading<'py>(
        &self,
        py: Python<'py>,
        conn: u64,
        timeout: f64,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let timeout = duration(timeout)?;
        let found = py.detach(|| guard(|| self.0.connection_reading(ConnId::from_u64(conn), timeout)))?;
        found.map(|reading| stats::connection_reading(py, &reading)).transpose()
    }

    #[pyo3(signature = (patterns, directory, name, *, rotate_bytes, rotate_seconds, keep_bytes, sync, queue_bytes, flush_interval, about=""))]
    #[expect(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn record(
        &self,
        py: Python<'_>,
        patterns: Vec<String>,
        directory: std::path::PathBuf,
        name: String,
        rotate_bytes: u64,
        rotate_seconds: f64,
        keep_bytes: u64,
        sync: &str,
        queue_bytes: usize,
        flush_interval: f64,
        about: &str,
    ) -> PyResult<u64> {
        let (sync, about) = (sync, about.to_owned());
        let files = recording::file_settings(directory, name, rotate_bytes, rotate_seconds, keep_bytes, sync, about)?;
        let (patterns, interval) = (patterns.into_iter().map(Into::into).collect(), duration(flush_interval)?);
        py.detach(|| guard(|| self.0.record(patterns, files, queue_bytes, interval)))
    }

    fn stop_recording<'py>(&self, py: Python<'py>, id: u64, timeout: f64) -> PyResult<Option<Bound<'py, PyDict>>> {
        let timeout = duration(timeout)?;
        let found = py.detach(|| guard(|| self.0.stop_recording(id, timeout)))?;
        found.map(|reading| recording::reading(py, &reading)).transpose()
    }

    fn recordings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for reading in self.here(Engine::recordings)? {
            list.append(recording::reading(py, &reading)?)?;
        }
        Ok(list)
    }

    fn trace_next(&self, room: &str) -> PyResult<bool> {
        self.here(|engine| engine.traces().want(room))
    }

    fn trace_end(&self, room: &str) -> PyResult<bool> {
        self.here(|engine| engine.traces().unwant(room))
    }

    fn traces<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.here(|engine| engine.finished_traces())?)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.here(|_| ())?;
        stats::stats(py, &self.0)
    }

    fn shutdown(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let timeout = duration(timeout)?;
        py.detach(|| guard(|| Ok(self.0.shutdown(timeout))))
    }
}

impl PyEngine {
    /// Asks the engine, except in the child of a fork, where a thread that does not exist may hold its locks.
    fn here<R>(&self, ask: impl FnOnce(&Engine) -> R) -> PyResult<R> {
        guard(|| self.0.check_process().map(|()| ask(&self.0)))
    }
}

mod accepting;
mod arguments;
mod attributes;
mod cluster;
mod documents;
mod events;
mod exceptions;
mod recording;
mod stats;
mod tls;
