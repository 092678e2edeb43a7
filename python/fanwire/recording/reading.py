"""Reads recordings: one file, or all files of a recording in a directory, in the order of time."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from fanwire._engine import RecordingReader
from fanwire.recording import tables
from fanwire.recording.record import EPOCH, RecordedGap, RecordedMessage
from fanwire.values.checks import check_texts, described

__all__ = ["FileSummary", "Recording", "open_recording"]

Time = datetime | int | None


def open_recording(
    path: str | os.PathLike[str],
    *,
    rooms: str | Collection[str] | None = None,
    since: Time = None,
    until: Time = None,
    name: str | None = None,
) -> Recording:
    """Opens a recording for reading. It may still be written: each iteration reads what is there at its time.

    Example::

        recording = fanwire.open_recording("recordings", rooms="quotes.*", since=1_796_025_600_000_000_000)
        for entry in recording:
            if isinstance(entry, fanwire.RecordedGap):
                print("missing:", entry.missing)
            else:
                print(entry.seq, entry.data)

    Args:
        path: a file, or a directory with the files of a recording.
        rooms: the names of rooms to read, in which `*` stands for any characters; None: all.
        since: the time of the first message: a `datetime` with a time zone, or nanoseconds since 1970; None: the first.
            Blocks before it are not read.
        until: the time before which the last message was; None: the last.
        name: the recording's name, if the directory has several.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: there is no recording, or several and no `name`; a time has no time zone.
        TypeError: an argument is of the wrong type.
    """
    patterns = None if rooms is None else check_texts("rooms", (rooms,) if isinstance(rooms, str) else rooms)
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or a Path, got {described(path)}")
    found = files_of(Path(path), name)
    return Recording(found, patterns, nanoseconds("since", since, 0), nanoseconds("until", until, MOST_NS))


class Recording:
    """A recording that can be read, made by `open_recording`. Iterating returns each `RecordedMessage`, and a
    `RecordedGap` where messages are missing; within a room in the order in which they were published.

    Attributes:
        files: the paths of its files.
    """

    def __init__(self, files: Iterable[Path], rooms: tuple[str, ...] | None, since_ns: int, until_ns: int) -> None:
        self.files = tuple(files)
        self._rooms = None if rooms is None else list(rooms)
        self._since_ns = since_ns
        self._until_ns = until_ns

    def __iter__(self) -> Iterator[RecordedMessage | RecordedGap]:
        for block in self.blocks():
            yield from block

    def records(self) -> Iterator[RecordedMessage]:
        """Returns the messages alone, without the gaps."""
        return (entry for entry in self if isinstance(entry, RecordedMessage))

    def gaps(self) -> list[RecordedGap]:
        """Returns where messages are missing. Reads the whole recording."""
        return [entry for entry in self if isinstance(entry, RecordedGap)]

    def blocks(self) -> Iterator[list[RecordedMessage | RecordedGap]]:
        """Returns the entries in lists, as they stand in blocks of the files: about 256 KiB each."""
        for path in self._files_in_time():
            reader = reader_of(path, self._rooms, self._since_ns, self._until_ns)
            while (block := reader.read()) is not None:
                if block:
                    yield [
                        RecordedMessage._make(entry) if len(entry) == RECORD_LEN else RecordedGap._make(entry)
                        for entry in block
                    ]

    def summaries(self) -> list[FileSummary]:
        """Returns what each file contains, by the heads of its blocks: quick, and without `rooms`, `since` and
        `until`."""
        return [summary_of(path) for path in self.files]

    def to_arrow(self) -> Any:
        """Returns the messages as a `pyarrow.Table`; `arrow_batches` reads a recording that is larger than the memory.
        docs/recording.md has the columns.

        Raises:
            ImportError: pyarrow is not installed; `pip install 'fanwire[recording]'`.
        """
        return tables.to_arrow(self.blocks())

    def arrow_batches(self, rows: int = 65_536) -> Iterator[Any]:
        """Returns the messages as each a `pyarrow.RecordBatch`, of at least `rows` messages but the last.

        Raises:
            ImportError: as in `to_arrow`.
        """
        return tables.arrow_batches(self.blocks(), rows)

    def to_pandas(self) -> Any:
        """Returns the messages as a `pandas.DataFrame`, with the same columns.

        Raises:
            ImportError: pandas is not installed.
        """
        return tables.to_pandas(self.blocks())

    def _files_in_time(self) -> Iterator[Path]:
        """The files that may have messages of the time. Messages wait for some time before they are written, so files
        overlap a little."""
        for place, path in enumerate(self.files):
            began = began_of(path)
            following = began_of(self.files[place + 1]) if place + 1 < len(self.files) else None
            if began is not None and began - OVERLAP_NS >= self._until_ns:
                return
            if following is None or following + OVERLAP_NS >= self._since_ns:
                yield path


class FileSummary(NamedTuple):
    """What a file of a recording contains.

    Attributes:
        path: of the file.
        header: the document at its begin: `version`, `began_ns`, `rooms`, and who has written it.
        bytes: the size of the file.
        blocks: how many blocks it has.
        messages: how many messages.
        first_ns: the time of the first, in nanoseconds since 1970; 0: there is none.
        last_ns: the time of the last.
        torn: bytes at the end that are no whole block: the file is being written, or its writer has crashed.
    """

    path: Path
    header: dict[str, Any]
    bytes: int
    blocks: int
    messages: int
    first_ns: int
    last_ns: int
    torn: int


def summary_of(path: Path) -> FileSummary:
    """Reads what a file contains.

    Raises:
        OSError, ValueError: as `open_recording`.
    """
    reader = reader_of(path)
    blocks, messages, first_ns, last_ns, end = reader.skim()
    size = path.stat().st_size
    return FileSummary(path, orjson.loads(reader.header), size, blocks, messages, first_ns, last_ns, max(0, size - end))


def reader_of(path: Path, *options: Any) -> RecordingReader:
    """Opens a file.

    Raises:
        OSError: it cannot be read; the text names it.
        ValueError: it is no recording; the text names it.
    """
    try:
        return RecordingReader(path, *options)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from None


def files_of(path: Path, name: str | None) -> list[Path]:
    """The files of a recording, oldest first.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: there is none, or there are several recordings.
    """
    if not path.is_dir():
        reader_of(path)
        return [path]
    found = sorted((file for file in path.iterdir() if FILE.fullmatch(file.name)), key=lambda file: began_of(file) or 0)
    names = sorted({_name_of(file) for file in found})
    if name is not None:
        found = [file for file in found if _name_of(file) == name]
    elif len(names) > 1:
        raise ValueError(f"{path} has several recordings: choose one with name, of {', '.join(names)}")
    if not found:
        what = "no recording" if name is None else f"no recording named {name!r}"
        raise ValueError(f"{path} has {what}: its files end with .fanwire")
    return found


def began_of(path: Path) -> int | None:
    """When a file began, by its name; None: it has another name."""
    found = FILE.fullmatch(path.name)
    return None if found is None else int(found[2])


def _name_of(path: Path) -> str:
    found = FILE.fullmatch(path.name)
    return "" if found is None else found[1]


def nanoseconds(name: str, time: Time, default: int) -> int:
    """A time in nanoseconds since 1970.

    Raises:
        TypeError, ValueError: it is no time, or has no time zone.
    """
    if time is None:
        return default
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise ValueError(f"{name} must have a time zone, such as datetime.now(timezone.utc), got {time!r}")
        time = (time - EPOCH) // timedelta(microseconds=1) * 1000
    elif isinstance(time, bool) or not isinstance(time, int):
        raise TypeError(f"{name} must be a datetime or an int of nanoseconds since 1970, got {described(time)}")
    return min(max(time, 0), MOST_NS)


FILE = re.compile(r"(.+)-(\d{19,20})\.fanwire")
"""The name of a file: that of the recording, and when it began."""

MOST_NS = 2**64 - 1

RECORD_LEN = len(RecordedMessage._fields)

OVERLAP_NS = 60_000_000_000
"""How long before the begin of a file its first message may have come: far more than the queue and a full disk hold."""
