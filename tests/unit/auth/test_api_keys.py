"""API keys: who has one is let in, and how long a no takes says nothing."""

from __future__ import annotations

import hmac
import logging
from typing import Any

import pytest
from helpers.tokens import ask, showing

from fanwire.auth import ApiKeys
from fanwire.errors import Refused

KEY, OTHER = "k-0123456789abcdef", "k-0123456789abcdeg"


async def test_the_holder_of_a_key_is_let_in_by_its_name() -> None:
    keys = ApiKeys({"feed": KEY, "bot": (OTHER, ["read", "publish"])}, rate=10)
    feed, bot = await keys(showing(KEY)), await keys(showing(OTHER))
    assert (feed.subject, feed.scopes, feed.expires, feed.rate) == ("feed", frozenset(), None, 10)
    assert (bot.subject, bot.scopes, bot.rate) == ("bot", {"read", "publish"}, 10)
    # A key is no claim, and nobody sees it again.
    assert KEY not in repr(feed)


async def test_where_keys_are_looked_for() -> None:
    keys = ApiKeys({"feed": KEY})
    assert await keys(ask((b"Sec-WebSocket-Protocol", b"fanwire.token." + KEY.encode())))
    assert await keys(ask()._with_token(KEY))
    with pytest.raises(Refused, match="no API key"):
        await keys(ask(target=b"/?token=" + KEY.encode()))
    assert await ApiKeys({"feed": KEY}, credentials=["query"])(ask(target=b"/?token=" + KEY.encode()))


@pytest.mark.parametrize(
    "shown",
    [
        KEY[:-1],
        KEY + "x",
        KEY.upper(),
        OTHER,
        "feed",
        "x",
        "a b",
        "\u00fc",
        KEY + "\u0000",
        KEY[:-1] + "\uff46",
        "\ud800",
        "a" * 4097,
        "a" * 1_000_000,
    ],
)
async def test_what_is_no_key(shown: str) -> None:
    with pytest.raises(Refused) as refused:
        await ApiKeys({"feed": KEY})(ask()._with_token(shown))
    assert refused.value.status == 401
    assert str(refused.value) == "unknown API key"


async def test_no_key_at_all() -> None:
    for request in (ask(), showing(""), ask((b"Authorization", b"Basic " + KEY.encode()))):
        with pytest.raises(Refused, match="no API key") as refused:
            await ApiKeys({"feed": KEY})(request)
        assert refused.value.status == 401


async def test_every_key_is_compared_in_constant_time_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    def compare(one: bytes, two: bytes) -> bool:
        compared.append(len(one))
        assert len(one) == len(two)
        return digest(one, two)

    digest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    keys = ApiKeys({f"key {number}": f"{KEY}{number}" for number in range(10)})
    for shown in (f"{KEY}0", f"{KEY}9", "x", "y" * 4096):
        compared.clear()
        try:
            await keys(showing(shown))
        except Refused:
            assert not shown.startswith(KEY)
        assert compared == [32] * 10


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({}, "keys must not be empty"),
        ({"feed": ""}, "'feed' must be 1 to 4096 printable"),
        ({"feed": "a b"}, "printable"),
        ({"feed": KEY + "\n"}, "printable"),
        ({"feed": "\u00fc" * 16}, "printable"),
        ({"feed": "\x7f" * 16}, "printable"),
        ({"feed": "a" * 4097}, "printable"),
        ({"": KEY}, "the name of an API key must not be empty"),
        ({"feed": KEY, "bot": KEY}, "'bot' and 'feed' must not be the same"),
    ],
)
def test_keys_that_cannot_be(keys: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        ApiKeys(keys)
    assert KEY not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"keys": KEY}, "keys must be a mapping of names to keys, got str"),
        ({"keys": [KEY]}, "keys must be a mapping of names to keys, got list"),
        ({"keys": {"feed": 7}}, "API key 'feed' must be a str, or a tuple of a str and scopes, got int"),
        ({"keys": {"feed": KEY.encode()}}, "API key 'feed' must be"),
        ({"keys": {7: KEY}}, "the name of an API key must be a str, got 7"),
        (
            {"keys": {"feed": (KEY, "publish")}},
            "the scopes of API key 'feed' must be a list of str, .*wrap it in a list",
        ),
        ({"keys": {"feed": (KEY, [7])}}, "the scopes of API key 'feed' must be a list of str"),
        ({"keys": {"feed": KEY}, "rate": "10"}, "rate must be a number, got '10'"),
        ({"keys": {"feed": KEY}, "credentials": "header"}, "credentials must be a list of str, .*wrap it in a list"),
    ],
)
def test_arguments_of_the_wrong_type(arguments: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason) as error:
        ApiKeys(**arguments)
    assert KEY not in str(error.value)


def test_sources_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="cookie:NAME"):
        ApiKeys({"feed": KEY}, credentials=["body"])


async def test_a_short_key_is_good_and_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    keys = ApiKeys({"feed": "secret"})
    assert (await keys(showing("secret"))).subject == "feed"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "'feed'" in caplog.text
    assert "secret" not in caplog.text
    caplog.clear()
    ApiKeys({"feed": "a" * 16})
    assert not caplog.records
