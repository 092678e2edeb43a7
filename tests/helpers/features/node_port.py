"""The TypeScript client in a process of Node.js, which does what it is told by lines of JSON."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import re
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

import fanwire
from helpers.features.ports import ClientPort, Ended, Got, RoomPort
from helpers.wait import DEADLINE, PROCESS, within

DRIVER = Path(__file__).with_name("driver.mjs")
PACKAGES = DRIVER.parents[3] / "typescript" / "node_modules"
LATER = 5.0
"""Seconds that the process has beyond a deadline, to say what it has got."""
LINE = 64 << 20
"""Bytes of an answer at most."""
NAMES = {"isForgotten": "forgotten", "time": "ts"}
"""What has another name in Python, beside the spelling."""
AS_SENT = {"request"}
"""Methods whose result is the application's."""


def needed() -> None:
    """Skips the test without Node.js and its packages; a run that has to be complete (FANWIRE_CI) fails."""
    if shutil.which("node") and PACKAGES.is_dir():
        return
    why = "Node.js is not installed, or `make test-typescript` was never run, which installs the packages"
    if os.environ.get("FANWIRE_CI", "0") not in ("", "0"):
        pytest.fail(why)
    pytest.skip(why)


class NodeProcess:
    """The process. One for all clients of a module."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._said: list[str] = []
        self._reading = asyncio.ensure_future(self._read())
        self._hearing = asyncio.ensure_future(self._hear())

    @classmethod
    async def start(cls) -> NodeProcess:
        """Starts it; returns when it takes commands."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "node", str(DRIVER), stdin=pipe, stdout=pipe, stderr=pipe, limit=LINE
        )
        assert process.stdout is not None
        if not await within(process.stdout.readline(), PROCESS):
            assert process.stderr is not None
            raise AssertionError((await process.stderr.read()).decode())
        return cls(process)

    async def stop(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await within(self._process.wait(), PROCESS)
        await within(asyncio.gather(self._reading, self._hearing))

    async def ask(self, do: str, seconds: float = DEADLINE, **fields: Any) -> Any:
        """Tells it to do something, and returns the result."""
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        line = orjson.dumps({"id": number, "do": do, "seconds": seconds, **fields}, default=_tagged)
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        try:
            found = await within(answer, seconds + LATER)
        except TimeoutError:
            raise AssertionError(f"no answer to {line[:200].decode()}; stderr: {self._said}") from None
        finally:
            del self._waiting[number]
        if "late" in found:
            raise AssertionError(f"not within {seconds:g} s: {line[:200].decode()}; it has got {found['late']}")
        if found.get("error") is not None:
            raise _error(found["error"])
        return found["value"]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            document = _untagged(orjson.loads(line))
            waiting = self._waiting.get(document["id"])
            if waiting is not None and not waiting.done():
                waiting.set_result(document)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(AssertionError(f"Node.js has ended: {self._said}"))

    async def _hear(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self._said.append(line.decode(errors="replace").rstrip())


class NodeRoom(RoomPort):
    """A room of a client in Node.js."""

    def __init__(self, port: NodePort, name: str) -> None:
        super().__init__(name)
        self._port = port

    async def take(self, count: int = 1, seconds: float = DEADLINE) -> list[Got]:
        found: list[Got] = await self._port.ask("take", seconds, room=self.name, count=count)
        return found

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        return await self._port.call_of(self.name, method, args, options)

    async def get(self, name: str) -> Any:
        return await self._port.ask("get", room=self.name, name=camel(name))

    async def events(self) -> list[Got]:
        found: list[Got] = await self._port.ask("events", room=self.name)
        return found


class NodePort(ClientPort):
    """A client in Node.js."""

    numbers = itertools.count(1)

    def __init__(self, process: NodeProcess) -> None:
        self._process = process
        self._id = str(next(self.numbers))

    @classmethod
    async def connect(cls, process: NodeProcess, url: str, transport: str, codec: str, **options: Any) -> NodePort:
        """A client that is connected."""
        made = cls(process)
        await made.ask("connect", url=url, transport=transport, codec=codec, options=_options(options))
        return made

    async def ask(self, do: str, seconds: float = DEADLINE, **fields: Any) -> Any:
        """Tells this client something."""
        return await self._process.ask(do, seconds, client=self._id, **fields)

    async def call_of(self, room: str | None, method: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Calls a method of the client, or of a room."""
        given = [*args, _options(options)] if options else args
        found = await self.ask("call", room=room, method=camel(method), args=given)
        if isinstance(found, dict) and method not in AS_SENT:
            return {snake(name): value for name, value in found.items()}
        return found

    async def join(self, room: str, **options: Any) -> RoomPort:
        await self.ask("join", room=room, options=_options(options))
        return NodeRoom(self, room)

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        return await self.call_of(None, method, args, options)

    async def get(self, name: str) -> Any:
        return await self.ask("get", name=camel(name))

    async def take(self, count: int = 1, seconds: float = DEADLINE) -> list[Got]:
        found: list[Got] = await self.ask("take", seconds, count=count)
        return found

    async def close(self) -> None:
        await self.ask("close")


def camel(name: str) -> str:
    """A name as TypeScript has it."""
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)


def snake(name: str) -> str:
    """A name as Python has it."""
    return NAMES.get(name) or re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), name)


def _options(options: dict[str, Any]) -> dict[str, Any]:
    return {camel(name): value for name, value in options.items()}


def _tagged(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(f"a {type(value).__name__} cannot be passed to Node.js")


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(one) for one in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"$bytes": str(text)}:
            return base64.b64decode(text)
        case {"$int": str(text)}:
            return int(text)
        case {"$map": pairs}:
            return {key: _untagged(one) for key, one in pairs}
        case {"$object": shown}:
            return Got(**{snake(name): _untagged(one) for name, one in shown.items()})
    return {name: _untagged(one) for name, one in value.items()}


def _error(error: dict[str, Any]) -> Exception:
    """The error of Python that means the same."""
    name, text = error["name"], error["message"]
    if name == "RequestFailed":
        more = {"retry": error["retry"], "path": error["path"], "data": error["data"]}
        return fanwire.RequestFailed(error["code"], error["text"], retry_after_ms=error["retryAfterMs"], **more)
    if name == "RoomEnded":
        return fanwire.RoomEnded(error["room"], error["code"], error["text"], retry=error["retry"])
    of_python: dict[str, type[Exception]] = {"TypeError": TypeError, "RangeError": ValueError, "Ended": Ended}
    return of_python.get(name, AssertionError)(text if name in of_python else error["stack"])
