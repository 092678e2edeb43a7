"""The limits: each is checked where it is given, with its name."""

from __future__ import annotations

import inspect
import os
import re

import msgspec
import numpy as np
import pytest

import fanwire
from fanwire.config import _LEAST

OTHER = {"room_name", "dry_run", "shard_cores"}
"""Fields that are no numbers."""
FIELDS = [field.name for field in msgspec.structs.fields(fanwire.Config) if field.name not in OTHER]


def test_every_field_has_a_default_and_a_least_value() -> None:
    defaults = fanwire.Config()
    assert set(_LEAST) == set(FIELDS)
    for name in FIELDS:
        assert getattr(defaults, name) >= _LEAST[name]


@pytest.mark.parametrize("name", FIELDS)
def test_too_small_a_value_is_named(name: str) -> None:
    least = _LEAST[name]
    assert getattr(fanwire.Config(**{name: least}), name) == least
    with pytest.raises(ValueError, match=rf"{name} must be at least {least}"):
        fanwire.Config(**{name: least - 1})


def test_ids_are_remembered_for_longer_than_messages_wait() -> None:
    assert fanwire.Config(append_timeout=100).append_timeout == 100
    for seconds in (100.1, 1e9, float("inf")):
        with pytest.raises(ValueError, match=r"Config\.append_timeout must be at most 100, got "):
            fanwire.Config(append_timeout=seconds)


@pytest.mark.parametrize("name", FIELDS)
def test_numbers_of_numpy_become_those_of_python(name: str) -> None:
    value = _LEAST[name]
    for given in (np.float64(value), np.int64(value)) if value == int(value) else (np.float64(value),):
        try:
            kept = getattr(fanwire.Config(**{name: given}), name)
        except TypeError:
            continue  # a float for a count
        assert type(kept) in (int, float)
        assert kept == value


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_no_number_is_none(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        fanwire.Config(**{name: float("nan")})


@pytest.mark.parametrize(
    "room",
    [
        "a", "prices", "a.b", "a.b.c", "A_1-2", "chat:7", "u/7", "a@b", "x=y", "#1", "\u00fc", "\u0416", "\u65e5\u672c",
        "\u0967", "_", "a" * 255,
    ],
)  # fmt: skip
def test_names_of_rooms(room: str) -> None:
    assert re.fullmatch(fanwire.Config().room_name, room)


@pytest.mark.parametrize(
    "room",
    [
        "", " ", "a b", "a\n", "\na", "a\0b", "a\tb", "a\x7fb", "\x85", "*", "a.*", "a*", ">", "a.>", "$SYS.x", "$",
        "a$", ".", "..", "a.", ".a", "a..b", "\u00a0", "a\u00a0b", "\u200b", "\u2028", "\u202e", "\ufeff", "\ud800",
        "?", "%00", "a%b", "[a]", "{a}", "a|b", "a\\b", '"', "<", "`", ";", "^", "\U0001f4a9",
    ],
)  # fmt: skip
def test_no_names_of_rooms(room: str) -> None:
    assert not re.fullmatch(fanwire.Config().room_name, room)


def test_a_name_that_nearly_is_one_takes_no_longer() -> None:
    # Nothing in it can be read in two ways, so a failure is found in one pass.
    assert not re.fullmatch(fanwire.Config().room_name, "a" * 1_000_000 + "\0")
    assert not re.fullmatch(fanwire.Config().room_name, "a." * 500_000 + "\0")


def test_an_expression_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r"Config\.room_name must be a regular expression, got '\[': unterminated"):
        fanwire.Config(room_name="[")


def test_unknown_names_positions_and_changes_are_errors() -> None:
    with pytest.raises(TypeError):
        fanwire.Config(shard=1)
    with pytest.raises(TypeError):
        fanwire.Config(1)
    with pytest.raises(AttributeError):
        fanwire.Config().shards = 2


def test_it_comes_from_json_and_the_limits_hold_there_too() -> None:
    config = msgspec.json.decode(b'{"shards": 2, "ping_interval": 1.5}', type=fanwire.Config)
    assert config == fanwire.Config(shards=2, ping_interval=1.5)
    for bad in (b'{"shards": -1}', b'{"shards": "2"}', b'{"nothing": 1}'):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(bad, type=fanwire.Config)


@pytest.mark.parametrize(("processors", "shards"), [(1, 1), (2, 1), (3, 2), (5, 4), (64, 4)])
def test_shards_follow_the_processors(monkeypatch: pytest.MonkeyPatch, processors: int, shards: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(processors)), raising=False)
    assert fanwire.Config().shard_count == shards
    assert fanwire.Config(shards=7).shard_count == 7


def test_shard_cores_give_the_number_of_shards() -> None:
    assert fanwire.Config(shard_cores="2,4-5").shard_count == 3
    assert fanwire.Config(shard_cores="2,4-5", shards=3).cores == [2, 4, 5]
    with pytest.raises(ValueError, match=r"one processor for each of the 2 shards, got '2,4-5': 3"):
        fanwire.Config(shard_cores="2,4-5", shards=2)
    with pytest.raises(ValueError, match=r"Config\.shard_cores must be processors"):
        fanwire.Config(shard_cores="all")


INTEGERS = [field.name for field in msgspec.structs.fields(fanwire.Config) if field.type is int]
NUMBERS = [field.name for field in msgspec.structs.fields(fanwire.Config) if field.type is float]


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", ["30", 1.5, True, None, [1], b"30"])
def test_a_count_is_a_whole_number(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=rf"Config\.{name} must be a whole number, got "):
        fanwire.Config(**{name: value})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["30", True, None, [1.0], b"30"])
def test_a_time_is_a_number(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=rf"Config\.{name} must be a number, got "):
        fanwire.Config(**{name: value})


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 10**30])
def test_nothing_is_endless(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        fanwire.Config(**{name: value})


@pytest.mark.parametrize("value", ["false", 0, 1, None, ""])
def test_a_flag_is_true_or_false(value: object) -> None:
    with pytest.raises(TypeError, match=r"Config\.dry_run must be True or False, got "):
        fanwire.Config(dry_run=value)


def test_an_expression_is_a_text() -> None:
    with pytest.raises(TypeError, match=r"Config\.room_name must be a str, got None"):
        fanwire.Config(room_name=None)
    with pytest.raises(ValueError, match=r"Config\.room_name must not be empty"):
        fanwire.Config(room_name="")


def test_whole_numbers_will_do_for_times() -> None:
    assert fanwire.Config(grace=30, ping_interval=0).grace == 30


def test_the_text_of_every_field_is_in_the_help() -> None:
    text = inspect.getdoc(fanwire.Config) or ""
    described = re.findall(r"^    (\w+): [A-Z`].{10}", text, re.MULTILINE)
    assert described == [field.name for field in msgspec.structs.fields(fanwire.Config)]
