"""The public attributes of the client's classes, line by line: a new one is a decision."""

from __future__ import annotations

import pytest

import fanwire
from fanwire.client import Messages

ATTRIBUTES = {
    fanwire.Client: [
        "close",
        "count",
        "error",
        "join",
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
        "unreadable",
    ],
    fanwire.Room: [
        "count",
        "delivery",
        "ended",
        "epoch",
        "is_behind",
        "is_complete",
        "leave",
        "members",
        "name",
        "on_behind",
        "on_end",
        "on_gap",
        "on_member",
        "on_skipped",
        "position",
        "seq",
        "snapshot",
    ],
    Messages: [],
    fanwire.Message: ["age", "data", "forgotten", "gap", "id", "key", "room", "seq", "ts"],
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
