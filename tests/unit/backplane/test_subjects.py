"""Names as tokens: each has one, none has another's, and none means more to NATS than itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fanwire.backplane.subjects import name_of, token_of

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("a", "a"),
        ("AZaz09-_", "AZaz09-_"),
        ("a.b", "a=2Eb"),
        ("*", "=2A"),
        (">", "=3E"),
        ("=", "=3D"),
        ("a=2Eb", "a=3D2Eb"),
        (" \t\n\0\x7f", "=20=09=0A=00=7F"),
        ("$JS", "=24JS"),
        ("ä☃", "=C3=A4=E2=98=83"),
        ("\u00a0", "=C2=A0"),
    ],
)
def test_tokens(name: str, token: str) -> None:
    assert token_of(name) == token
    assert name_of(token) == name


@given(NAMES)
@example("a\n")
@example("a.")
@example("\u2028")
def test_every_name_comes_back_and_its_token_is_plain(name: str) -> None:
    token = token_of(name)
    assert re.fullmatch(r"[A-Za-z0-9_=-]+\Z", token)
    assert name_of(token) == name


@given(NAMES, NAMES)
@example("a.b", "a=2Eb")
@example("a", "a\n")
def test_two_names_never_share_a_token(one: str, two: str) -> None:
    assert (token_of(one) == token_of(two)) == (one == two)


def test_tokens_are_no_longer_than_three_times_the_name() -> None:
    assert len(token_of("\x01" * 255)) == 3 * 255


@pytest.mark.parametrize("name", ["", "\ud800", "a\udfff"])
def test_what_has_no_token(name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - also that of the codec
        token_of(name)


@pytest.mark.parametrize(
    "token", ["", ".", "a.b", "*", ">", "a b", "a\n", "=", "=2", "=2e", "=GG", "==41", "ä", "\ud800", "=C3", "=FF=FF"]
)
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - also that of the codec
        name_of(token)


@given(st.text(max_size=20))
def test_any_text_is_a_token_or_a_value_error(text: str) -> None:
    try:
        name = name_of(text)
    except ValueError:
        return
    assert name
