"""Asking the application who a client is."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from fanwire.authentication import Authentication
from fanwire.errors import Refused
from fanwire.identity import Identity
from fanwire.request import Head, Request

REQUEST = Request(Head(b"GET", b"/a", "1.1", []), "192.0.2.1", False)


def answering(answer: Any, *, is_async: bool, timeout: float = 5.0, leeway: float = 10.0) -> Authentication:
    def say(request: Request) -> Any:
        assert request is REQUEST
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def say_later(request: Request) -> Any:
        await asyncio.sleep(0)
        return say(request)

    return Authentication(say_later if is_async else say, timeout, leeway)


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_it_says_is_who_it_is(is_async: bool) -> None:
    for identity in ("ann", None, {"sub": "ann"}, Identity(subject="ann", expires=time.time() + 60)):
        assert await answering(identity, is_async=is_async).ask(REQUEST) is identity


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_refusal_may_be_raised_or_returned(is_async: bool) -> None:
    refused = Refused(403, "why")
    with pytest.raises(Refused) as got:
        await answering(refused, is_async=is_async).ask(REQUEST)
    assert got.value is refused

    with pytest.raises(Refused) as got:
        await Authentication(lambda request: refused, 1.0, 0.0).ask(REQUEST)
    assert got.value is refused


@pytest.mark.parametrize("is_async", [False, True])
async def test_other_errors_come_out_as_they_are(is_async: bool) -> None:
    with pytest.raises(KeyError):
        await answering(KeyError("x"), is_async=is_async).ask(REQUEST)


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_identity_that_has_expired_is_refused_whoever_says_it(is_async: bool) -> None:
    now = time.time()
    for expires in (now - 11, 0.0, -1.0, float("-inf")):
        with pytest.raises(Refused) as refused:
            await answering({"exp": expires}, is_async=is_async).ask(REQUEST)
        assert refused.value.status == 401
    # Clocks differ.
    for expires in (now - 5, now + 5, float("inf")):
        await answering({"exp": expires}, is_async=is_async).ask(REQUEST)


async def test_it_may_not_take_longer_than_it_may() -> None:
    cancelled = asyncio.Event()

    async def hang(request: Request) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(asyncio.TimeoutError):
        await Authentication(hang, 0.01, 0.0).ask(REQUEST)
    assert cancelled.is_set()


async def test_without_it_everybody_is_let_in() -> None:
    nobody = Authentication(None, 1.0, 0.0)
    assert nobody.is_open
    assert await nobody.ask(REQUEST) is None
    assert not answering(None, is_async=False).is_open
