"""A client's machine, driven through frames by hand: no socket, no clock."""

from __future__ import annotations

import itertools
import json
from random import Random
from typing import Any

import msgspec

from fanwire.client import actions as do
from fanwire.client.backoff import Backoff
from fanwire.client.codec import ClientCodec
from fanwire.client.machine import Machine
from fanwire.client.renewal import Renewal

SELDOM = {"heartbeat_ms": 25_000, "grace_ms": 30_000, "ack_frames": 512, "ack_bytes": 65_536, "max_message": 1 << 20}

RATE_LIMITED = {"code": "rate_limited", "text": "", "retry": True, "retry_after_ms": 500}


class Driver:
    """A machine, its time, and the server's side by hand."""

    def __init__(self, encoding: str = "json", *, max_attempts: int | None = 20, **options: Any) -> None:
        self.encoding = encoding
        self.now = 100.0
        self.ids = itertools.count(1)
        backoff = Backoff(Random(1), max_attempts=max_attempts)
        self.machine = Machine(ClientCodec(encoding), backoff, Renewal(Random(1)), Random(1), name="c", **options)
        self.machine.start()
        self.begun = self.machine.take()

    def take(self) -> list[do.Action]:
        return self.machine.take()

    def open(self) -> list[do.Action]:
        self.machine.opened(self.now)
        return self.take()

    def welcome(self, *, resumed: bool = False, received: int = 0, session: str = "S", **more: Any) -> list[do.Action]:
        payload = {"session": session, "resumed": resumed, "received": received, **SELDOM, **more}
        return self.hear("welcome", payload=payload)

    def up(self, **more: Any) -> Driver:
        self.open()
        self.welcome(**more)
        return self

    def hear(self, kind: str, **fields: Any) -> list[do.Action]:
        return self.raw({"type": kind, "id": f"s{next(self.ids)}", "ts": 1, **fields})

    def raw(self, envelope: Any) -> list[do.Action]:
        if self.encoding == "msgpack":
            return self.frame(msgspec.msgpack.encode(envelope))
        return self.frame(json.dumps(envelope, ensure_ascii=False, separators=(",", ":")))

    def frame(self, frame: bytes | str) -> list[do.Action]:
        self.machine.received(frame, self.now)
        return self.take()

    def lose(self, code: int = 1006, reason: str = "") -> list[do.Action]:
        self.machine.lost(code, reason, self.now)
        return self.take()

    def wait(self, seconds: float) -> list[do.Action]:
        self.now += seconds
        self.machine.tick(self.now)
        return self.take()

    def wait_for_retry(self) -> list[do.Action]:
        """As long as there is something to wait for, with a server that is not silent."""
        for _ in range(1000):
            self.raw({"type": "pong"})
            if found := self.wait(5):
                return found
        raise AssertionError("nothing in more than an hour")

    def joined(self, room: str = "r", seq: int = 0, *, epoch: str = "e", **payload: Any) -> str:
        """Joins and is let in; returns the id."""
        key = self.machine.commands.join(room)
        self.take()
        self.answer_join(key, room, seq, epoch=epoch, **payload)
        return key

    def answer_join(self, key: str, room: str, seq: int, *, epoch: str = "e", **payload: Any) -> list[do.Action]:
        payload = {"epoch": epoch, "recovered": False, "delivery": "reliable", **payload}
        return self.hear("joined", re=key, room=room, seq=seq, payload=payload)

    def message(self, seq: int, room: str = "r", **more: Any) -> list[do.Action]:
        return self.hear("message", **{"room": room, "seq": seq, "payload": seq, **more})


def sent(actions: list[do.Action]) -> list[dict[str, Any]]:
    return [parse(action.frame) for action in actions if isinstance(action, do.Send)]


def parse(frame: bytes | str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(frame) if isinstance(frame, str) else msgspec.msgpack.decode(frame)
    return found


def seqs(actions: list[do.Action]) -> list[int]:
    return [action.message.seq for action in actions if isinstance(action, do.Deliver)]


def only(actions: list[do.Action], kind: type) -> list[Any]:
    return [action for action in actions if isinstance(action, kind)]
