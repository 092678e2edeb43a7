"""Actions, errors, messages and frames as JSON values: the forms that tests/vectors/README.md describes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import msgspec

from fanwire.client import actions as do
from fanwire.client.message import Gap, Message, Position
from fanwire.client.message_queue import NEVER
from fanwire.errors import Closed, ConnectionFailed, FanwireError, RequestFailed, RoomEnded

__all__ = ["NotJson", "action_form", "error_form", "frame_form", "message_form", "raw_form", "raw_frame", "value_form"]


class NotJson(Exception):
    """The value has no form."""


def value_form(value: Any) -> Any:
    """A value of an application or of an argument."""
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Position):
        return {"epoch": value.epoch, "seq": value.seq}
    if isinstance(value, list | tuple):
        return [value_form(each) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: value_form(each) for key, each in value.items()}
    if isinstance(value, int) and value >= NEVER:
        return None
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise NotJson(repr(value))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise NotJson(repr(value))


def raw_form(frame: bytes | str) -> Any:
    """A frame that comes: as a document if that has only one form in JSON, otherwise byte for byte."""
    if isinstance(frame, bytes):
        return {"$bytes": base64.b64encode(frame).decode()}
    try:
        document = json.loads(frame, parse_float=_refuse, parse_int=_exact)
    except (ValueError, RecursionError):
        return frame
    return document if isinstance(document, dict) and compact(document) == frame else frame


def compact(document: Any) -> str:
    """A document as JSON without spaces, and with every character as it is."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def raw_frame(form: Any) -> bytes | str:
    """A frame from its form."""
    if isinstance(form, str):
        return form
    return base64.b64decode(form["$bytes"]) if "$bytes" in form else compact(form)


def _refuse(text: str) -> float:
    raise ValueError(text)


def _exact(text: str) -> int:
    if len(text) > EXACT:
        raise ValueError(text)
    return int(text)


def frame_form(frame: bytes | str) -> Any:
    """A frame that is sent, as the document that it is."""
    return value_form(json.loads(frame) if isinstance(frame, str) else msgspec.msgpack.decode(frame))


def message_form(message: Message) -> dict[str, Any]:
    """A message, without what it has not."""
    form = {
        "data": message.data,
        "room": message.room,
        "seq": message.seq,
        "id": message.id,
        "ts": message.ts,
        "key": message.key,
        "gap": None if message.gap is None else gap_form(message.gap),
        "forgotten": message.forgotten or None,
        "prev": message.prev,
    }
    return {key: value_form(value) for key, value in form.items() if key == "data" or value is not None}


def gap_form(gap: Gap) -> dict[str, Any]:
    """A gap, without what it has not."""
    form = {
        "reason": gap.reason, "after": gap.after, "upto": gap.upto, "snapshot": gap.snapshot, "count": gap.count,
    }  # fmt: skip
    return {key: value_form(value) for key, value in form.items() if value is not None}


def error_form(error: Exception | None, said: str = "") -> dict[str, Any] | None:
    """An error. Its text is left out unless the server has just said it, because clients have texts of their own."""
    if error is None:
        return None
    text = getattr(error, "text", "") or None
    if text is not None and json.dumps(text, ensure_ascii=False) not in said:
        text = None
    if isinstance(error, RequestFailed):
        form = {
            "kind": "request_failed", "code": error.code, "retry": error.retry, "path": error.path,
            "retry_after_ms": error.retry_after_ms, "data": error.data, "text": text,
        }  # fmt: skip
    elif isinstance(error, RoomEnded):
        form = {"kind": "room_ended", "room": error.room, "code": error.code, "retry": error.retry, "text": text}
    elif isinstance(error, ConnectionFailed):
        form = {"kind": "connection_failed", "status": error.status, "code": error.code}
    elif isinstance(error, Closed):
        form = {"kind": "closed"}
    elif isinstance(error, TypeError | ValueError) and not isinstance(error, FanwireError):
        form = {"kind": "invalid"}
    else:
        raise NotJson(repr(error))
    return {key: value_form(value) for key, value in form.items() if value is not None}


def action_form(action: do.Action, said: str = "") -> dict[str, Any]:
    """An action, without what it has not. `said` is the frame that has led to it."""
    kind = type(action)
    form = {"action": NAMES[kind], **_ACTIONS[kind](action)}
    if hasattr(action, "error"):
        form["error"] = error_form(action.error, said)
    return {key: value for key, value in form.items() if value is not None and value is not False}


def _joined(action: do.Joined) -> dict[str, Any]:
    form = {
        "room": action.room, "epoch": action.epoch, "seq": action.seq, "delivery": action.delivery,
        "members": value_form(action.members), "count": action.count, "upto": action.upto,
        "last": action.last or None, "repair": action.repair, "pattern": action.pattern,
        "max_rate": action.max_rate, "max_bytes": action.max_bytes, "filter": action.filter,
    }  # fmt: skip
    if action.snapshot is not msgspec.UNSET:
        form["snapshot"] = value_form(action.snapshot)
    return form


def _told(action: do.Told) -> dict[str, Any]:
    skipped = action.skipped
    return {
        "room": action.room, "reason": skipped.reason, "count": skipped.count, "first": skipped.first,
        "last": skipped.last,
    }  # fmt: skip


EXACT = 15
"""Digits of a number that every language can hold."""

NAMES: dict[type, str] = {
    do.Send: "send",
    do.Connect: "connect",
    do.Drop: "drop",
    do.Close: "close",
    do.Renew: "renew",
    do.Vouch: "vouch",
    do.StateChanged: "state",
    do.ResolveCall: "resolve",
    do.RejectCall: "reject",
    do.Joined: "joined",
    do.CaughtUp: "caught_up",
    do.Configured: "configured",
    do.Left: "left",
    do.PatternEnded: "pattern_ended",
    do.Deliver: "deliver",
    do.GapFound: "gap",
    do.Told: "skipped",
    do.MemberChanged: "member",
    do.Complained: "complained",
    do.NotRead: "not_read",
}

_ACTIONS: dict[type, Callable[[Any], dict[str, Any]]] = {
    do.Send: lambda action: {"frame": frame_form(action.frame)},
    do.Connect: lambda action: {"query": action.query, "delay": action.delay},
    do.Drop: lambda action: {"code": int(action.code), "is_asked": action.is_asked},
    do.Close: lambda action: {"code": int(action.code)},
    do.Renew: lambda action: {},
    do.Vouch: lambda action: {},
    do.StateChanged: lambda action: {"state": action.state.value},
    do.ResolveCall: lambda action: {"call": action.key, "value": value_form(action.value)},
    do.RejectCall: lambda action: {"call": action.key},
    do.Joined: _joined,
    do.CaughtUp: lambda action: {"room": action.room},
    do.Configured: lambda action: {
        "room": action.room, "max_rate": action.max_rate, "max_bytes": action.max_bytes, "filter": action.filter,
    },
    do.Left: lambda action: {"room": action.room},
    do.PatternEnded: lambda action: {"pattern": action.pattern},
    do.Deliver: lambda action: {"message": message_form(action.message), "ack": action.ack},
    do.GapFound: lambda action: {"room": action.room, "gap": gap_form(action.gap)},
    do.Told: _told,
    do.MemberChanged: lambda action: {
        "room": action.room, "id": action.member.id, "info": value_form(action.member.info),
        "is_here": action.member.is_here,
    },
    do.Complained: lambda action: {},
    do.NotRead: lambda action: {"type": action.type},
}  # fmt: skip
