"""Where keys come from: files that change, and a provider that is slow, ill, gone, or has other keys by now."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.key_provider import UNKNOWN, Clock, Provider, ask, jwt_of
from helpers.tokens import jwk, jwks
from helpers.wait import until, within

from fanwire.auth import JWT, Keys

# A provider that is well.


async def test_a_set_is_fetched_with_the_first_token_and_used_for_the_next() -> None:
    async with Provider().listens() as provider:
        clock = Clock()
        authenticator = jwt_of(provider, clock)
        assert provider.asked == 0
        for _ in range(3):
            assert await ask(authenticator) == "ann"
        clock.now += 299
        assert await ask(authenticator) == "ann"
        assert provider.asked == 1
        clock.now += 1
        for _ in range(3):
            assert await ask(authenticator) == "ann"
        assert provider.asked == 2


async def test_a_thousand_at_once_make_one_fetch() -> None:
    async with Provider().listens() as provider:
        authenticator = jwt_of(provider, Clock())
        provider.gate.clear()
        waiting = [asyncio.create_task(ask(authenticator)) for _ in range(1000)]
        await until(lambda: provider.asked)
        # Some give up, the first among them.
        for task in waiting[::3]:
            task.cancel()
        provider.gate.set()
        answers = await within(asyncio.gather(*waiting, return_exceptions=True))
        assert {answer for answer in answers if isinstance(answer, str)} == {"ann"}
        assert sum(answer == "ann" for answer in answers) == 666
        assert provider.asked == 1


async def test_new_keys() -> None:
    async with Provider().listens() as provider:
        clock = Clock()
        authenticator = jwt_of(provider, clock)
        assert await ask(authenticator) == "ann"
        provider.text = jwks(jwk("P-256", "b", 1))
        # Not yet: a fetch for each name that somebody makes up would be one for each handshake.
        clock.now += 29
        assert await ask(authenticator, "b", 1) == UNKNOWN
        assert provider.asked == 1
        clock.now += 1
        assert await ask(authenticator, "b", 1) == "ann"
        assert await ask(authenticator, "b", 1) == "ann"
        # The old one is gone with the old set.
        assert await ask(authenticator) == "401: no key for kid 'a' and ES256"
        assert provider.asked == 2


async def test_a_key_that_was_withdrawn_is_good_no_longer_than_the_lifespan() -> None:
    async with Provider().listens() as provider:
        clock = Clock()
        authenticator = jwt_of(provider, clock, lifespan=60)
        assert await ask(authenticator) == "ann"
        provider.text = jwks(jwk("P-256", "b", 1))
        clock.now += 59
        assert await ask(authenticator) == "ann"
        clock.now += 3600
        assert await ask(authenticator) == "401: no key for kid 'a' and ES256"


async def test_names_that_nobody_knows_are_asked_for_once_in_a_while() -> None:
    async with Provider().listens() as provider:
        clock = Clock()
        authenticator = jwt_of(provider, clock, cooldown=10)
        for _ in range(100):
            await asyncio.gather(*(ask(authenticator, f"made up {number}") for number in range(10)))
            clock.now += 1
        # The first for want of any, then one in ten seconds.
        assert provider.asked == 10


async def test_the_keys_of_one_source_are_not_those_of_another() -> None:
    async with Provider().listens() as one, Provider().listens() as two:
        two.text = jwks(jwk("P-256", "a", 1))
        clock = Clock()
        first, second = jwt_of(one, clock), jwt_of(two, clock)
        assert await ask(first) == await ask(second, number=1) == "ann"
        assert await ask(first, number=1) == "401: Signature verification failed"
        assert await ask(second) == "401: Signature verification failed"


async def test_keys_that_do_not_fit_are_left_out() -> None:
    async with Provider().listens() as provider:
        entries = [
            jwk("RSA", "a"),
            jwk("oct", "a"),
            jwk("P-256", "a", use="enc"),
            jwk("P-384", "a"),
            jwk("P-256", "a", 1),
        ]
        provider.text = jwks(*entries)
        authenticator = jwt_of(provider, Clock())
        assert await ask(authenticator, number=1) == "ann"
        assert await ask(authenticator) == "401: Signature verification failed"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keys.json",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://login.example.com/keys",
        "http://login.example.com/keys",
        "http://127.0.0.1.example.com/keys",
        "http://localhost.example.com/keys",
        "http://192.0.2.1/keys",
        "http://0.0.0.0/keys",
        "http://[2001:db8::1]/keys",
        "http://127.0.0.1@login.example.com/keys",
        "http://127.0.0.1:80@login.example.com/keys",
        "http://login.example.com\\@127.0.0.1/keys",
        "http://2130706433/keys",
        "https://user:secret@login.example.com/keys",
        "https://user@login.example.com/keys",
        "https:///keys",
        "https://:443/keys",
        "//login.example.com/keys",
        "javascript:alert(1)",
    ],
)
def test_urls_that_keys_do_not_come_from(url: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - each case has a text of its own
        Keys.url(url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.com/keys?version=1",
        "HTTPS://login.example.com",
        "http://127.0.0.1:1/keys",
        "http://127.1.2.3/keys",
        "http://localhost/keys",
        "http://LOCALHOST/keys",
        "http://[::1]:8080/keys",
    ],
)
def test_urls_that_keys_may_come_from(url: str) -> None:
    assert Keys.url(url).find("a", "ES256") is None


@pytest.mark.parametrize("options", [{"lifespan": 0}, {"cooldown": 0}, {"timeout": 0}, {"max_stale": 299}])
def test_times_that_cannot_be_right(options: dict[str, float]) -> None:
    with pytest.raises(
        ValueError, match=r"(lifespan|cooldown|timeout) must be more than 0, got 0|max_stale must be at"
    ):
        Keys.url("https://login.example.com", **options)


@pytest.mark.parametrize("name", ["lifespan", "cooldown", "timeout", "max_stale"])
@pytest.mark.parametrize("value", ["300", None, True, float("nan"), float("inf"), -1])
def test_times_are_numbers(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"{name} must be "):
        Keys.url("https://login.example.com", **{name: value})


@pytest.mark.parametrize("value", [None, 7, "", b"", ["x"]])
def test_secrets_and_keys_are_texts_or_bytes(value: Any) -> None:
    for make in (Keys.secret, Keys.pem):
        with pytest.raises((TypeError, ValueError), match=r"(secret|text) must "):
            make(value)


def test_secrets_do_not_come_from_a_url() -> None:
    with pytest.raises(ValueError, match="a URL has public keys only"):
        JWT(Keys.url("https://login.example.com"), algorithms=["HS256"])


@pytest.mark.logs_errors
async def test_a_key_in_the_url_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with Provider().listens() as provider:
        provider.status = 500
        keys = Keys.url(provider.url + "?key=hidden#hidden")
        answer = await ask(JWT(keys, algorithms=["ES256"]))
        assert answer.startswith("503")
        assert "hidden" not in answer + caplog.text
