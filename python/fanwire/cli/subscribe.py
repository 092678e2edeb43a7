"""`fanwire subscribe`: each message becomes one line. It resumes after a lost connection, and reports gaps."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from fanwire.cli.connecting import Tell, reach
from fanwire.cli.failure import CommandFailed
from fanwire.client import Gap, RequestFailed, Room, RoomEnded, Skipped

__all__ = ["subscribe"]


async def subscribe(
    url: str,
    name: str,
    out: BinaryIO,
    *,
    missed: Tell,
    api_key: str | None = None,
    count: int | None = None,
    is_raw: bool = False,
    joined: Callable[[], object] | None = None,
    transport: str | None = None,
    is_compressed: bool = False,
    ca: str | None = None,
    tell: Tell | None = None,
) -> None:
    """Writes each message of a room as a line, until there were `count`, or `out` is closed.

    Args:
        url: of the server.
        name: of the room.
        out: takes the lines; it is flushed once for all messages that came together.
        missed: gets a line for messages that were missed for good.
        api_key: a key or token of the server.
        count: the number of messages; None: no end.
        is_raw: whether binary messages are written as they are; False: as base64.
        joined: is called when the room is joined.
        transport: the name of the transport; None: the first that works.
        is_compressed: whether the server is asked to compress messages.
        ca: the file of the certificates that are trusted; None: those of the system.
        tell: gets lines about the connection; None: they are not shown.

    Raises:
        CommandFailed: there is no connection, the server refuses the join, or `out` cannot be written to.
    """
    async with reach(url, token=api_key, transport=transport, is_compressed=is_compressed, ca=ca, tell=tell) as client:
        try:
            room = await client.join(name)
            _watch(room, missed, tell)
            if joined is not None:
                joined()
            lines = Lines(out, count, is_raw)
            await _take(room, lines)
        except RoomEnded as error:
            raise CommandFailed(
                f"{name}: the room has ended: {error.code}{error.text and f': {error.text}'}"
            ) from error
        except RequestFailed as error:
            raise CommandFailed(f"{name}: {error}") from error
        if lines.failure is not None:
            raise CommandFailed(f"the messages cannot be written: {lines.failure}")
        if not lines.is_done:
            raise CommandFailed(f"{name}: the server has ended the membership")


async def _take(room: Room, lines: Lines) -> None:
    taking = asyncio.ensure_future(_take_all(room, lines))
    # `out` may be closed while no message comes.
    lines.on_done = taking.cancel
    try:
        await asyncio.wait([taking])
    finally:
        if not taking.done():
            # Ctrl-C.
            taking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await taking
        lines.flush()
    if not taking.cancelled():
        taking.result()


async def _take_all(room: Room, lines: Lines) -> None:
    async for message in room:
        if message.forgotten:
            # A forgotten key has no value to print.
            continue
        lines.add(message.data)
        if lines.is_done:
            return


def _watch(room: Room, missed: Tell, tell: Tell | None) -> None:
    @room.on_gap
    def gap_found(gap: Gap) -> None:
        if gap.reason == "epoch":
            missed(f"gap in {room.name}: new numbering after {gap.after}, messages continue after {gap.upto} (epoch)")
        else:
            missed(f"gap in {room.name}: missed the messages after {gap.after}, up to {gap.upto} ({gap.reason})")

    if tell is None:
        return
    tell(f"joined {room.name} at {room.epoch}:{room.seq}, {room.delivery}")

    @room.on_skipped
    def told(skipped: Skipped) -> None:
        tell(f"skipped in {room.name}: {skipped.count} from {skipped.first} to {skipped.last} ({skipped.reason})")


class Lines:
    """Writes messages as lines.

    Attributes:
        is_done: whether no more lines are to be written.
        failure: why lines were not written; None: all were, or the reader of `out` has closed it.
        on_done: is called when no more lines can be written.
    """

    def __init__(self, out: BinaryIO, count: int | None, is_raw: bool) -> None:
        self._out = out
        self._left = count
        self._is_raw = is_raw
        self._batch: list[bytes] = []
        self.is_done = False
        self.failure: str | None = None
        self.on_done: Callable[[], object] | None = None

    def add(self, data: Any) -> None:
        """Takes a message. It is written together with the others of this turn of the loop."""
        if isinstance(data, bytes) and not self._is_raw:
            data = base64.b64encode(data)
        if isinstance(data, str):
            line = data.encode()
        else:
            # Not orjson: a server of another kind may send integers of any length.
            line = data if isinstance(data, bytes) else msgspec.json.encode(data)
        if not self._batch:
            asyncio.get_running_loop().call_soon(self.flush)
        self._batch.append(line + b"\n")
        if self._left is not None:
            self._left -= 1
            self.is_done = self._left == 0

    def flush(self) -> None:
        """Writes the waiting lines."""
        lines, self._batch = self._batch, []
        if not lines:
            return
        try:
            self._out.write(b"".join(lines))
            self._out.flush()
        except OSError as error:
            # It is no failure with `fanwire subscribe prices | head -1`.
            if not isinstance(error, BrokenPipeError):
                self.failure = error.strerror or str(error)
            # What Python flushes at its exit goes to /dev/null.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
            self.is_done = True
            if self.on_done is not None:
                self.on_done()
