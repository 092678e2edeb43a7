"""The public attributes of the client's classes, line by line: a new one is a decision."""

from __future__ import annotations

import pytest

import fanwire
from fanwire.client import Messages

ATTRIBUTES = {
    fanwire.Client: [
        "clock",
        "close",
        "count",
        "error",
        "history",
        "is_compressed",
        "join",
        "join_pattern",
        "leave",
        "messages",
        "on_room",
        "on_state",
        "presence",
        "publish",
        "request",
        "rooms",
        "session",
        "state",
        "transport",
        "unreadable",
    ],
    fanwire.Room: [
        "configure",
        "count",
        "delivery",
        "ended",
        "epoch",
        "filter",
        "history",
        "is_behind",
        "is_complete",
        "is_filtered",
        "leave",
        "max_bytes",
        "max_rate",
        "members",
        "name",
        "on_behind",
        "on_end",
        "on_gap",
        "on_member",
        "on_skipped",
        "pending_inputs",
        "position",
        "repair",
        "replayed",
        "send_input",
        "seq",
        "snapshot",
    ],
    fanwire.RoomPattern: ["ended", "leave", "name", "on_room", "rooms"],
    fanwire.RoomHistory: [],
    Messages: [],
    fanwire.Message: ["age", "data", "forgotten", "gap", "id", "key", "prev", "room", "seq", "ts"],
    fanwire.Gap: ["after", "count", "reason", "snapshot", "upto"],
    fanwire.Skipped: ["count", "first", "last", "reason"],
    fanwire.Member: ["id", "info", "is_here"],
}


@pytest.mark.parametrize("kind", ATTRIBUTES, ids=lambda kind: kind.__name__)
def test_the_public_attributes(kind: type) -> None:
    names = {*dir(kind), *getattr(kind, "__dataclass_fields__", ())}
    assert sorted(name for name in names if not name.startswith("_")) == ATTRIBUTES[kind]


def test_objects_have_no_more_than_their_classes() -> None:
    assert [name for name in vars(fanwire.connect("ws://localhost")) if not name.startswith("_")] == []
    assert fanwire.Room.__slots__ == ("_feed",)
