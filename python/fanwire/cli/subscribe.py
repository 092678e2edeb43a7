"""The messages of a room as lines. After a lost connection it continues where it was, and reports gaps."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import Callable
from typing import Any, BinaryIO

import msgspec

from fanwire.cli.connecting import Tell, reach
from fanwire.cli.failure import Failure
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
    tell: Tell | None = None,
) -> None:
    """Writes each message of a room as a line, until there were `count` or the reader of `out` is gone.

    Args:
        url: of the server.
        name: of the room.
        out: where the lines go, flushed once for all that came together.
        missed: gets a line for each gap.
        api_key: one of the server's, or a token.
        count: None: no end.
        is_raw: binary messages as they are, not as base64.
        joined: called once the room's messages come.
        tell: is told how the connection does; None: no reports.

    Raises:
        Failure: there is no connection, or the server does not let the client join.
    """
    async with reach(url, token=api_key, tell=tell) as client:
        try:
            room = await client.join(name)
            _watch(room, missed, tell)
            if joined is not None:
                joined()
            lines = Lines(out, count, is_raw)
            await _take(room, lines)
        except RoomEnded as error:
            raise Failure(f"{name}: the room has ended: {error.code}{error.text and f': {error.text}'}") from error
        except RequestFailed as error:
            raise Failure(f"{name}: {error}") from error
        if not lines.is_done:
            raise Failure(f"{name}: the server has ended the membership")


async def _take(room: Room, lines: Lines) -> None:
    taking = asyncio.ensure_future(_take_all(room, lines))
    # The reader of the lines may leave while no message comes.
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
            # A key without a value is no line.
            continue
        lines.add(message.data)
        if lines.is_done:
            return


def _watch(room: Room, missed: Tell, tell: Tell | None) -> None:
    @room.on_gap
    def gap_found(gap: Gap) -> None:
        if gap.reason == "epoch":
            missed(f"gap in {room.name}: begun anew after {gap.after}, goes on after {gap.upto} (epoch)")
        else:
            missed(f"gap in {room.name}: missed what came after {gap.after}, up to {gap.upto} ({gap.reason})")

    if tell is None:
        return
    tell(f"joined {room.name} at {room.epoch}:{room.seq}, {room.delivery}")

    @room.on_skipped
    def told(skipped: Skipped) -> None:
        tell(f"skipped in {room.name}: {skipped.count} from {skipped.first} to {skipped.last} ({skipped.reason})")


class Lines:
    """What has come, as lines.

    Attributes:
        is_done: no more lines are wanted.
        on_done: called when that is so for another reason than the count.
    """

    def __init__(self, out: BinaryIO, count: int | None, is_raw: bool) -> None:
        self._out = out
        self._left = count
        self._is_raw = is_raw
        self._batch: list[bytes] = []
        self.is_done = False
        self.on_done: Callable[[], object] | None = None

    def add(self, data: Any) -> None:
        """Takes a message, to be written with all that came together with it."""
        if isinstance(data, bytes) and not self._is_raw:
            data = base64.b64encode(data)
        if isinstance(data, str):
            line = data.encode()
        else:
            # Not orjson: a server of another make may send integers of any length.
            line = data if isinstance(data, bytes) else msgspec.json.encode(data)
        if not self._batch:
            asyncio.get_running_loop().call_soon(self.flush)
        self._batch.append(line + b"\n")
        if self._left is not None:
            self._left -= 1
            self.is_done = self._left == 0

    def flush(self) -> None:
        """Writes what has come."""
        lines, self._batch = self._batch, []
        if not lines:
            return
        try:
            self._out.write(b"".join(lines))
            self._out.flush()
        except BrokenPipeError:
            # `fanwire subscribe prices | head -1` has seen enough. What Python would still flush goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
            self.is_done = True
            if self.on_done is not None:
                self.on_done()
