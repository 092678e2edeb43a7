"""The border of rooms whose numbering comes from outside, and what full tables are called."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator

import pytest
from helpers.engines import RULE, Session, started
from helpers.wait import until_sync

from fanwire._engine import Closed, Engine, Overloaded
from fanwire.cluster.node_message import NodeMessage, pack

TS_MS = 1_700_000_000_000
MAX = (1 << 64) - 1


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = started()
    yield engine
    assert engine.shutdown(10)


def test_a_room_goes_on_from_another_place(engine: Engine) -> None:
    engine.publish("r", b"x")
    engine.place("r", "Ff", 12)
    assert engine.position("r") == engine.floor("r") == ("ff", 12)
    engine.place("r", "f" * 16, MAX)
    assert engine.position("r") == ("f" * 16, MAX)


@pytest.mark.parametrize("epoch", ["", "g", "+1", "-1", "0x1", " 1", "1" * 17, "\N{FULLWIDTH DIGIT ONE}"])
def test_an_epoch_is_hexadecimal_and_has_64_bits(engine: Engine, epoch: str) -> None:
    with pytest.raises(ValueError, match="epoch must be"):
        engine.place("r", epoch, 0)
    with pytest.raises(ValueError, match="epoch must be"):
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
        engine.deliver("r", 1, TS_MS, 7)
    with pytest.raises(ValueError, match="a key needs"):
        engine.deliver("r", 1, TS_MS, b"x", key="k")
    with pytest.raises(ValueError, match="delivery must be"):
        engine.deliver("r", 1, TS_MS, b"x", delivery="soon")
    with pytest.raises(OverflowError):
        engine.deliver("r", -1, TS_MS, b"x")
    assert engine.deliver("r", 1, TS_MS, b"x")


def test_older_messages(engine: Engine) -> None:
    engine.place("r", "e", 10)
    engine.deliver("r", 12, TS_MS, b"x")
    before = engine.stats()["history_bytes"]
    tomorrow = TS_MS * 2
    engine.extend(
        "r",
        "e",
        2,
        [(4, tomorrow, "a", False, None, None, None), (9, tomorrow, b"{}", True, None, "drop-oldest", None)],
    )
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
    engine.extend("r", "f", 0, [(1, tomorrow, "a", False, None, None, None)])
    assert engine.floor("r") == ("e", 2)


def test_older_messages_that_cannot_be_put_before(engine: Engine) -> None:
    engine.place("r", "e", 10)
    for messages, error in [
        ([(4, 0, 7, False, None, None, None)], TypeError),
        ([(4, 0, "a", False)], ValueError),
        ([(4, 0, "a", False, "key", None, None)], ValueError),
        ([(4, 0, "a", False, None, "soon", None)], ValueError),
        ([(4, 0, "a", False, None, None, None)] * 2, ValueError),
    ]:
        with pytest.raises(error):
            engine.extend("r", "e", 2, messages)
    # Too old is no error.
    engine.extend("r", "e", 2, [(4, TS_MS, "a", False, None, None, None)])
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
    with pytest.raises(ValueError, match="reason must be"):
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
        with pytest.raises(Closed):
            call()


def test_values_of_another_node(engine: Engine) -> None:
    def value(key: str | None, ts_ms: int, payload: bytes = b"x") -> bytes:
        return pack(NodeMessage(payload, key=key, ts_ms=ts_ms))

    began_ms = 100
    engine.add_rule("many", delivery="latest", **RULE | {"max_keys": 2})
    taken = [
        # What is no value, what is one, the same, a newer one, and one that is older than that.
        engine.take_values("many", began_ms, [each])
        for each in (b"nothing", value(None, 1), value("a", 5), value("a", 6), value("a", 7, b"y"), value("a", 6))
    ]
    assert taken == [0, 0, 1, 0, 1, 0]
    # A second key, and one too many.
    assert engine.take_values("many", began_ms, [value("b", 1), value("c", 1)]) == 1
    # One that was heard since is newer than all that others have.
    assert engine.take_values("many", 0, [value("a", 1 << 60, b"z")]) == 0
    assert engine.values("many") == [value("a", 7, b"y"), value("b", 1)]
    session = Session(engine)
    engine.join(session.conn, "many")
    assert [(each["key"], each["ts"], each["seq"]) for each in session.envelopes()] == [("a", 7, 2), ("b", 1, 3)]


def test_values_of_a_room_that_has_none(engine: Engine) -> None:
    engine.publish("r", b"x")
    assert engine.values("r") == engine.values("unknown") == []
    # A room that keeps no values takes none.
    assert engine.take_values("r", 0, [pack(NodeMessage(b"x", key="k"))]) == 0


def test_what_an_application_takes_is_told_room_by_room(engine: Engine) -> None:
    session = Session(engine)
    engine.report(session.conn, 0, [])
    for room in ("r", "s"):
        engine.join(session.conn, room)
        for _ in range(100):
            engine.publish(room, b"x" * 1000, delivery="drop-oldest")
    # Of each room a window of 16 KiB: 11 messages, whose bytes are base64, and which have an envelope.
    sent = 2 * 11
    until_sync(lambda: engine.stats()["delivered"] == sent)
    # Of a room that it is not in, and of a count that cannot be, nothing is believed.
    engine.report(session.conn, 1, [("nowhere", 1, 0)])
    engine.report(session.conn, 1 << 62, [("r", 1 << 62, None)])
    now_ms = engine.now_ms
    engine.report(session.conn, 1, [("r", 1 << 62, now_ms - 5_000), ("s", 0, None)])
    until_sync(lambda: "r*" in engine.stats()["taken_age"])
    # There is space for one more, or for none if that has taken so long that the window is smaller.
    assert engine.stats()["delivered"] <= sent + 1
    ages = engine.stats()["taken_age"]
    assert {pattern: age["count"] for pattern, age in ages.items()} == {"r*": 1}
    assert 4.9 < ages["r*"]["sum"] < 60.0
    assert next(bound for bound, count in ages["r*"]["buckets"] if count) >= 5.0
    # A close brings the rest.
    types = Counter(envelope["type"] for envelope in session.envelopes())
    assert types["message"] == 200
    assert engine.stats()["held"] == 0


def test_a_raw_peer_gets_more_for_pongs_that_answer_probes_and_for_no_others() -> None:
    engine = started(ping_interval=100)
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb") as stream:

        def frame() -> tuple[int, bytes]:
            first, size = stream.read(2)
            return first & 0xF, stream.read(int.from_bytes(stream.read(2), "big") if size == 126 else size)

        def send(opcode: int, payload: bytes) -> None:
            theirs.sendall(bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload)

        conn = engine.open(ours.fileno(), "raw")
        engine.join(conn, "r")
        for _ in range(100):
            engine.publish("r", b"x" * 1000, delivery="drop-oldest")
        until_sync(lambda: engine.stats()["held"] == 1)
        for payload in (b"", b"\0" * 8, b"\xff" * 8, b"x" * 125):
            send(10, payload)
        send(9, b"behind")
        probe, messages, is_checked = b"", 0, False
        while messages < 100:
            opcode, payload = frame()
            if opcode == 9:
                assert len(payload) == 8
                assert payload > probe
                probe = payload
            elif opcode == 10:
                assert payload == b"behind"
                assert engine.stats()["held"] == 1
                is_checked = True
            else:
                messages += 1
            if is_checked and opcode != 2:
                send(10, probe)
    assert engine.shutdown(10)
