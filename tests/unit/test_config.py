"""The limits: each is checked where it is given, with its name."""

from __future__ import annotations

import os

import msgspec
import pytest

import fanwire
from fanwire.config import _LEAST

FIELDS = [field.name for field in msgspec.structs.fields(fanwire.Config)]


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


def test_unknown_names_positions_and_changes_are_errors() -> None:
    with pytest.raises(TypeError):
        fanwire.Config(shard=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        fanwire.Config(1)  # type: ignore[misc]
    with pytest.raises(AttributeError):
        fanwire.Config().shards = 2  # type: ignore[misc]


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
