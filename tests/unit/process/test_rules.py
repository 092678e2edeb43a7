"""What the engine is told about rules of rooms."""

from __future__ import annotations

from unittest.mock import Mock, call

from fanwire.config import Config
from fanwire.process.assembly import add_rule
from fanwire.rooms.rules import RoomPolicy

PLAIN = {
    "delivery": "reliable", "max_keys": 100_000, "max_members": 1_000_000, "history": 0, "history_bytes": 16 << 20,
    "history_age": 300.0, "compress": False, "priority": "normal", "tick": 0, "interest": False, "delta": False,
}  # fmt: skip


def test_compression_is_on_when_a_rule_asks_for_it() -> None:
    engine, config = Mock(), Config(compression_level=4, compression_min_bytes=100)
    add_rule(engine, RoomPolicy("a.*"), config)
    assert engine.mock_calls == [call.add_rule("a.*", **PLAIN)]
    engine.reset_mock()
    add_rule(engine, RoomPolicy("b", compress=True), config)
    assert engine.mock_calls == [call.set_compression(4, 100), call.add_rule("b", **PLAIN | {"compress": True})]
    engine.reset_mock()
    add_rule(engine, RoomPolicy("c", priority="high"), config)
    assert engine.mock_calls == [call.add_rule("c", **PLAIN | {"priority": "high"})]
