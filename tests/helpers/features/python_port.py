"""The Python client, in the process of the tests."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import msgspec

import fanwire
from fanwire import client as fc
from helpers.features.ports import EVENTS, ClientPort, Ended, Got, RoomPort
from helpers.wait import DEADLINE, within


def plain(value: Any) -> Any:
    """A record as a map of its fields; other values as they are."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields(value)
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    return value


def fields(value: Any) -> dict[str, Any]:
    """The public fields of a dataclass."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.name[0] != "_"}


def got(message: fanwire.Message) -> Got:
    """A message, with its gap."""
    found = fields(message)
    return Got(**{**found, "gap": None if message.gap is None else Got(**fields(message.gap))})


class PythonRoom(RoomPort):
    """A room of the Python client."""

    def __init__(self, room: fc.Room) -> None:
        super().__init__(room.name)
        self.room = room
        self._told: list[Got] = []
        for kind in EVENTS:
            getattr(room, f"on_{kind}")(partial(self._note, kind))

    def _note(self, kind: str, report: Any) -> None:
        shown = fields(report) if dataclasses.is_dataclass(report) else {}
        if isinstance(report, fanwire.RoomEnded):
            shown = {"code": report.code, "text": report.text}
        self._told.append(Got(kind=kind, **shown))

    async def take(self, count: int = 1, seconds: float = DEADLINE) -> list[Got]:
        found: list[Got] = []
        try:
            while len(found) < count:
                found.append(got(await within(anext(self.room), seconds)))
        except StopAsyncIteration:
            raise Ended(f"after {found}") from None
        except TimeoutError:
            raise AssertionError(f"{self.name}: after {seconds:g} s only {len(found)} of {count}: {found}") from None
        return found

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        return plain(await within(getattr(self.room, method)(*args, **options)))

    async def get(self, name: str) -> Any:
        return plain(getattr(self.room, name))

    async def events(self) -> list[Got]:
        return list(self._told)


class PythonPort(ClientPort):
    """A Python client."""

    def __init__(self, client: fanwire.Client) -> None:
        self.client = client

    @classmethod
    async def connect(cls, url: str, transport: str, codec: str, **options: Any) -> PythonPort:
        """A client that is connected."""
        made = fanwire.connect(url, transports=[transport], encoding=codec, max_attempts=None, **options)
        await within(made.__aenter__())
        return cls(made)

    async def join(self, room: str, **options: Any) -> RoomPort:
        if options.get("since") is not None:
            options["since"] = fc.Position(**options["since"])
        return PythonRoom(await within(self.client.join(room, **options)))

    async def call(self, method: str, *args: Any, **options: Any) -> Any:
        return plain(await within(getattr(self.client, method)(*args, **options)))

    async def get(self, name: str) -> Any:
        value = getattr(self.client, name)
        return value.value if name == "state" else plain(value)

    async def take(self, count: int = 1, seconds: float = DEADLINE) -> list[Got]:
        messages = self.client.messages()
        return [got(await within(anext(messages), seconds)) for _ in range(count)]

    async def close(self) -> None:
        await within(self.client.close())
