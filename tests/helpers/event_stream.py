"""Event streams: events as the engine writes them, and as a client reads them."""

from __future__ import annotations

import base64
import json
from typing import NamedTuple

Frame = str | bytes
"""A message: text or binary."""


class ServerEvent(NamedTuple):
    """One event.

    Attributes:
        kind: its type; "": none is named.
        id: its id; "": it has none.
        data: its data.
    """

    kind: str
    id: str
    data: str


def event_of(frame: Frame) -> bytes:
    """The event of a message without a number."""
    if isinstance(frame, bytes):
        return b"event: binary\ndata: " + base64.b64encode(frame) + b"\n\n"
    lines = frame.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return ("".join(f"data: {line}\n" for line in lines) + "\n").encode()


def close_event(code: int | None, reason: str) -> bytes:
    """The event that takes the place of a close frame."""
    detail = json.dumps({"code": 1005 if code is None else code, "reason": reason}, separators=(",", ":"))
    return f"event: close\ndata: {detail}\n\n".encode()


def events_in(stream: bytes) -> list[ServerEvent]:
    """The events of a stream that ends with a whole one, without comments."""
    assert not stream or stream.endswith(b"\n\n"), stream
    return [read for event in stream.decode().split("\n\n")[:-1] if (read := _event_in(event)) is not None]


def frame_of(event: ServerEvent) -> Frame:
    """The message of an event."""
    assert event.kind in ("", "binary"), event
    return base64.b64decode(event.data, validate=True) if event.kind else event.data


def farewell_of(event: ServerEvent) -> tuple[int | None, str]:
    """Code and reason of a close event."""
    assert event.kind == "close", event
    detail = json.loads(event.data)
    assert list(detail) == ["code", "reason"]
    return None if detail["code"] == 1005 else detail["code"], detail["reason"]


def read_all(stream: bytes) -> tuple[list[Frame], tuple[int | None, str] | None]:
    """All messages of a stream, and what its close event says, if it has one."""
    events = events_in(stream)
    farewell = farewell_of(events.pop()) if events and events[-1].kind == "close" else None
    return [frame_of(event) for event in events], farewell


def _event_in(text: str) -> ServerEvent | None:
    fields: dict[str, list[str]] = {"event": [], "id": [], "data": []}
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        if name:
            fields[name].append(value.removeprefix(" "))
    if not fields["data"]:
        return None
    return ServerEvent("".join(fields["event"]), "".join(fields["id"]), "\n".join(fields["data"]))
