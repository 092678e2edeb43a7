"""Recordings of a server that runs: their settings, their start and end, and what is known of them."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from fanwire._engine import Engine
from fanwire.errors import Closed
from fanwire.observability.health import Health
from fanwire.values.checks import check_choice, check_integer, check_number, check_text, check_texts, described

__all__ = ["RecordOptions", "Recorder", "RecorderStats", "Recordings"]


@dataclass(frozen=True)
class RecordOptions:
    """The settings of a recording; `Server.record` describes them."""

    rooms: tuple[str, ...]
    directory: Path
    name: str
    rotate_bytes: int
    rotate_seconds: float
    keep_bytes: int
    flush_interval: float
    sync: str
    queue_bytes: int

    @classmethod
    def of(
        cls,
        rooms: str | Collection[str],
        directory: str | os.PathLike[str],
        *,
        name: str,
        rotate_bytes: int,
        rotate_seconds: float,
        keep_bytes: int | None,
        flush_interval: float,
        sync: str,
        queue_bytes: int,
    ) -> RecordOptions:
        """Checks the arguments of `Server.record`.

        Raises:
            TypeError, ValueError: one is of the wrong type or out of range.
        """
        found = check_texts("rooms", (rooms,) if isinstance(rooms, str) else rooms, empty=False)
        if not found or len(found) > MOST_PATTERNS:
            raise ValueError(f"rooms must be 1 to {MOST_PATTERNS} names or patterns, got {len(found)}")
        if not isinstance(directory, (str, os.PathLike)):
            raise TypeError(f"directory must be a path, got {described(directory)}")
        if not NAME.fullmatch(check_text("name", name)):
            raise ValueError(f"name must be 1 to 64 letters, digits, '.', '_' or '-', got {described(name)}")
        check_integer("rotate_bytes", rotate_bytes, least=ROTATE_LEAST, most=MOST_BYTES)
        check_number("rotate_seconds", rotate_seconds, least=1, most=MOST_SECONDS)
        if keep_bytes is not None:
            check_integer("keep_bytes", keep_bytes, most=MOST_BYTES)
            if keep_bytes < 2 * rotate_bytes:
                raise ValueError(
                    f"keep_bytes must be at least twice rotate_bytes ({rotate_bytes}), got {keep_bytes}: the oldest "
                    "file is deleted before a new one begins"
                )
        check_number("flush_interval", flush_interval, least=0, most=60)
        check_choice("sync", sync, ("never", "close", "write"))
        check_integer("queue_bytes", queue_bytes, least=1 << 16, most=1 << 34)
        return cls(
            found, Path(directory), name, rotate_bytes, float(rotate_seconds), keep_bytes or 0, float(flush_interval),
            sync, queue_bytes,
        )  # fmt: skip

    def check_directory(self) -> None:
        """Checks that the directory can be written to, or be made. Nothing is made.

        Raises:
            OSError: it cannot; the text says why.
        """
        # A path that cannot be looked at counts as missing, and the directory above it tells why.
        place = next(place for place in (self.directory, *self.directory.parents) if os.path.exists(place))  # noqa: PTH110 - `Path.exists` raises
        why = None if place.is_dir() else "is not a directory"
        if why is None and not os.access(place, os.W_OK | os.X_OK):
            why = "may not be written to by this process"
        if why is not None:
            raise OSError(f"cannot record to {self.directory}: {place} {why}")


@dataclass(frozen=True)
class RecorderStats:
    """What is known of a recording.

    Attributes:
        messages: messages in its files.
        bytes: bytes of its files, those included that were deleted.
        left_out: messages that are not in its files, because the disk was too slow or full. The files say where.
        queue_bytes: bytes of messages that wait to be written.
        errors: writes that failed; each attempt counts.
        files: files that were begun.
        deleted: files that were deleted because of `keep_bytes`.
        file: the path of the file that is written.
        failure: why nothing can be written now; None: it can.
    """

    messages: int = 0
    bytes: int = 0
    left_out: int = 0
    queue_bytes: int = 0
    errors: int = 0
    files: int = 0
    deleted: int = 0
    file: str = ""
    failure: str | None = None


class Recorder:
    """A recording of a server, as `Server.record` returns it. It ends with `stop`, at the end of `async with`, or with
    the server; a server that is started again goes on with the recordings that were not stopped.

    Attributes:
        name: the first part of the names of its files.
        directory: where they are.
    """

    def __init__(self, options: RecordOptions, forget: Any) -> None:
        self.name = options.name
        self.directory = options.directory
        self._options = options
        self._forget = forget
        self._engine: Engine | None = None
        self._id = 0
        self._last = RecorderStats()
        self._before = RecorderStats()

    @property
    def is_running(self) -> bool:
        """Whether messages are recorded: it was not stopped, and the server runs."""
        return self._engine is not None

    @property
    def stats(self) -> RecorderStats:
        """What is known of it, from any thread."""
        engine = self._engine
        if engine is not None:
            for found in engine.recordings():
                if found["id"] == self._id:
                    self._last = _stats_of(found)
        return self._last

    async def stop(self) -> RecorderStats:
        """Ends the recording: what was published before is written. May be called twice.

        Returns:
            What is known of it. If the disk has refused the last messages, `left_out` counts them, and `failure` says
            why.
        """
        self._forget(self)
        return await asyncio.to_thread(self.end, STOP)

    async def __aenter__(self) -> Recorder:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def check(self) -> None:
        """Checks what can be known before the start, see `RecordOptions.check_directory`."""
        self._options.check_directory()

    def begin(self, engine: Engine, node: str) -> None:
        """Begins to record; the server calls it.

        Raises:
            OSError: the first file cannot be written; the text says why.
            Overloaded: there are too many recordings.
        """
        options = self._options
        about = {"rooms": options.rooms, "name": options.name, "node": node, "pid": os.getpid()}
        try:
            self._id = engine.record(
                list(options.rooms), options.directory, options.name, rotate_bytes=options.rotate_bytes,
                rotate_seconds=options.rotate_seconds, keep_bytes=options.keep_bytes, sync=options.sync,
                queue_bytes=options.queue_bytes, flush_interval=options.flush_interval,
                about="," + orjson.dumps(about)[1:-1].decode(),
            )  # fmt: skip
        except OSError as error:
            raise OSError(error.errno, f"cannot record to {options.directory}: {error.strerror or error}") from error
        self._engine = engine

    def end(self, timeout: float) -> RecorderStats:
        """Ends it without `asyncio`, in at most this many seconds; the server calls it, too."""
        engine, self._engine = self._engine, None
        if engine is not None:
            try:
                found = engine.stop_recording(self._id, timeout)
            except Closed:
                # A forked process has no threads to stop.
                found = None
            if found is not None:
                self._last = _stats_of(found)
        return self._last


class Recordings:
    """The recordings of a server.

    Args:
        health: is told when one fails.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._all: list[Recorder] = []
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: Engine | None = None
        self._node = ""
        self._failing: dict[str, str] = {}

    def add(self, options: RecordOptions) -> Recorder:
        """Adds a recording, which begins now or with the server.

        Raises:
            OSError, Overloaded: as `Recorder.begin`.
        """
        recorder = Recorder(options, self._forget)
        if self._engine is not None:
            recorder.begin(self._engine, self._node)
        self._all.append(recorder)
        if self._loop is not None:
            # The caller may be another thread.
            self._loop.call_soon_threadsafe(self._begin_watch)
        return recorder

    def check(self) -> None:
        """Checks what can be known of all before the start, see `RecordOptions.check_directory`."""
        for recorder in self._all:
            recorder.check()

    def begin(self, engine: Engine, node: str) -> None:
        """Begins all, on the event loop.

        Raises:
            OSError, Overloaded: as `Recorder.begin`.
        """
        self._engine, self._node = engine, node
        for recorder in self._all:
            recorder.begin(engine, node)
        self._loop = asyncio.get_running_loop()
        self._begin_watch()

    def end(self) -> None:
        """Ends all: the server stops."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for recorder in self._all:
            stats = recorder.end(END)
            if stats.failure is not None:
                self._health.warning("recording %s has ended incomplete: %s", recorder.name, stats.failure)
        self._engine = self._loop = None
        self._failing.clear()

    @property
    def failing(self) -> int:
        """How many of them cannot write."""
        return len(self._failing)

    def _forget(self, recorder: Recorder) -> None:
        if recorder in self._all:
            self._all.remove(recorder)
        self._told(recorder, None)

    def _begin_watch(self) -> None:
        """A server without recordings has no timer of them."""
        if self._timer is None and self._loop is not None and self._all:
            self._watch()

    def _watch(self) -> None:
        """Looks once a second whether they can write, and says it once when that changes."""
        for recorder in list(self._all):
            self._told(recorder, recorder.stats)
        self._timer = asyncio.get_running_loop().call_later(1.0, self._watch) if self._all else None

    def _told(self, recorder: Recorder, stats: RecorderStats | None) -> None:
        name = f"recording {recorder.name} in {recorder.directory}"
        failure = None if stats is None else stats.failure
        if stats is not None and failure is None and stats.left_out:
            before = recorder._before.left_out
            if stats.left_out > before:
                count = stats.left_out - before
                self._health.warning("%s has left out %d messages: the disk is too slow", name, count)
        if stats is not None:
            recorder._before = stats
        was = self._failing.get(name)
        self._health.note(name, failure)
        if failure is None:
            self._failing.pop(name, None)
            if was is not None and stats is not None:
                text = "%s goes on; %d messages were left out since its start"
                self._health.warning(text, name, stats.left_out)
            return
        self._failing[name] = failure
        if was is None:
            text = "%s cannot write, tries again each second, and leaves out what its queue cannot hold: %s"
            self._health.warning(text, name, failure)


def _stats_of(found: dict[str, Any]) -> RecorderStats:
    return RecorderStats(**{name: found[name] for name in RecorderStats.__dataclass_fields__})


NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

MOST_PATTERNS = 64
"""Patterns of a recording: each new room is compared with all of them."""

ROTATE_LEAST = 64 << 10
"""The least size of a file: a quarter of a block."""

MOST_BYTES = 1 << 62

MOST_SECONDS = 366 * 86_400.0

STOP = 30.0
"""Seconds for a recording to write what waits, at `Recorder.stop`."""

END = 2.0
"""The same at the stop of the server, which has waited for much else before."""
