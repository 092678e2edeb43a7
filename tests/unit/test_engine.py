"""The border of rooms whose numbering comes from outside, and what full tables are called."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from fanwire._engine import Engine, EngineClosed, Overloaded

TS_MS = 1_700_000_000_000
MAX = (1 << 64) - 1


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
        "slow_code": 4008,
    }
    engine = Engine(**(defaults | settings))
    rule = {"max_keys": 1, "max_members": 100, "history": 10, "history_bytes": 1 << 20, "history_age": 3600}
    engine.add_rule("values", delivery="latest", **rule)
    engine.add_rule("*", delivery="reliable", **rule)
    return engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = started()
    yield engine
    assert engine.shutdown(10)


class Session:
    """A connection that speaks JSON, and is read to its end."""

    def __init__(self, engine: Engine) -> None:
        ours, self._theirs = socket.socketpair()
        with ours:
            self.conn = engine.open(ours.fileno(), "json")
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


def test_a_room_goes_on_from_another_place(engine: Engine) -> None:
    engine.publish("r", b"x")
    engine.place("r", "Ff", 12)
    assert engine.position("r") == engine.floor("r") == ("ff", 12)
    engine.place("r", "f" * 16, MAX)
    assert engine.position("r") == ("f" * 16, MAX)


@pytest.mark.parametrize("epoch", ["", "g", "+1", "-1", "0x1", " 1", "1" * 17, "\N{FULLWIDTH DIGIT ONE}"])
def test_an_epoch_is_hexadecimal_and_has_64_bits(engine: Engine, epoch: str) -> None:
    with pytest.raises(ValueError, match="is no epoch"):
        engine.place("r", epoch, 0)
    with pytest.raises(ValueError, match="is no epoch"):
        engine.extend("r", epoch, 0, [])


def test_messages_with_their_own_numbers(engine: Engine) -> None:
    session, other = Session(engine), Session(engine)
    engine.place("r", "e", 10)
    for member in (session, other):
        engine.join(member.conn, "r")
    assert engine.deliver("r", 11, TS_MS, "text")
    assert not engine.deliver("r", 11, TS_MS, "again")
    assert engine.deliver("r", 15, TS_MS + 1, b"[1]", True, None, [other.conn], "drop-oldest")
    assert engine.position("r") == ("e", 15)
    first, second = session.envelopes()
    assert first == {"type": "message", "id": "e-11", "ts": TS_MS, "room": "r", "seq": 11, "payload": "text"}
    assert second == {
        "type": "message", "id": "e-15", "ts": TS_MS + 1, "room": "r", "seq": 15, "prev": 11, "payload": [1],
    }  # fmt: skip
    assert [envelope["type"] for envelope in other.envelopes()] == ["message", "skipped"]


def test_what_cannot_be_delivered(engine: Engine) -> None:
    with pytest.raises(TypeError, match="payload must be bytes or str"):
        engine.deliver("r", 1, TS_MS, 7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a key needs"):
        engine.deliver("r", 1, TS_MS, b"x", key="k")
    with pytest.raises(ValueError, match="no delivery class"):
        engine.deliver("r", 1, TS_MS, b"x", delivery="soon")
    with pytest.raises(OverflowError):
        engine.deliver("r", -1, TS_MS, b"x")
    assert engine.deliver("r", 1, TS_MS, b"x")


def test_older_messages(engine: Engine) -> None:
    engine.place("r", "e", 10)
    engine.deliver("r", 12, TS_MS, b"x")
    before = engine.stats()["history_bytes"]
    tomorrow = TS_MS * 2
    engine.extend("r", "e", 2, [(4, tomorrow, "a", False, None, None), (9, tomorrow, b"{}", True, None, "drop-oldest")])
    assert engine.floor("r") == ("e", 2)
    assert engine.stats()["history_bytes"] > before
    session = Session(engine)
    assert engine.join(session.conn, "r", ("e", 3)) == ("e", 12, None)
    # What may be dropped goes last.
    assert sorted((envelope["seq"], envelope.get("prev"), envelope["payload"]) for envelope in session.envelopes()) == [
        (4, 2, "a"),
        (9, 4, {}),
        (12, 10, "eA=="),
    ]
    engine.extend("r", "f", 0, [(1, tomorrow, "a", False, None, None)])
    assert engine.floor("r") == ("e", 2)


def test_older_messages_that_cannot_be_put_before(engine: Engine) -> None:
    engine.place("r", "e", 10)
    for messages, error in [
        ([(4, 0, 7, False, None, None)], TypeError),
        ([(4, 0, "a", False)], ValueError),
        ([(4, 0, "a", False, "key", None)], ValueError),
        ([(4, 0, "a", False, None, "soon")], ValueError),
        ([(4, 0, "a", False, None, None)] * 2, ValueError),
    ]:
        with pytest.raises(error):
            engine.extend("r", "e", 2, messages)  # type: ignore[arg-type]
    # Too old is no error.
    engine.extend("r", "e", 2, [(4, TS_MS, "a", False, None, None)])
    assert engine.floor("r") == ("e", 4)


def test_numbers_that_will_not_come(engine: Engine) -> None:
    session = Session(engine)
    engine.place("r", "e", 10)
    engine.join(session.conn, "r")
    engine.skip("r", 0, "backplane")
    engine.skip("r", 5, "backplane")
    engine.skip("nowhere", 5, "backplane")
    assert engine.floor("r") == ("e", 15)
    assert engine.stats()["rooms"] == 1
    (event,) = session.envelopes()
    assert (event["type"], event["room"], event["seq"]) == ("skipped", "r", 15)
    assert event["payload"] == {"reason": "backplane", "count": 5, "first": 11, "last": 15}
    with pytest.raises(ValueError, match="is no reason"):
        engine.skip("r", 1, "weather")


def test_what_is_full_has_a_name() -> None:
    engine = started(max_rooms=2, queue_bytes=0)
    member = Session(engine)
    with pytest.raises(Overloaded, match="the queue of a shard") as error:
        engine.join(member.conn, "r")
    assert error.value.limit == "queue_bytes"
    engine.publish("values", b"x", key="a")
    with pytest.raises(Overloaded, match="keys in the room") as error:
        engine.publish("values", b"x", key="b")
    assert error.value.limit == "max_keys"
    engine.publish("r", b"x")
    for call in (lambda: engine.place("s", "e", 1), lambda: engine.floor("s"), lambda: engine.publish("s", b"x")):
        with pytest.raises(Overloaded, match="number of rooms") as error:
            call()
        assert error.value.limit == "max_rooms"
    assert member.envelopes() == []
    assert engine.shutdown(10)


def test_nothing_works_after_the_end() -> None:
    engine = started()
    assert engine.shutdown(10)
    for call in (
        lambda: engine.place("r", "e", 1),
        lambda: engine.deliver("r", 1, 1, b"x"),
        lambda: engine.extend("r", "e", 1, []),
        lambda: engine.skip("r", 1, "backplane"),
        lambda: engine.floor("r"),
    ):
        with pytest.raises(EngineClosed):
            call()
