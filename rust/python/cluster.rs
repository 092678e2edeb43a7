//! The border of the cluster: the ingress of rooms, and the connection to NATS.

use std::os::fd::RawFd;
use std::sync::Arc;

use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::cluster::ingress::Ingress;
use crate::cluster::nats::{NatsConnection, NatsEvent, NatsSettings, Question, Reply, Target};
use crate::engine::wake_all;
use crate::python::PyEngine;
use crate::python::arguments::duration;
use crate::python::exceptions::guard;

#[pyclass(name = "Ingress", module = "fanwire._engine", frozen)]
#[derive(Debug)]
pub struct PyIngress(Arc<Ingress>);

#[pymethods]
impl PyIngress {
    #[new]
    fn new(engine: &PyEngine, room: &str, since_ms: u64) -> Self {
        Self(Arc::new(Ingress::new(Arc::clone(&engine.0), room, since_ms)))
    }

    fn take(&self, data: &[u8]) -> PyResult<(u64, Option<String>)> {
        guard(|| {
            let mut wake = Vec::new();
            let outcome = self.0.take(data, &mut wake);
            wake_all(&mut wake);
            Ok((outcome.missing, outcome.fault.map(|error| error.to_string())))
        })
    }
}

#[pyclass(name = "NatsConnection", module = "fanwire._engine", frozen)]
#[derive(Debug)]
pub struct PyNatsConnection(NatsConnection);

#[pymethods]
impl PyNatsConnection {
    #[new]
    #[pyo3(signature = (servers, *, node, echo, token=None, password=None, credentials=None, ca=None, certificate=None, timeout, retry, ping, max_bytes))]
    #[expect(clippy::too_many_arguments, reason = "keywords on the Python side")]
    fn new(
        servers: Vec<String>,
        node: &str,
        echo: String,
        token: Option<String>,
        password: Option<(String, String)>,
        credentials: Option<String>,
        ca: Option<String>,
        certificate: Option<(String, String)>,
        timeout: f64,
        retry: f64,
        ping: f64,
        max_bytes: usize,
    ) -> PyResult<Self> {
        let settings = NatsSettings {
            servers,
            token,
            password,
            credentials: credentials.map(Into::into),
            ca: ca.map(Into::into),
            certificate: certificate.map(|(certificate, key)| (certificate.into(), key.into())),
            node: node.into(),
            echo,
            timeout: duration(timeout)?,
            retry: duration(retry)?,
            ping: duration(ping)?,
            max_bytes,
        };
        NatsConnection::open(settings).map(Self).map_err(|error| PyOSError::new_err(error.to_string()))
    }

    fn fileno(&self) -> RawFd {
        self.0.fd()
    }

    #[getter]
    fn is_up(&self) -> bool {
        self.0.is_up()
    }

    fn take<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for event in guard(|| Ok(self.0.take(most)))? {
            list.append(event_tuple(py, event)?)?;
        }
        Ok(list)
    }

    fn send(&self, subject: String, data: &[u8]) -> PyResult<bool> {
        guard(|| Ok(self.0.send(subject, data)))
    }

    #[pyo3(signature = (id, subject, ingress=None, is_log=false))]
    fn subscribe(&self, id: u64, subject: String, ingress: Option<&PyIngress>, is_log: bool) -> PyResult<()> {
        let target = match ingress {
            Some(ingress) => Target::Ingress(Arc::clone(&ingress.0)),
            None if is_log => Target::Log,
            None => Target::Host,
        };
        guard(|| {
            self.0.subscribe(id, subject, target);
            Ok(())
        })
    }

    fn unsubscribe(&self, id: u64) -> PyResult<()> {
        guard(|| {
            self.0.unsubscribe(id);
            Ok(())
        })
    }

    fn sync(&self, ticket: u64) -> PyResult<()> {
        guard(|| {
            self.0.sync(ticket);
            Ok(())
        })
    }

    #[pyo3(signature = (ticket, subject, data, headers=Vec::new(), is_batch=false))]
    fn ask(
        &self,
        ticket: u64,
        subject: String,
        data: &[u8],
        headers: Vec<(String, String)>,
        is_batch: bool,
    ) -> PyResult<()> {
        let payload = data.to_vec().into();
        guard(|| {
            self.0.ask(Question { ticket, subject, headers, payload, is_batch });
            Ok(())
        })
    }

    fn flush(&self) -> PyResult<()> {
        guard(|| {
            self.0.flush();
            Ok(())
        })
    }

    fn reconnect(&self) -> PyResult<()> {
        guard(|| {
            self.0.reconnect();
            Ok(())
        })
    }

    fn counts(&self) -> PyResult<(u64, u64, u64)> {
        guard(|| Ok(self.0.counts().into()))
    }

    #[getter]
    fn max_payload(&self) -> Option<usize> {
        self.0.max_payload()
    }

    fn close(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let timeout = duration(timeout)?;
        py.detach(|| guard(|| Ok(self.0.close(timeout))))
    }
}

fn event_tuple<'py>(py: Python<'py>, event: NatsEvent) -> PyResult<Bound<'py, PyAny>> {
    let bytes = |data: &[u8]| PyBytes::new(py, data);
    Ok(match event {
        NatsEvent::Up => (intern!(py, "up"),).into_pyobject(py)?.into_any(),
        NatsEvent::Down => (intern!(py, "down"),).into_pyobject(py)?.into_any(),
        NatsEvent::Ended(why) => (intern!(py, "ended"), why).into_pyobject(py)?.into_any(),
        NatsEvent::Complained(what) => (intern!(py, "complained"), what).into_pyobject(py)?.into_any(),
        NatsEvent::Synced(ticket) => (intern!(py, "synced"), ticket).into_pyobject(py)?.into_any(),
        NatsEvent::Answered(ticket, Ok(replies)) => {
            let list = PyList::empty(py);
            for Reply { status, headers, payload } in replies {
                let dict = PyDict::new(py);
                for (name, value) in headers {
                    dict.set_item(name, value)?;
                }
                list.append((status, dict, bytes(&payload)))?;
            }
            (intern!(py, "answered"), ticket, list).into_pyobject(py)?.into_any()
        }
        NatsEvent::Answered(ticket, Err(why)) => (intern!(py, "unanswered"), ticket, why).into_pyobject(py)?.into_any(),
        NatsEvent::Heard(id, data) => (intern!(py, "heard"), id, bytes(&data)).into_pyobject(py)?.into_any(),
        NatsEvent::Stored(id, seq, prev, data) => {
            (intern!(py, "stored"), id, seq, prev, bytes(&data)).into_pyobject(py)?.into_any()
        }
        NatsEvent::Missed(id, count, why) => (intern!(py, "missed"), id, count, why).into_pyobject(py)?.into_any(),
        NatsEvent::Lost(id) => (intern!(py, "lost"), id).into_pyobject(py)?.into_any(),
        NatsEvent::LostSome => (intern!(py, "lost_some"),).into_pyobject(py)?.into_any(),
    })
}
