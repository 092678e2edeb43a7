"""Arguments of the methods of servers and connections."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fanwire.values.arguments import (
    check_delivery_of,
    check_publish,
    check_reason,
    check_room,
    check_subject,
    ids_of,
)


@pytest.mark.parametrize("room", ["a", "a" * 255, "\u00fc" * 127, "a b"])
def test_names_of_rooms(room: str) -> None:
    assert check_room(room) == room
    check_publish(room, None, None)


@pytest.mark.parametrize("room", [None, 7, b"a", ["a"], {"a"}])
def test_what_is_no_name(room: Any) -> None:
    with pytest.raises(TypeError, match=r"^room must be a str, got "):
        check_room(room)
    with pytest.raises(TypeError, match=r"^room must be a str, got "):
        check_publish(room, None, None)


def test_names_that_are_empty_or_too_long() -> None:
    for room, size in (("", 0), ("a" * 256, 256), ("\u00fc" * 128, 256)):
        with pytest.raises(ValueError, match=rf"^room must have 1 to 255 bytes of UTF-8, got {size}$"):
            check_room(room)
    with pytest.raises(ValueError, match=r"^room must be Unicode text"):
        check_room("\ud800")


def test_keys_and_delivery_classes() -> None:
    check_publish("a", "\u00fc", "latest")
    check_publish("a", "", "reliable")
    for key in (7, b"k", ["k"]):
        with pytest.raises(TypeError, match=r"^key must be a str, got "):
            check_publish("a", key, None)
    with pytest.raises(ValueError, match=r"^key must be Unicode text"):
        check_publish("a", "\ud800", None)
    for delivery in (7, b"latest", True):
        with pytest.raises(TypeError, match=r"^delivery must be a str, got "):
            check_publish("a", None, delivery)
    with pytest.raises(ValueError, match=r"delivery must be .*, got 'fast'"):
        check_delivery_of("fast")
    check_delivery_of(None)


def test_subjects_and_reasons() -> None:
    assert check_subject("ann") == "ann"
    assert check_reason("") == ""
    for value in (None, 7, b"ann"):
        with pytest.raises(TypeError, match=r"^subject must be a str, got "):
            check_subject(value)
        with pytest.raises(TypeError, match=r"^reason must be a str, got "):
            check_reason(value)
    with pytest.raises(ValueError, match=r"^subject must not be empty$"):
        check_subject("")


def test_members_that_are_left_out() -> None:
    one: Any = SimpleNamespace(id=1)
    two: Any = SimpleNamespace(id=2)
    assert ids_of(None) == []
    assert ids_of(one) == [1]
    assert ids_of([one, two]) == [1, 2]
    assert ids_of(member for member in (two,)) == [2]
    for wrong in ("abc", b"abc", 7, True):
        with pytest.raises(TypeError, match=r"^exclude must be a Connection or a list of them, got "):
            ids_of(wrong)
    for among in (["a"], [one, None], [[one]]):
        with pytest.raises(
            TypeError, match=r"^exclude must be a Connection or a list of them, got .* among its items$"
        ):
            ids_of(among)
