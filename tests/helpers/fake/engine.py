"""A fake engine, as the host sees it."""

from __future__ import annotations

from typing import Any

from helpers.fake.connection_calls import ConnectionCalls
from helpers.fake.fair_queue import Event
from helpers.fake.room_calls import RoomCalls

LIMITS = (
    "max_message", "max_fragments", "message_timeout", "inbound_bytes", "message_rate", "byte_rate", "ping_rate",
    "max_refused", "max_head", "handshake_timeout", "handshake_rate", "max_connections", "address_handshake_rate",
    "max_address_connections",
)  # fmt: skip


class FakeEngine(RoomCalls, ConnectionCalls):
    """See `fanwire._engine.Engine`. What a test does to it besides: `ask`, `clock`, `is_full` and those below."""

    def events(self, most: int = 1024, held: int = 0) -> list[Event]:
        return self.fair_queue.take(most)

    @property
    def now_ms(self) -> int:
        return self.clock.now_ms

    def stats(self) -> dict[str, Any]:
        drops = dict.fromkeys(("replaced", "oldest", "newest", "budget", "closed"), 0)
        return {
            "connections": len(self.shard.slots), "rooms": len(self.table), "published": self.published,
            "refused": self.refused, "late": 0, "delivered": 0, "bytes": 0, "writes": 0, "blocked": 0, "held": 0,
            "pings": 0, "closed_slow": 0, "closed_unanswered": 0, "history_bytes": self.table.kept.used,
            "waiting_bytes": 0, "waiting_bytes_limit": self.settings.engine_bytes, "drops": drops, "inbound_bytes": 0,
            "limits": dict.fromkeys(LIMITS, 0), "handshakes": dict(sorted(self.handshakes.items())), "latency_us": [],
            "latency_sum_us": 0, "taken_age": {},
        }  # fmt: skip

    def shutdown(self, timeout: float) -> bool:
        if not self.is_shut_down:
            self.is_shut_down = True
            self.shard.end_all()
        return True

    # What a test does.

    def let_close_timeout_pass(self) -> None:
        """`close_timeout` is over for all that are closing."""
        self.shard.let_close_timeout_pass()
