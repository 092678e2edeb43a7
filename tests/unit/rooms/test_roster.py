"""The members of a room with presence: the list, its pages, and what a join costs."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import orjson
import pytest

from fanwire.rooms import roster as module
from fanwire.rooms.roster import Roster, check_info, member_text


def come(roster: Roster, name: str, info: Any = None, *, is_here: bool = True) -> None:
    roster.come(name, info, member_text(name, info), is_here=is_here)


def names(text: bytes | str) -> list[str]:
    return [member["id"] for member in orjson.loads(text)]


def pages(roster: Roster, limit: int) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        page = roster.page(after, limit)
        assert len(names(page.members)) <= limit
        found += names(page.members)
        if page.next is None:
            return found
        after = page.next


def test_a_newcomer_is_always_in_its_list_and_counted() -> None:
    roster = Roster({})
    for number in range(1500):
        name = f"{number:x}"
        count, listed = roster.list_for(name, member_text(name, None))
        assert count == number + 1
        assert names(listed) == [f"{other:x}" for other in range(min(number, 999))] + [name]
        come(roster, name)
    # One who asks again is there once.
    assert roster.list_for("5", member_text("5", None))[0] == 1500
    assert names(roster.list_for("5", member_text("5", None))[1]).count("5") == 1
    last = names(roster.list_for("5db", member_text("5db", None))[1])
    assert (len(last), last[-1]) == (1000, "5db")
    # Somebody who only asks gets as many as there may be.
    assert len(names(roster.first().members)) == 1000


def test_the_list_is_right_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTED", 6)
    monkeypatch.setattr(module, "LISTED_BYTES", 400)
    rng = random.Random(7)
    roster = Roster({"a.1": {"n": 1}, "a.2": None})
    there: dict[str, Any] = {"a.1": {"n": 1}, "a.2": None}
    for number in range(3000):
        if there and rng.random() < 0.5:
            name = rng.choice(list(there))
            assert roster.go(name) == member_text(name, there.pop(name))
        else:
            name, info = f"{number:x}", rng.choice([None, "ä" * rng.randrange(40)])
            text = member_text(name, info)
            count, listed = roster.list_for(name, text)
            assert (count, names(listed)[-1]) == (len(there) + 1, name)
            assert names(listed)[:-1] == list(there)[: len(names(listed)) - 1]
            assert len(names(listed)) <= 6
            roster.come(name, info, text, is_here=rng.random() < 0.5)
            there[name] = info
        assert (len(roster), roster.infos()) == (len(there), there)
        first = roster.first()
        assert names(first.members) == list(there)[: len(names(first.members))]
        assert (first.next is None) == (len(names(first.members)) == len(there))
        assert msgspec.msgpack.decode(roster.first(packed=True).members) == orjson.loads(first.members)
        assert pages(roster, 3) == list(there)
        if first.next is not None:
            rest = roster.page(first.next, 1000)
            assert names(rest.members)[:1] == list(there)[len(names(first.members)) :][:1]


def test_thousands_of_joins_do_not_make_the_list_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0

    def counting(members: Any, most: int) -> list[Any]:
        nonlocal looked_at
        taken = list(members)[:most]
        looked_at += len(taken)
        return taken

    monkeypatch.setattr(module, "islice", counting)
    roster = Roster({})
    for number in range(5000):
        roster.list_for(f"{number:x}", member_text(f"{number:x}", None))
        come(roster, f"{number:x}")
    assert looked_at == 0
    # Neither do leaves of those who are not in it, nor any leaves that nobody asks after.
    for number in range(4999, 999, -1):
        roster.go(f"{number:x}")
        roster.first()
    for number in range(500):
        roster.go(f"{number:x}")
    assert looked_at == 0
    assert len(names(roster.first().members)) == 500
    assert looked_at == 500


def test_pages_have_everybody_once_and_go_on_behind_those_who_have_left() -> None:
    roster = Roster({f"x.{number}": number for number in range(50)})
    for number in range(2450):
        come(roster, f"{number:x}", number)
    assert pages(roster, 1000) == list(roster.infos())
    page = roster.page(None, 10)
    roster.go(names(page.members)[-1])
    assert names(roster.page(page.next, 2).members) == ["x.10", "x.11"]


@pytest.mark.parametrize("cursor", ["", "1", "zz.5", "5.", ".", "99999999999999999999"])
def test_a_cursor_of_another_roster_is_refused(cursor: str) -> None:
    roster = Roster({"a": None})
    own = str(roster._cursor(1))
    assert roster.page(own, 5).next is None
    for wrong in (cursor, own + "x", own.split(".")[0] + "." + "9" * 30, own.split(".")[0] + ".-1"):
        with pytest.raises(ValueError, match="begin with the first page"):
            roster.page(wrong, 5)


def test_a_list_of_large_members_is_bounded_in_bytes() -> None:
    roster = Roster({})
    for number in range(100):
        come(roster, str(number), "x" * 4000)
    first = roster.first()
    assert len(first.members) < 70_000
    assert first.next is not None
    count, listed = roster.list_for("new", member_text("new", "y" * 4000))
    assert (count, names(listed)[-1]) == (101, "new")
    assert len(listed) < 75_000
    assert pages(roster, 1000) == [str(number) for number in range(100)]


def test_what_is_told_of_a_member_is_bounded() -> None:
    check_info({"name": "Ann"})
    check_info("x" * 4094)
    with pytest.raises(ValueError, match=r"Connection.info must be at most 4096 bytes of JSON, got 4097"):
        check_info("x" * 4095)
    with pytest.raises(TypeError):
        check_info(object())
