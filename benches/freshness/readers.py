"""The readers' process: sessions of the Python client, or raw clients, which take their time for each message."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import orjson
import picows
import uvloop
from place import READER_CPU, Warnings, pin
from record import Record
from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import ConnectionClosed

import fanwire

OPEN_LIMIT = 30.0


@dataclass(frozen=True)
class Readers:
    """Who reads.

    Attributes:
        kind: "client" for fanwire's own, or "websockets" or "picows" for a raw one, which is in the first room.
        rooms: those that are read, and the seconds of work for each message.
        unread: rooms that are joined and not read.
        blocks: the work is done by a loop that does nothing else meanwhile.
        count: how many they are.
        idle: they have only what others leave of their CPU.
    """

    kind: str
    port: int
    rooms: dict[str, float]
    seconds: float
    unread: tuple[str, ...] = ()
    blocks: bool = False
    count: int = 1
    idle: bool = False


@dataclass
class Seen:
    """What one reader has to tell.

    Attributes:
        losses: when it noticed that its connection was lost, in seconds since the start.
        warnings: what the loggers of the process warned of; at the first reader.
        behind: rooms that were said to be behind.
        first: of each unread room, what the first message said when it was read at the end.
    """

    records: list[Record]
    losses: list[float] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    first: dict[str, str] = field(default_factory=dict)


def read(pipe: Connection, readers: Readers) -> None:
    """Says when all are connected, reads, and sends what each has seen."""
    pin(READER_CPU, idle=readers.idle)
    pipe.send(uvloop.run(_read(pipe, readers)))


async def _read(pipe: Connection, readers: Readers) -> list[Seen]:
    one = {"client": _client, "websockets": _websockets, "picows": _picows}[readers.kind]
    opened = [asyncio.Event() for _ in range(readers.count)]
    started = asyncio.Event()
    tasks = [asyncio.ensure_future(one(readers, event, started)) for event in opened]
    warnings = Warnings(logging.getLogger("fanwire.client"))
    await asyncio.wait_for(asyncio.gather(*(event.wait() for event in opened)), OPEN_LIMIT)
    pipe.send("open")
    started.set()
    all_seen = await asyncio.gather(*tasks)
    all_seen[0].warnings += warnings.texts
    return all_seen


async def _client(readers: Readers, opened: asyncio.Event, started: asyncio.Event) -> Seen:
    seen = Seen([Record(name) for name in readers.rooms])
    async with fanwire.connect(f"ws://127.0.0.1:{readers.port}") as client:
        unread = {name: await client.join(name) for name in readers.unread}
        rooms = [await client.join(name) for name in readers.rooms]
        for room in (*unread.values(), *rooms):
            room.on_behind(lambda room: seen.behind.append(room.name))
        opened.set()
        await started.wait()
        begun = time.monotonic()

        @client.on_state
        def changed(state: fanwire.ConnectionState) -> None:
            if state is not fanwire.ConnectionState.OPEN:
                seen.losses.append(round(time.monotonic() - begun, 1))

        async def take(room: fanwire.Room, record: Record) -> None:
            async for message in room:
                now = time.monotonic()
                # A loop that does not look elsewhere while messages wait notices no timeout.
                if now > begun + readers.seconds:
                    return
                record.take(now - begun, now, _fields(message))
                if message.gap is not None:
                    record.gaps.append(message.gap.reason)
                await _work(readers, room.name)

        tasks = [asyncio.ensure_future(take(*pair)) for pair in zip(rooms, seen.records, strict=True)]
        tasks.append(asyncio.ensure_future(_look(seen.records, begun)))
        await asyncio.wait(
            tasks, timeout=begun + readers.seconds - time.monotonic(), return_when=asyncio.FIRST_EXCEPTION
        )
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception():
                seen.warnings.append(f"ended early: {task.exception()!r}")
            task.cancel()
        losses = list(seen.losses)
        for name, room in unread.items():
            with contextlib.suppress(asyncio.TimeoutError):
                message = await asyncio.wait_for(anext(room), 2)
                age, gap = time.monotonic() - message.data["t"], message.gap and message.gap.reason
                seen.first[name] = f"number {message.data['n']}, {age:.1f} s old, gap {gap}"
    # Its own close is no loss.
    seen.losses = losses
    return seen


async def _websockets(readers: Readers, opened: asyncio.Event, started: asyncio.Event) -> Seen:
    (room,) = readers.rooms
    record = Record(room)
    seen = Seen([record])
    async with websockets_connect(f"ws://127.0.0.1:{readers.port}", compression=None) as socket:
        opened.set()
        await started.wait()
        begun = time.monotonic()
        looking = asyncio.ensure_future(_look(seen.records, begun))

        async def take() -> None:
            while True:
                data = orjson.loads(await socket.recv())
                now = time.monotonic()
                if now > begun + readers.seconds:
                    return
                record.take(now - begun, now, data)
                await _work(readers, room)

        try:
            await asyncio.wait_for(take(), readers.seconds)
        except ConnectionClosed as error:
            seen.losses.append(round(time.monotonic() - begun, 1))
            seen.warnings.append(f"closed: {error}")
        except asyncio.TimeoutError:
            pass
        looking.cancel()
    return seen


async def _picows(readers: Readers, opened: asyncio.Event, started: asyncio.Event) -> Seen:
    (room,) = readers.rooms
    seen = Seen([Record(room)])
    begun = time.monotonic()
    listener = Listener(seen.records[0], readers.rooms[room])
    transport, _ = await picows.ws_connect(lambda: listener, f"ws://127.0.0.1:{readers.port}")
    opened.set()
    await started.wait()
    begun = listener.begun = time.monotonic()
    listener.until = begun + readers.seconds
    looking = asyncio.ensure_future(_look(seen.records, begun))
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(listener.ended), readers.seconds)
    looking.cancel()
    if listener.ended.done() and listener.ended.result() < listener.until:
        seen.losses.append(round(listener.ended.result() - begun, 1))
    transport.disconnect(graceful=False)
    return seen


class Listener(picows.WSListener):
    """A raw client that works where it is called: picows has no queue of its own."""

    def __init__(self, record: Record, work: float) -> None:
        super().__init__()
        self._record, self._pause = record, work
        self.begun, self.until = 0.0, float("inf")
        self.ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        now = time.monotonic()
        # A read that is long ago may bring messages for many seconds more.
        if frame.msg_type == picows.WSMsgType.TEXT and now < self.until:
            self._record.take(now - self.begun, now, orjson.loads(frame.get_payload_as_memoryview()))
            time.sleep(self._pause)

    def on_ws_disconnected(self, transport: Any) -> None:
        if not self.ended.done():
            self.ended.set_result(time.monotonic())


def _fields(message: fanwire.Message) -> dict[str, Any]:
    """What a record wants of a message of `serving.py`, or of the load client's stamp (benches/load/src/stamp.rs)."""
    if isinstance(message.data, bytes):
        sent, number = struct.unpack_from("<QQ", message.data)
        return {"t": sent / 1e9, "n": number, "s": message.key}
    fields: dict[str, Any] = message.data
    return fields


async def _work(readers: Readers, room: str) -> None:
    work = readers.rooms[room]
    if readers.blocks:
        time.sleep(work)  # noqa: ASYNC251 - this is the case
    elif work:
        await asyncio.sleep(work)


async def _look(records: list[Record], begun: float) -> None:
    while True:
        await asyncio.sleep(1)
        now = time.monotonic()
        for record in records:
            record.look(now - begun, now)
