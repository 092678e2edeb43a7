"""Reports of what a client has received. The engine takes those itself that are right and begin with their type."""

from __future__ import annotations

import msgspec

from fanwire.runtime.reports import Received
from helpers.fake.message import Frame


class Envelope(msgspec.Struct):
    """A message `received`."""

    type: str
    payload: Received


def report_in(frame: Frame, codec: str) -> Received | None:
    """The report that a message is; None: it is another message, or the host has to say what is wrong with it."""
    if isinstance(frame, str) is not (codec == "json"):
        return None
    try:
        if isinstance(frame, str):
            return msgspec.json.decode(frame, type=Envelope).payload if frame.startswith('{"type":"received"') else None
        begins = frame[1:].startswith(b"\xa4type\xa8received")
        return msgspec.msgpack.decode(frame, type=Envelope).payload if begins else None
    except msgspec.DecodeError:
        return None
