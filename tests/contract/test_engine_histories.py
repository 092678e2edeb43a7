"""What every engine does with histories: the last messages before the stream, pages, and new rooms of a pattern."""

from __future__ import annotations

from helpers.engines import RULE
from helpers.rig import Rig


def test_a_join_begins_with_the_last_messages(rig: Rig) -> None:
    rig.engine.add_rule("h", delivery="reliable", **{**RULE, "history": 5})
    for number in range(8):
        rig.engine.publish("h", str(number), True)
    epoch = rig.engine.position("h")[0]
    for last, first in ((2, 6), (5, 3), (100, 3)):
        peer = rig.peer()
        rig.engine.join(peer.conn, "h", reply=True, last=last)
        joined, *messages = peer.envelopes(1 + 8 - first)
        assert joined["payload"] == {
            "epoch": epoch, "recovered": True, "after": first, "last": 8 - first, "delivery": "reliable",
        }  # fmt: skip
        assert [message["seq"] for message in messages] == list(range(first + 1, 9))


def test_a_page_ends_before_a_number(rig: Rig) -> None:
    rig.engine.add_rule("h", delivery="reliable", **{**RULE, "history": 5})
    for number in range(8):
        rig.engine.publish("h", str(number), True)
    epoch = rig.engine.position("h")[0]

    def page(after: tuple[str, int] | None, limit: int, before: int | None) -> list[int]:
        return [seq for seq, _ in rig.engine.history("h", after, limit, before)[1]]

    assert page(None, 2, 7) == [5, 6]
    assert page(None, 9, 4) == []
    assert page((epoch, 5), 9, 8) == [6, 7]
    assert page((epoch, 7), 9, 6) == []
    assert rig.engine.bytes_since("h", (epoch, 8)) == 0
    assert (rig.engine.bytes_since("h", (epoch, 6)) or 0) > 0
    assert rig.engine.bytes_since("h", (epoch, 1)) is None


def test_a_new_room_of_a_pattern_is_told_and_keeps_its_first_messages(rig: Rig) -> None:
    rig.engine.publish("w.before", "0")
    rig.engine.watch_rooms("w.*")
    assert rig.engine.matching_rooms("w.*", 0) == (["w.before"], None)
    for number in range(1100):
        rig.engine.publish("w.new", str(number))
    rig.engine.publish("other", "0")
    assert [event for event in rig.engine.events() if event[0] == "room"] == [("room", 0, "w.new")]
    assert [seq for seq, _ in rig.engine.history("w.new", None, 2000)[1]] == list(range(77, 1101))
    assert rig.engine.history("other", None, 9)[1] == []
    assert [rig.engine.is_new_room(name) for name in ("w.before", "w.new", "other", "w.none")] == [
        False,
        True,
        False,
        False,
    ]
    rig.engine.settle_room("w.new")
    assert not rig.engine.is_new_room("w.new")
    assert rig.engine.history("w.new", None, 9)[1] == []
    peer = rig.peer()
    assert rig.engine.join(peer.conn, "w.new", rig.engine.position("w.new"))[2] is None
    rig.engine.unwatch_rooms("w.*")
    rig.engine.publish("w.later", "0")
    assert rig.engine.history("w.later", None, 9)[1] == []
