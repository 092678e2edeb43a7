"""Each key is described: its text, its range and its unit are those that are checked."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec import NODEFAULT

from fanwire.cli.setting_check import check_values
from fanwire.cli.setting_key import SECRETS, TABLES, SettingKey, keys_of, suggestion, table_text
from fanwire.cli.settings import Settings
from fanwire.config import Config, range_of

KEYS = [key for table in TABLES for key in keys_of(table).values()]
NEEDED: dict[str, dict[str, Any]] = {
    "jwt": {"key": "k", "algorithms": ["ES256"]},
    "admin": {"keys": {"k-0123456789abcdef": ["read"]}},
    "nats": {"servers": ["a"]},
    "recording": {"rooms": ["a"], "directory": "r"},
    "rooms": {"pattern": "a"},
}


def with_value(key: SettingKey, value: Any) -> dict[str, Any]:
    table = {**NEEDED.get(key.table, {}), key.name: value}
    return {key.table: [table] if key.table == "rooms" else table}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ".".join(key.path))
def test_each_key_has_a_sentence_and_a_right_default(key: SettingKey) -> None:
    assert re.match(r"[A-Z]", key.text)
    assert key.text.endswith((".", ")"))
    assert "``" not in key.text
    assert key.sentence.startswith(key.text[:20])
    if key.default not in (None, NODEFAULT):
        default = list(key.default) if isinstance(key.default, tuple) else key.default
        assert check_values(with_value(key, default)) == []


@pytest.mark.parametrize("key", [key for key in KEYS if key.is_number], ids=lambda key: ".".join(key.path))
def test_the_range_of_a_number_is_checked(key: SettingKey) -> None:
    least, above, most = key.bounds
    lowest = least if least is not None else above
    assert lowest is not None, "a number has a smallest value"
    right, wrong = (least, least - 1) if least is not None else (1, lowest)
    assert check_values(with_value(key, right)) == []
    (problem,) = check_values(with_value(key, wrong))
    assert problem.path[-1] == key.name
    assert f"got {wrong:.15g}" in problem.text or f"got {wrong}" in problem.text
    if most is not None:
        assert check_values(with_value(key, int(most))) == []
        (problem,) = check_values(with_value(key, int(most) + 1))
        assert (f"{most:.15g}" if key.name != "unix_mode" else "0o777") in problem.text


@pytest.mark.parametrize("name", [key.name for key in keys_of("limits").values() if key.is_number])
def test_the_range_is_that_of_config(name: str) -> None:
    least, most = range_of(name)
    field: Any = Config
    for right in (least, most):
        field(**{name: type(getattr(Config(), name))(right)})
    for wrong in (least - 1, int(most) + 1):
        with pytest.raises(ValueError, match=f"Config.{name} must be"):
            field(**{name: wrong})


def test_numbers_have_units() -> None:
    units = {key.name: key.unit for key in keys_of("limits").values()}
    assert (units["grace"], units["max_head"], units["byte_rate"], units["message_rate"], units["shards"]) == (
        "seconds", "bytes", "bytes a second", "a second", "",
    )  # fmt: skip
    for name, unit in units.items():
        if name.endswith(("timeout", "grace", "interval")):
            assert unit == "seconds", name
        if name.endswith("bytes"):
            assert unit == "bytes", name


def test_all_tables_are_known_and_have_a_text() -> None:
    assert set(TABLES) == set(Settings.__struct_fields__)
    assert all(table_text(table) for table in TABLES)


def test_secrets_are_keys() -> None:
    assert {key.path for key in KEYS} >= SECRETS


def test_suggestions() -> None:
    assert suggestion("prot", ["host", "port"]) == "port"
    assert suggestion("xyzzy", ["host", "port"]) == ""
