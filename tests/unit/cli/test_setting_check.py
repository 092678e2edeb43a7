"""The check of settings finds what msgspec would refuse, whatever a document has; `test_settings.py` has the texts."""

from __future__ import annotations

import datetime
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.cli.setting_check import RULES, check_values, name_of, shown, to_settings
from fanwire.cli.setting_key import TABLES, keys_of
from fanwire.cli.settings import Settings

TEXTS = st.sampled_from(
    ["", "a", "debug", "latest", "identified", "subject", "required", "1.3", "systemd", "x" * 70, "["]
)
SCALARS = (
    st.booleans() | st.integers(-2, 70_000) | st.integers() | st.floats() | TEXTS | st.just(datetime.date(2026, 1, 1))
)
VALUES = (
    SCALARS | st.lists(SCALARS | st.lists(TEXTS, max_size=3), max_size=3) | st.dictionaries(TEXTS, SCALARS, max_size=2)
)


def table_of(name: str) -> st.SearchStrategy[Any]:
    names = st.sampled_from([*keys_of(name), "unknown"])
    return st.dictionaries(names, VALUES, max_size=6)


DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        **{name: table_of(name) | SCALARS for name in TABLES if name != "rooms"},
        "rooms": st.lists(table_of("rooms") | SCALARS, max_size=2) | SCALARS,
        "unknown": VALUES,
    },
)


@given(DOCUMENTS)
def test_it_refuses_what_msgspec_refuses(document: dict[str, Any]) -> None:
    problems = check_values(document)
    assert all("\n" not in text and text for _, text in problems)
    # msgspec knows no rules of rooms, takes 1.0 for a whole number, and has no own limit for numbers of `Config`.
    if problems and all(path[-1] in RULES for path, _ in problems):
        return
    try:
        msgspec.convert(document, Settings)
    except msgspec.ValidationError:
        if not problems:
            # `Config` compiles it.
            assert [path for path, _ in to_settings(document)[1]] == [("limits", "room_name")]
    else:
        assert all("whole number" in text or "finite" in text or path[-1] in RULES for path, text in problems)


@given(DOCUMENTS)
def test_a_document_becomes_settings_or_problems(document: dict[str, Any]) -> None:
    settings, problems = to_settings(document)
    assert (settings is None) is bool(problems)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        ("a\n", '"a\\n"'),
        ("x" * 200, '"' + "x" * 99 + "..."),
        (1.5, "1.5"),
        (math.inf, "inf"),
        (10**300, "a number of 997 bits"),
        ([], "a list"),
        ({}, "a table"),
        (datetime.time(1), "a time"),
        (datetime.datetime(2026, 1, 1), "a date and time"),
    ],
)
def test_values_in_errors_are_those_of_the_file(value: Any, text: str) -> None:
    assert shown(value) == text


def test_names_of_paths() -> None:
    assert name_of(("rooms", 0, "delivery")) == "rooms[0].delivery"
    assert name_of(()) == ""


def test_a_key_of_the_admin_api_at_the_wrong_place_is_not_shown() -> None:
    (found,) = check_values({"admin": {"keys": {"k" * 20: ["read"]}, "hush-hush-hush-hush": ["read"]}})
    assert found.text == "there is a name below [admin] that is no setting: API keys belong into [admin.keys]"
