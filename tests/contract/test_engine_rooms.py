"""What every engine does with rooms: numbers, history, and rooms whose numbers come from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers.engines import RULE
from helpers.rig import Peer, Rig, decoded

from fanwire._engine import RoomFull
from fanwire.cluster.node_message import unpack

HOUR_MS = 3_600_000


def joined(rig: Rig, room: str, **options: Any) -> Peer:
    """A member, which was told so."""
    peer = rig.peer()
    rig.engine.join(peer.conn, room, reply=True, **options)
    assert peer.envelope()["type"] == "joined"
    return peer


def seqs(peer: Peer, count: int) -> list[int]:
    return [envelope["seq"] for envelope in peer.envelopes(count)]


def test_a_room_counts_from_one(rig: Rig) -> None:
    assert [rig.engine.publish("r", b"x") for _ in range(3)] == [1, 2, 3]
    assert rig.engine.publish("s", b"x") == 1
    epoch, seq = rig.engine.position("r")
    assert seq == 3
    assert rig.engine.position("s")[0] != epoch


def test_members_get_what_is_published_after_they_came(rig: Rig) -> None:
    rig.engine.publish("r", b"before")
    early = joined(rig, "r")
    assert rig.engine.publish("r", "text") == 2
    late = joined(rig, "r")
    rig.engine.publish("r", b'{"a":1}', True)
    epoch = rig.engine.position("r")[0]
    first, second = early.envelopes(2)
    assert (first["id"], first["room"], first["seq"], first["payload"]) == (f"{epoch}-2", "r", 2, "text")
    assert second["payload"] == {"a": 1}
    assert late.envelope() == second


def test_a_join_is_answered_with_the_place_from_which_the_stream_begins(rig: Rig) -> None:
    rig.engine.publish("r", b"x")
    peer = rig.peer()
    epoch, seq, why = rig.engine.join(peer.conn, "r", reply=True, re="c1", extra=',"more":[1]')
    assert (seq, why) == (1, "history")
    envelope = peer.envelope()
    assert {name: envelope[name] for name in ("type", "re", "room", "seq")} == {
        "type": "joined", "re": "c1", "room": "r", "seq": 1,
    }  # fmt: skip
    assert envelope["payload"] == {"epoch": epoch, "recovered": False, "delivery": "reliable", "more": [1]}


def test_a_member_joins_again_and_is_told_again(rig: Rig) -> None:
    peer = joined(rig, "r")
    rig.engine.join(peer.conn, "r", reply=True, again=True)
    assert peer.envelope()["type"] == "joined"
    rig.becomes(lambda: rig.engine.members("r") == 1)
    rig.engine.publish("r", b"once")
    rig.engine.send(peer.conn, "end")
    assert [envelope["payload"] for envelope in peer.envelopes(2)] == ["b25jZQ==", "end"]


def test_a_client_without_a_session_is_not_told_of_joins_and_gets_payloads_as_they_are(rig: Rig) -> None:
    peer = rig.peer(None)
    rig.engine.join(peer.conn, "r", reply=True)
    for payload, json in (("text", False), (b"bytes", False), (b"[1]", True)):
        rig.engine.publish("r", payload, json)
    assert peer.frames(3) == ["text", b"bytes", "[1]"]


def test_msgpack_has_the_same_envelope(rig: Rig) -> None:
    peer = rig.peer("msgpack")
    rig.engine.join(peer.conn, "r")
    rig.engine.publish("r", b'{"a":[1.5,null]}', True)
    rig.engine.publish("r", b"\x00\xff")
    frames = peer.frames(2)
    assert all(isinstance(frame, bytes) for frame in frames)
    assert [decoded(frame)["payload"] for frame in frames] == [{"a": [1.5, None]}, b"\x00\xff"]


def test_who_has_left_gets_nothing_more(rig: Rig) -> None:
    peer = joined(rig, "r")
    rig.engine.publish("r", b"x")
    rig.engine.leave(peer.conn, "r")
    rig.engine.leave(peer.conn, "nowhere")
    rig.engine.publish("r", b"y")
    rig.engine.send(peer.conn, "end")
    assert [envelope.get("seq") for envelope in peer.envelopes(2)] == [1, None]
    rig.becomes(lambda: rig.engine.members("r") == 0)


def test_what_came_after_a_position(rig: Rig) -> None:
    for _ in range(12):
        rig.engine.publish("r", b"x")
    epoch, _ = rig.engine.position("r")
    for since, why, expected in (
        ((epoch, 12), None, []),
        ((epoch, 9), None, [10, 11, 12]),
        ((epoch, 2), None, list(range(3, 13))),
        ((epoch, 1), "history", []),
        ((epoch, 13), "position", []),
        (("f" * 16, 12), "epoch", []),
        (("no epoch", 12), "epoch", []),
    ):
        peer = rig.peer()
        assert rig.engine.join(peer.conn, "r", since, reply=True) == (epoch, 12, why)
        payload = peer.envelope()["payload"]
        assert (payload["recovered"], payload.get("reason")) == (why is None, why)
        assert seqs(peer, len(expected)) == expected
        rig.engine.gone(peer.conn)


def test_nothing_is_done_where_only_a_whole_history_helps(rig: Rig) -> None:
    for _ in range(12):
        rig.engine.publish("r", b"x")
    epoch, _ = rig.engine.position("r")
    peer = rig.peer()
    assert rig.engine.join(peer.conn, "r", (epoch, 1), reply=True, only_whole=True)[2] == "history"
    assert rig.engine.members("r") == 0
    state = {"reply": True, "extra": ',"snapshot":7', "is_state": True, "only_whole": True}
    assert rig.engine.join(peer.conn, "r", (epoch, 11), **state)[2] is None
    envelope = peer.envelope()
    assert (envelope["type"], envelope["seq"]) == ("joined", 11)
    assert envelope["payload"] == {"epoch": epoch, "recovered": False, "delivery": "reliable", "snapshot": 7}
    assert seqs(peer, 1) == [12]


def test_a_room_without_history_gives_only_what_was_not_missed(rig: Rig) -> None:
    rig.engine.publish("plain", b"x")
    epoch, seq = rig.engine.position("plain")
    assert rig.engine.floor("plain") == (epoch, 1)
    peer = rig.peer()
    assert rig.engine.join(peer.conn, "plain", (epoch, seq))[2] is None
    assert rig.engine.join(peer.conn, "plain", (epoch, 0), again=True)[2] == "history"


def test_members_that_are_excluded_are_told_what_they_do_not_get(rig: Rig) -> None:
    first, second, raw = joined(rig, "r"), joined(rig, "r"), rig.peer(None)
    rig.engine.join(raw.conn, "r")
    rig.engine.publish("r", b"x", exclude=[second.conn, raw.conn])
    rig.engine.publish("r", "for all")
    assert seqs(first, 2) == [1, 2]
    assert raw.frames(1) == ["for all"]
    envelopes = second.envelopes(2)
    notice = next(envelope for envelope in envelopes if envelope["type"] == "skipped")
    assert (notice["room"], notice["seq"]) == ("r", 1)
    assert notice["payload"] == {"reason": "excluded", "count": 1, "first": 1, "last": 1}
    assert [envelope["seq"] for envelope in envelopes if envelope["type"] == "message"] == [2]


def test_events_of_presence_are_for_sessions_and_have_no_number_of_their_own(rig: Rig) -> None:
    first, second, raw = joined(rig, "r"), joined(rig, "r"), rig.peer(None)
    rig.engine.join(raw.conn, "r")
    rig.engine.publish("r", b"x")
    rig.engine.notify("r", "member_joined", '{"id":"a"}', [second.conn])
    rig.engine.notify("nowhere", "member_left", "{}", [])
    _, event = first.envelopes(2)
    assert (event["type"], event["room"], event["seq"], event["payload"]) == ("member_joined", "r", 1, {"id": "a"})
    assert rig.engine.position("r")[1] == 1
    for peer in (second, raw):
        rig.engine.send(peer.conn, "end")
    assert [envelope["payload"] for envelope in second.envelopes(2)] == ["eA==", "end"]
    assert raw.frames(2) == [b"x", "end"]
    with pytest.raises(ValueError, match="event must be member_joined or member_left"):
        rig.engine.notify("r", "weather", "{}", [])


def test_a_full_room_takes_those_who_are_in_it(rig: Rig) -> None:
    rig.engine.add_rule("two", delivery="reliable", **RULE | {"max_members": 2})
    first, second, third = (rig.peer() for _ in range(3))
    for peer in (first, second):
        rig.engine.join(peer.conn, "two")
    with pytest.raises(RoomFull, match="the room is full: its limit is 2") as error:
        rig.engine.join(third.conn, "two")
    assert error.value.limit == "max_members"
    rig.engine.join(first.conn, "two", again=True)
    rig.engine.leave(first.conn, "two")
    rig.becomes(lambda: rig.engine.members("two") == 1)
    rig.engine.join(third.conn, "two")


@pytest.mark.parametrize("name", ["", "x" * 256, "\N{SNOWMAN}" * 86])
def test_names_have_1_to_255_bytes(rig: Rig, name: str) -> None:
    for call in (
        lambda: rig.engine.publish(name, b"x"),
        lambda: rig.engine.join(1, name),
        lambda: rig.engine.position(name),
        lambda: rig.engine.floor(name),
        lambda: rig.engine.place(name, "1", 0),
    ):
        with pytest.raises(ValueError, match="1 to 255 bytes"):
            call()


def test_the_first_rule_wins_and_rooms_that_exist_keep_theirs(rig: Rig) -> None:
    rig.engine.publish("a.b", b"x")
    rig.engine.add_rule("a.*", delivery="latest", **RULE)
    rig.engine.add_rule("*", delivery="drop-oldest", **RULE)
    for room, delivery in (("a.b", "reliable"), ("a.c", "latest"), ("a", "drop-oldest"), ("r.x", "reliable")):
        peer = rig.peer()
        rig.engine.join(peer.conn, room, reply=True)
        assert peer.envelope()["payload"]["delivery"] == delivery
    with pytest.raises(ValueError, match="delivery must be reliable"):
        rig.engine.add_rule("*", delivery="soon", **RULE)


def test_rooms_that_hold_nothing_make_room_for_others(rigged: Callable[..., Rig]) -> None:
    # Not too few: the real engine looks for such rooms in a part of its table.
    rig = rigged(max_rooms=300)
    for number in range(1000):
        rig.engine.position(f"plain{number}")
    assert rig.engine.stats()["rooms"] <= 300


def test_which_rooms_there_are(rig: Rig) -> None:
    peer = joined(rig, "r")
    rig.engine.join(peer.conn, "s")
    rig.engine.position("t")
    assert rig.engine.rooms() == {"r": 1, "s": 1, "t": 0}


def test_what_a_history_keeps(rig: Rig) -> None:
    assert rig.engine.history("nowhere", None, 10) == ("0", [])
    for number in range(5):
        rig.engine.publish("r", str(number))
    epoch, _ = rig.engine.position("r")

    def kept(after: tuple[str, int] | None, limit: int) -> list[tuple[int, Any]]:
        found, messages = rig.engine.history("r", after, limit)
        assert found == epoch
        return [(seq, unpack(node_message).payload) for seq, node_message in messages]

    assert kept(None, 2) == [(4, "3"), (5, "4")]
    assert kept((epoch, 1), 2) == [(2, "1"), (3, "2")]
    assert kept((epoch, 5), 2) == []
    assert kept(("ff", 5), 10) == [(seq, str(seq - 1)) for seq in range(1, 6)]
    rig.engine.publish("plain", "x")
    assert rig.engine.history("plain", None, 10)[1] == []


# Rooms whose numbers come from outside.


def test_a_room_goes_on_from_another_place(rig: Rig) -> None:
    rig.engine.publish("r", b"x")
    rig.engine.place("r", "Ff", 12)
    assert rig.engine.position("r") == rig.engine.floor("r") == ("ff", 12)
    assert rig.engine.publish("r", b"x") == 13
    for epoch in ("", "g", "+1", "0x1", "1" * 17):
        with pytest.raises(ValueError, match="epoch must be up to 16"):
            rig.engine.place("r", epoch, 0)
        with pytest.raises(ValueError, match="epoch must be up to 16"):
            rig.engine.extend("r", epoch, 0, [])


def test_numbers_from_outside_only_grow_and_may_have_holes(rig: Rig) -> None:
    rig.engine.place("r", "e", 10)
    peer = joined(rig, "r")
    now_ms = rig.engine.now_ms
    assert rig.engine.deliver("r", 11, now_ms - 5, "text")
    assert not rig.engine.deliver("r", 11, now_ms, "again")
    assert not rig.engine.deliver("r", 3, now_ms, "old")
    assert rig.engine.deliver("r", 15, now_ms, b"[1]", True)
    first, second = peer.envelopes(2)
    assert first == {"type": "message", "id": "e-11", "ts": now_ms - 5, "room": "r", "seq": 11, "payload": "text"}
    assert (second["seq"], second["prev"], second["payload"]) == (15, 11, [1])
    assert rig.engine.position("r") == ("e", 15)
    with pytest.raises(ValueError, match="message"):
        rig.engine.deliver("r", 16, now_ms, b"[1", True)
    with pytest.raises(OverflowError):
        rig.engine.deliver("r", -1, now_ms, b"x")


def test_a_message_says_what_came_before_it_and_not_where_the_room_was_placed(rig: Rig) -> None:
    rig.engine.place("r", "e", 10)
    peer = joined(rig, "r")
    for seq, prev in ((11, 4), (13, 11), (14, 0), (16, None), (19, 18)):
        assert rig.engine.deliver("r", seq, 1, "x", prev=prev)
    assert [envelope.get("prev") for envelope in peer.envelopes(5)] == [4, 11, 0, 14, 16]


def test_a_raised_position_leaves_the_history_as_it_is(rig: Rig) -> None:
    rig.engine.place("r", "e", 10)
    rig.engine.deliver("r", 12, rig.engine.now_ms, "c")
    peer = rig.peer()
    assert rig.engine.join(peer.conn, "r", ("e", 20), only_whole=True)[2] == "position"
    for epoch, seq in (("e", 20), ("e", 3), ("f", 30)):
        rig.engine.raise_position("r", epoch, seq)
    rig.engine.raise_position("nowhere", "e", 3)
    assert (rig.engine.position("r"), rig.engine.floor("r")) == (("e", 20), ("e", 10))
    assert rig.engine.join(peer.conn, "r", ("e", 20), only_whole=True)[1:] == (20, None)
    with pytest.raises(ValueError, match="epoch"):
        rig.engine.raise_position("r", "", 0)


def test_older_messages_go_before_those_that_are_kept(rig: Rig) -> None:
    rig.engine.place("r", "e", 10)
    now_ms = rig.engine.now_ms
    rig.engine.deliver("r", 12, now_ms, "c")
    older = [(4, now_ms, "a", False, None, None, None), (9, now_ms, "b", False, None, None, None)]
    rig.engine.extend("r", "e", 2, older)
    assert rig.engine.floor("r") == ("e", 2)
    peer = rig.peer()
    assert rig.engine.join(peer.conn, "r", ("e", 3)) == ("e", 12, None)
    found = [(envelope["seq"], envelope.get("prev"), envelope["payload"]) for envelope in peer.envelopes(3)]
    assert found == [(4, 2, "a"), (9, 4, "b"), (12, 10, "c")]
    # Of another numbering, of no room, too old, and too many.
    rig.engine.extend("r", "f", 0, older)
    rig.engine.extend("nowhere", "e", 0, older)
    rig.engine.extend("r", "e", 0, [(1, now_ms - 2 * HOUR_MS, "x", False, None, None, None)])
    assert rig.engine.floor("r") == ("e", 1)
    assert rig.engine.stats()["rooms"] == 1
    rig.engine.place("r", "e", 100)
    rig.engine.extend("r", "e", 0, [(seq, now_ms, "x", False, None, None, None) for seq in range(50, 70)])
    assert rig.engine.floor("r") == ("e", 59)


def test_older_messages_that_are_wrong_change_nothing(rig: Rig) -> None:
    rig.engine.place("r", "e", 10)
    one = (4, rig.engine.now_ms, "a", False, None, None, None)
    for messages, error in (
        ([(*one[:2], 7, *one[3:])], TypeError),
        ([one[:4]], ValueError),
        ([(*one[:4], "key", None, None)], ValueError),
        ([(*one[:5], "soon", None)], ValueError),
        ([one, one], ValueError),
    ):
        with pytest.raises(error):
            rig.engine.extend("r", "e", 2, messages)
    assert rig.engine.floor("r") == ("e", 10)
    # One that no member could read is not there, and nothing before it is missed in silence.
    rig.engine.extend(
        "r", "e", 2, [one, (5, one[1], b"[1", True, None, None, None), (7, one[1], "b", False, None, None, None)]
    )
    assert rig.engine.floor("r") == ("e", 5)


def test_numbers_that_will_not_come(rig: Rig) -> None:
    rig.engine.place("r", "e", 10)
    peer = joined(rig, "r")
    rig.engine.skip("r", 0, "backplane")
    rig.engine.skip("r", 5, "backplane")
    rig.engine.skip("nowhere", 5, "backplane")
    assert rig.engine.floor("r") == ("e", 15)
    event = peer.envelope()
    assert (event["type"], event["room"], event["seq"]) == ("skipped", "r", 15)
    assert event["payload"] == {"reason": "backplane", "count": 5, "first": 11, "last": 15}
    with pytest.raises(ValueError, match="reason must be backplane"):
        rig.engine.skip("r", 1, "weather")


def test_busy_rooms_are_those_with_most_deliveries_since_the_last_look(rig: Rig) -> None:
    for room, members, messages in (("a", 1, 3), ("b", 3, 2), ("c", 2, 0), ("d", 0, 9)):
        for _ in range(members):
            joined(rig, room)
        for _ in range(messages):
            rig.engine.publish(room, b"x")
    assert rig.engine.busy_rooms(3) == [("b", 3, 2, 6), ("a", 1, 3, 3), ("c", 2, 0, 0)]
    rig.engine.publish("a", b"x")
    assert rig.engine.busy_rooms(9) == [("a", 1, 1, 1), ("b", 3, 0, 0), ("c", 2, 0, 0), ("d", 0, 0, 0)]
    assert rig.engine.busy_rooms(0) == []
