"""An engine without a server, and connections to it."""

from __future__ import annotations

import json
import socket
from typing import Any

from fanwire._engine import Engine

RULE: dict[str, Any] = {
    "max_keys": 1, "max_members": 100, "history": 10, "history_bytes": 1 << 20, "history_age": 3600,
}  # fmt: skip


def started(**settings: Any) -> Engine:
    defaults: dict[str, Any] = {
        "shards": 1,
        "connection_bytes": 1 << 20,
        "replay_bytes": 1 << 20,
        "engine_bytes": 1 << 24,
        "history_bytes": 1 << 24,
        "max_rooms": 100,
        "queue_items": 1000,
        "queue_bytes": 1 << 20,
        "unsent_bytes": 1 << 16,
        "write_timeout": 10,
        "ping_interval": 0,
        "ping_timeout": 10,
        "close_timeout": 10,
        "min_rate": 1024,
        "slow_code": 4008,
    }
    engine = Engine(**(defaults | settings))
    add_rules(engine)
    return engine


def add_rules(engine: Engine) -> None:
    """Rooms of latest values, and rooms with a history. What a test adds is for rooms of other names."""
    engine.add_rule("values", delivery="latest", **RULE)
    engine.add_rule("r*", delivery="reliable", **RULE)


class Session:
    """A connection that speaks JSON, and is read to its end."""

    def __init__(self, engine: Engine) -> None:
        ours, self._theirs = socket.socketpair()
        with ours:
            self.conn = engine.open(ours.fileno(), "json", session=True)
        self._engine = engine

    def envelopes(self) -> list[dict[str, Any]]:
        self._engine.close(self.conn, None)
        self._theirs.settimeout(10)
        with self._theirs, self._theirs.makefile("rb") as stream:
            found = []
            while (head := stream.read(2))[0] & 0xF == 1:
                size = int.from_bytes(stream.read(2), "big") if head[1] == 126 else head[1]
                found.append(json.loads(stream.read(size)))
        self._engine.gone(self.conn)
        return found
