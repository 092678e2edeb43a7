//! The border of recordings: their start and end, what is known of them, and the reader of their files.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use rustc_hash::FxHashMap;

use crate::engine::record::RecordingReading;
use crate::io::recording_files::{FileSettings, Sync};
use crate::message::delivery_name;
use crate::python::arguments::duration;
use crate::recording::entry::{
    FROM_LOG, Gap, GapReason, HERE, Record, RecordEntries, RecordEntry, kind_name, reason_name,
};
use crate::recording::reader::{Found, ReadError, RecordingReader};
use crate::room::matches;

/// Reads one file of a recording.
#[pyclass(name = "RecordingReader", module = "fanwire._engine", frozen)]
#[derive(Debug)]
pub struct PyRecordingReader(Mutex<FileReader>);

#[derive(Debug)]
struct FileReader {
    reader: RecordingReader<File>,
    rooms: Option<Vec<String>>,
    since_ns: u64,
    until_ns: u64,
    body: Vec<u8>,
    torn: u64,
}

#[pymethods]
impl PyRecordingReader {
    #[new]
    #[pyo3(signature = (path, rooms=None, since_ns=0, until_ns=u64::MAX))]
    fn new(path: PathBuf, rooms: Option<Vec<String>>, since_ns: u64, until_ns: u64) -> PyResult<Self> {
        let open = |path: &PathBuf| RecordingReader::open(File::open(path)?, since_ns, until_ns);
        let reader = open(&path).map_err(|error| match error {
            ReadError::Io(error) => PyOSError::new_err((error.raw_os_error(), error.to_string(), path)),
            ReadError::NotARecording => PyValueError::new_err(format!("{}: {error}", path.display())),
        })?;
        Ok(Self(Mutex::new(FileReader { reader, rooms, since_ns, until_ns, body: Vec::new(), torn: 0 })))
    }

    #[getter]
    fn header<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.with(|file| file.reader.header().to_vec()).as_slice())
    }

    #[getter]
    fn torn(&self) -> u64 {
        self.with(|file| file.torn)
    }

    fn read<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        self.with(|file| file.read(py))
    }

    fn skim(&self, py: Python<'_>) -> PyResult<(u64, u64, u64, u64, u64)> {
        py.detach(|| {
            self.with(|file| {
                let (mut blocks, mut records, mut first_ns, mut last_ns) = (0, 0, u64::MAX, 0);
                while let Some(head) = file.reader.skim()? {
                    blocks += 1;
                    records += u64::from(head.records);
                    first_ns = first_ns.min(head.first_ns);
                    last_ns = last_ns.max(head.last_ns);
                }
                let first_ns = if blocks == 0 { 0 } else { first_ns };
                Ok((blocks, records, first_ns, last_ns, file.reader.offset()))
            })
        })
    }
}

impl PyRecordingReader {
    fn with<R>(&self, act: impl FnOnce(&mut FileReader) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl FileReader {
    fn read<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let list = PyList::empty(py);
        match self.reader.next_block(&mut self.body)? {
            Found::End { torn } => {
                self.torn = torn;
                return Ok(None);
            }
            Found::Damaged { records, first_ns, last_ns, .. } => {
                list.append(gap_tuple(py, &damaged(records, first_ns, last_ns))?)?
            }
            Found::Block(head) => {
                let mut names = FxHashMap::default();
                for entry in RecordEntries::new(&self.body) {
                    match entry {
                        Ok(RecordEntry::Message(record)) => {
                            if self.wants(record.room) && (self.since_ns..self.until_ns).contains(&record.time_ns) {
                                let room = names.entry(record.room).or_insert_with(|| PyString::new(py, record.room));
                                list.append(record_tuple(py, room, &record, head.clock_ns)?)?;
                            }
                        }
                        Ok(RecordEntry::Gap(gap)) => {
                            if gap.room.is_empty() || self.wants(gap.room) {
                                list.append(gap_tuple(py, &gap)?)?;
                            }
                        }
                        Err(_) => list.append(gap_tuple(py, &damaged(0, head.first_ns, head.last_ns))?)?,
                    }
                }
            }
        }
        Ok(Some(list))
    }

    fn wants(&self, room: &str) -> bool {
        self.rooms.as_ref().is_none_or(|rooms| rooms.iter().any(|pattern| matches(pattern, room)))
    }
}

fn damaged(count: u64, from_ns: u64, to_ns: u64) -> Gap<'static> {
    Gap { room: "", epoch: 0, first: 0, last: 0, count, reason: GapReason::Damaged, from_ns, to_ns }
}

fn record_tuple<'py>(
    py: Python<'py>,
    room: &Bound<'py, PyString>,
    record: &Record<'_>,
    clock_ns: i64,
) -> PyResult<Bound<'py, PyTuple>> {
    let origin = match record.origin {
        HERE => None,
        FROM_LOG => Some("log".to_owned()),
        node => Some(format!("{node:x}")),
    };
    let payload = PyBytes::new(py, record.payload);
    let place = (record.time_ns, record.ts_ms, room, format!("{:x}", record.epoch), record.seq, record.prev);
    let rest = (record.key, kind_name(record.kind), delivery_name(record.delivery), origin, payload, clock_ns);
    (place.0, place.1, place.2, place.3, place.4, place.5, rest.0, rest.1, rest.2, rest.3, rest.4, rest.5)
        .into_pyobject(py)
}

fn gap_tuple<'py>(py: Python<'py>, gap: &Gap<'_>) -> PyResult<Bound<'py, PyTuple>> {
    let epoch = format!("{:x}", gap.epoch);
    (gap.room, epoch, gap.first, gap.last, gap.count, reason_name(gap.reason), gap.from_ns, gap.to_ns).into_pyobject(py)
}

/// Returns the settings of files.
pub(super) fn file_settings(
    directory: PathBuf,
    name: String,
    rotate_bytes: u64,
    rotate_seconds: f64,
    keep_bytes: u64,
    sync: &str,
    about: String,
) -> PyResult<FileSettings> {
    let sync = match sync {
        "never" => Sync::Never,
        "close" => Sync::Close,
        "write" => Sync::Write,
        _ => return Err(PyValueError::new_err(format!("sync must be never, close or write, got {sync:?}"))),
    };
    let rotate_ns = u64::try_from(duration(rotate_seconds)?.as_nanos()).unwrap_or(u64::MAX);
    Ok(FileSettings { directory, name, rotate_bytes, rotate_ns, keep_bytes, sync, about })
}

/// Returns what is known of a recording, by name.
pub(super) fn reading<'py>(py: Python<'py>, reading: &RecordingReading) -> PyResult<Bound<'py, PyDict>> {
    let dict = sums(py, reading)?;
    dict.set_item("id", reading.id)?;
    dict.set_item("name", &reading.name)?;
    dict.set_item("file", &reading.file)?;
    dict.set_item("failure", &reading.failure)?;
    dict.set_item("is_ended", reading.is_ended)?;
    dict.set_item("files", reading.files)?;
    dict.set_item("deleted", reading.deleted)?;
    Ok(dict)
}

/// Returns the counts of recordings, by name.
pub(super) fn sums<'py>(py: Python<'py>, reading: &RecordingReading) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("messages", reading.messages)?;
    dict.set_item("bytes", reading.bytes)?;
    dict.set_item("left_out", reading.left_out)?;
    dict.set_item("queue_bytes", reading.queue_bytes)?;
    dict.set_item("errors", reading.errors)?;
    Ok(dict)
}
