"""What every engine does with messages to one connection or to all, and which of them it does not take."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers.rig import Rig

from fanwire._engine import Overloaded

STALE = 12 << 32 | 7
"""No connection has had this id."""


def test_messages_to_one_connection(rig: Rig) -> None:
    peer, other, raw = rig.peer(), rig.peer("msgpack"), rig.peer(None)
    for each in (peer, other, raw):
        rig.engine.send(each.conn, "text")
        rig.engine.send(each.conn, b"[1]", True, id="given", ack=True)
        rig.engine.send(each.conn, b"bytes", delivery="drop-oldest")
    for each in (peer, other):
        first, second, third = each.envelopes(3)
        assert (first["type"], first["payload"], "room" in first, "seq" in first) == ("message", "text", False, False)
        assert (second["id"], second["ack"], second["payload"]) == ("given", True, [1])
        assert third["payload"] == ("Ynl0ZXM=" if each is peer else b"bytes")
    assert raw.frames(3) == ["text", "[1]", b"bytes"]


def test_messages_to_all_but_some(rig: Rig) -> None:
    first, second, third = rig.peer(), rig.peer(None), rig.peer()
    rig.engine.broadcast("all", exclude=[third.conn, STALE])
    rig.engine.send(third.conn, "end")
    assert first.envelope()["payload"] == "all"
    assert second.frames(1) == ["all"]
    assert third.envelope()["payload"] == "end"


def test_whole_envelopes(rig: Rig) -> None:
    peer = rig.peer()
    for urgent in (False, True):
        rig.engine.send_envelope(peer.conn, "json", b'{"type":"reply"}', urgent)
    rig.engine.send_control(peer.conn, "json", b'{"type":"pong"}')
    assert sorted(each["type"] for each in peer.envelopes(3)) == ["pong", "reply", "reply"]
    packed = rig.peer("msgpack")
    rig.engine.send_envelope(packed.conn, "msgpack", b"\x81\xa4type\xa5reply")
    assert packed.frames(1) == [b"\x81\xa4type\xa5reply"]


def test_what_an_unknown_connection_is_told_goes_nowhere(rig: Rig) -> None:
    engine = rig.engine
    peer = rig.peer()
    engine.gone(peer.conn)
    rig.until("closed")
    for conn in (0, STALE, peer.conn):
        engine.send(conn, "text")
        engine.send_envelope(conn, "json", b"{}")
        engine.send_control(conn, "json", b"{}")
        engine.report(conn, 7, None)
        engine.hold(conn, True)
        engine.leave(conn, "r")
        engine.close(conn, 1000)
        engine.cut(conn, conn)
        engine.retire(conn, conn, (4000, ""), False)
        engine.retire(conn, conn, (4000, ""), True)
        engine.gone(conn)
        # The room is there all the same.
        assert engine.join(conn, "r", reply=True)[1:] == (0, "history")
    rig.becomes(lambda: engine.members("r") == 0)
    for request in (0, STALE, peer.request):
        assert engine.accept(request) is None
        engine.refuse(request, 403)
    other = rig.peer()
    engine.close(other.conn, 1000)
    assert other.rest() == ([], (1000, ""))


def test_an_id_names_one_connection_for_ever(rig: Rig) -> None:
    former = rig.peer()
    rig.engine.gone(former.conn)
    rig.until("closed")
    rig.becomes(lambda: rig.engine.stats()["connections"] == 0)
    later = rig.peer()
    assert later.conn != former.conn
    rig.engine.send(former.conn, "for nobody")
    rig.engine.send(later.conn, "text")
    assert later.envelope()["payload"] == "text"


def test_what_cannot_be_sent(rig: Rig) -> None:
    engine, peer = rig.engine, rig.peer()
    calls: list[Callable[..., object]] = [
        lambda payload, **options: engine.send(peer.conn, payload, **options),
        lambda payload, **options: engine.broadcast(payload, **options),
        lambda payload, **options: engine.publish("r", payload, **options),
        lambda payload, **options: engine.deliver("r", 1, 1, payload, **options),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="payload must be bytes or str"):
            call(7)
        with pytest.raises(ValueError, match="delivery must be reliable"):
            call(b"x", delivery="soon")
        with pytest.raises(ValueError, match="is too large: with its overhead"):
            call(b"x" * (1 << 20))
    with pytest.raises(ValueError, match="is too large: with its overhead"):
        engine.send_envelope(peer.conn, "json", b"x" * (1 << 20))
    for call in (engine.send_envelope, engine.send_control):
        with pytest.raises(ValueError, match="codec must be raw, json or msgpack"):
            call(peer.conn, "xml", b"x")
    engine.send(peer.conn, "x" * ((1 << 20) - 300))
    assert len(peer.envelope()["payload"]) == (1 << 20) - 300
    assert engine.position("r")[1] == 0


def test_a_full_queue_refuses_what_can_be_refused(rigged: Callable[..., Rig]) -> None:
    rig = rigged(queue_bytes=0, max_rooms=2)
    engine, peer = rig.engine, rig.peer()
    for call in (
        lambda: engine.join(peer.conn, "r"),
        lambda: engine.send(peer.conn, "text"),
        lambda: engine.broadcast("text"),
    ):
        with pytest.raises(Overloaded, match="the queue of a shard") as error:
            call()
        assert error.value.limit == "queue_bytes"
    assert engine.stats()["refused"] == 3
    # Nobody is in the room, so nothing has to be queued.
    assert engine.publish("r", b"x") == 1
    # What answers a message that was taken, and what ends a connection, is never refused.
    engine.send_envelope(peer.conn, "json", b'{"type":"reply"}')
    engine.close(peer.conn, 1001, "bye")
    assert peer.rest() == (['{"type":"reply"}'], (1001, "bye"))
    # One that holds nothing would make room.
    assert engine.publish("r2", b"x") == 1
    for call in (
        lambda: engine.place("s", "e", 1),
        lambda: engine.floor("s"),
        lambda: engine.publish("s", b"x"),
        lambda: engine.position("s"),
    ):
        with pytest.raises(Overloaded, match="number of rooms") as error:
            call()
        assert error.value.limit == "max_rooms"
