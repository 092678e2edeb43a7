"""What operators are told about the rule of a room: all of it."""

from __future__ import annotations

import msgspec

from fanwire.admin.documents import RoomRule
from fanwire.admin.node_rooms import rule_of
from fanwire.rooms.rules import RoomPolicy

CODE = {"schema", "snapshot"}
"""A type and a function of the application, which no document can show."""


def test_a_rule_has_every_field_of_a_policy() -> None:
    assert {*RoomRule.__struct_fields__, *CODE} == set(RoomPolicy._fields)


def test_each_field_has_the_value_of_the_policy() -> None:
    given = {
        "pattern": "quotes.*", "delivery": "latest", "max_keys": 11, "max_members": 12, "history": 13,
        "history_bytes": 14, "history_age": 15.5, "join": True, "publish": False, "presence": True,
        "see_members": None, "see_history": len, "when_away": "fail", "compress": True, "priority": "high",
        "tick": 30, "interest": True, "delta": True,
    }  # fmt: skip
    assert given.keys() == set(RoomPolicy._fields) - CODE
    assert msgspec.structs.asdict(rule_of(RoomPolicy(**given))) == {**given, "see_history": "function"}
