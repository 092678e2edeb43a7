"""A fake engine, as the host sees it."""

from __future__ import annotations

from typing import Any

from helpers.fake.connection_calls import ConnectionCalls
from helpers.fake.fair_queue import Event
from helpers.fake.tick_calls import TickCalls

LIMITS = (
    "max_message", "max_fragments", "message_timeout", "inbound_bytes", "message_rate", "byte_rate", "ping_rate",
    "max_refused", "max_head", "handshake_timeout", "handshake_rate", "max_connections", "address_handshake_rate",
    "max_address_connections",
)  # fmt: skip


class FakeEngine(TickCalls, ConnectionCalls):
    """See `fanwire._engine.Engine`. What a test does to it besides: `ask`, `clock`, `is_full` and those below."""

    def events(self, most: int = 1024, held: int = 0) -> list[Event]:
        return self.fair_queue.take(most)

    @property
    def now_ms(self) -> int:
        return self.clock.now_ms

    @property
    def now_us(self) -> int:
        return self.clock.now_ms * 1000

    def stats(self) -> dict[str, Any]:
        drops = dict.fromkeys(("replaced", "oldest", "newest", "budget", "closed", "rate", "filtered"), 0)
        # The fake does not count by rule.
        rule = {"published": 0, "delivered": 0, "bytes": 0, "drops": drops, "latency_us": [], "latency_sum_us": 0}
        rule.update(spread_us=[], spread_sum_us=0)
        return {
            "connections": len(self.shard.slots), "rooms": len(self.table), "published": self.published,
            "refused": self.refused, "late": 0, "delivered": 0, "bytes": 0, "writes": 0, "blocked": 0, "held": 0,
            "pings": 0, "closed_slow": 0, "closed_unanswered": 0, "history_bytes": self.table.kept.used,
            "waiting_bytes": 0, "waiting_bytes_limit": self.settings.engine_bytes, "drops": drops, "inbound_bytes": 0,
            "received": 0, "received_bytes": 0, "handshake_us": [], "handshake_sum_us": 0,
            "rules": {"": rule, "*": rule},
            "limits": dict.fromkeys(LIMITS, 0), "handshakes": dict(sorted(self.handshakes.items())), "latency_us": [],
            "latency_sum_us": 0, "taken_age": {}, "tls_handshakes": {"full": 0, "resumed": 0, "failed": 0},
            "recording": dict.fromkeys(("messages", "bytes", "left_out", "queue_bytes", "errors"), 0),
            "ticks": {
                rate: {"edges": 0, "missed": 0, "messages": count, "lateness_us": [], "lateness_sum_us": 0}
                for rate, count in self._left.items()
            },
            "deltas": dict.fromkeys(("messages", "bytes_before", "bytes_after", "not_smaller"), 0),
            "compressed": dict.fromkeys(("messages", "bytes_before", "bytes_after", "not_smaller"), 0),
        }  # fmt: skip

    def connection_reading(self, conn: int, timeout: float) -> dict[str, Any] | None:
        self.check()
        slot = self.shard.slots.get(conn)
        if slot is None:
            return None
        waiting = slot.outbox.waiting()
        is_stalled = slot.link is None or slot.link.is_stalled
        return {
            "sent_messages": slot.messages, "sent_bytes": slot.bytes, "drops": {**slot.drops},
            "highest_queue": slot.outbox.highest, "taken_age": None,
            "waiting_bytes": slot.outbox.bytes, "waiting_messages": len(waiting),
            "waiting_age": (self.clock.now_us - min(message.made_us for message in waiting)) / 1e6 if waiting else 0.0,
            "waits_for": ("client" if slot.link is None else "socket") if waiting and is_stalled else None,
        }  # fmt: skip

    def slow_readers(self, most: int, timeout: float) -> tuple[int, list[tuple[int, int, int, float, str, int, int]]]:
        self.check()
        found = []
        for conn, slot in self.shard.slots.items():
            waiting = slot.outbox.waiting()
            if waiting and (slot.link is None or slot.link.is_stalled):
                age = (self.clock.now_us - min(message.made_us for message in waiting)) / 1e6
                why = "client" if slot.link is None else "socket"
                dropped = sum(slot.drops.values())
                found.append((conn, slot.outbox.bytes, len(waiting), age, why, slot.messages, dropped))
        return len(found), sorted(found, key=lambda reader: (-reader[1], -reader[0]))[:most]

    def record(
        self,
        patterns: list[str],
        directory: object,
        name: str,
        *,
        rotate_bytes: int,
        rotate_seconds: float,
        keep_bytes: int,
        sync: str,
        queue_bytes: int,
        flush_interval: float,
        about: str = "",
    ) -> int:
        self.check()
        # The fake has no files.
        return 1

    def stop_recording(self, id: int, timeout: float) -> dict[str, Any] | None:
        return None

    def recordings(self) -> list[dict[str, Any]]:
        return []

    def trace_next(self, room: str) -> bool:
        return False

    def trace_end(self, room: str) -> bool:
        return False

    def traces(self) -> list[tuple[str, int, int, int, int]]:
        return []

    def set_compression(self, level: int, min_bytes: int) -> None:
        self.check()

    def shutdown(self, timeout: float) -> bool:
        if not self.is_shut_down:
            self.is_shut_down = True
            self.shard.end_all()
        return True

    # What a test does.

    def let_close_timeout_pass(self) -> None:
        """`close_timeout` is over for all that are closing."""
        self.shard.let_close_timeout_pass()
