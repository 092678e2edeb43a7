"""Asking the application who a client is."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import date
from inspect import iscoroutine
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from starlette.responses import Response

from fanwire.errors import Refused
from fanwire.identity.authentication import Authentication, AuthenticationFailed
from fanwire.identity.identity import ANONYMOUS, Identity
from fanwire.identity.request import Request

REQUEST = Request(b"/a", b"", "192.0.2.1", False)


def answering(answer: Any, *, is_async: bool, timeout: float = 5.0, leeway: float = 10.0) -> Authentication:
    def say(request: Request) -> Any:
        assert request is REQUEST
        if isinstance(answer, BaseException) and not isinstance(answer, Refused):
            raise answer
        return answer

    async def say_later(request: Request) -> Any:
        await asyncio.sleep(0)
        return say(request)

    return Authentication(say_later if is_async else say, timeout, leeway)


async def ask(authentication: Authentication) -> Any:
    answer = authentication.ask(REQUEST)
    return await answer if iscoroutine(answer) else answer


@pytest.mark.parametrize("is_async", [False, True])
async def test_only_one_that_waits_is_waited_for(is_async: bool) -> None:
    answer = answering("ann", is_async=is_async).ask(REQUEST)
    assert iscoroutine(answer) is is_async
    assert (await answer if is_async else answer) == "ann"


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_it_says_is_who_it_is(is_async: bool) -> None:
    for identity in ("ann", 7, {"sub": "ann"}, UUID(int=7), Identity(subject="ann", expires=time.time() + 60)):
        assert await ask(answering(identity, is_async=is_async)) is identity


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_refusal_may_be_raised_or_returned(is_async: bool) -> None:
    refused = Refused(403, "why")
    with pytest.raises(Refused) as got:
        await ask(answering(refused, is_async=is_async))
    assert got.value is refused

    with pytest.raises(Refused) as got:
        await ask(Authentication(lambda request: refused, 1.0, 0.0))
    assert got.value is refused


@pytest.mark.parametrize("is_async", [False, True])
async def test_other_errors_come_out_as_they_are(is_async: bool) -> None:
    with pytest.raises(KeyError):
        await ask(answering(KeyError("x"), is_async=is_async))


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_identity_that_has_expired_is_refused_whoever_says_it(is_async: bool) -> None:
    now = time.time()
    for expires in (now - 11, 0.0, -1.0, float("-inf")):
        with pytest.raises(Refused) as refused:
            await ask(answering({"sub": "ann", "exp": expires}, is_async=is_async))
        assert refused.value.status == 401
    # Clocks differ.
    for expires in (now - 5, now + 5, float("inf")):
        await ask(answering({"sub": "ann", "exp": expires}, is_async=is_async))


async def test_it_may_not_take_longer_than_it_may() -> None:
    cancelled = asyncio.Event()

    async def hang(request: Request) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(asyncio.TimeoutError):
        await ask(Authentication(hang, 0.01, 0.0))
    assert cancelled.is_set()


@pytest.mark.parametrize("is_async", [False, True])
async def test_anonymous_is_said_explicitly(is_async: bool) -> None:
    assert await ask(answering(ANONYMOUS, is_async=is_async)) is None


class Empty(dict[str, str]):
    """A session of a web framework that has nothing in it."""


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("answer", [None, False, "", 0, 0.0, {}, [], (), b"", frozenset(), Empty()])
async def test_a_false_answer_is_a_refusal(answer: Any, is_async: bool) -> None:
    with pytest.raises(Refused, match="authenticate returned") as refused:
        await ask(answering(answer, is_async=is_async))
    assert refused.value.status == 401


@pytest.mark.parametrize(
    "identity",
    [
        {"sub": ""},
        {"sub": None},
        {"id": None, "name": ""},
        {"subject": "", "sub": "bob"},
        SimpleNamespace(subject=""),
        SimpleNamespace(id=None, is_authenticated=False),
    ],
)
async def test_an_identity_of_nobody_is_a_refusal(identity: Any) -> None:
    with pytest.raises(Refused, match="an empty subject") as refused:
        await ask(answering(identity, is_async=False))
    assert refused.value.status == 401


class Opaque:
    """Nothing tells one from another."""


def words() -> Iterator[str]:
    yield "ann"


async def later() -> str:
    return "ann"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: True,
        lambda: Opaque(),
        lambda: Opaque,
        lambda: Refused,
        lambda: len,
        lambda: words,
        lambda: words(),
        lambda: REQUEST.cookie,
        lambda: NotImplemented,
        lambda: {"error": "the token has expired"},
        lambda: Response(status_code=401),
        lambda: (False, None),
        lambda: ["ann"],
        lambda: {"ann"},
        lambda: b"ann",
        lambda: 1.5,
        lambda: date(2026, 11, 28),
        lambda: sys,
        lambda: np.bool_(True),
        lambda: {"sub": object()},
        lambda: {"sub": date(2026, 11, 28)},
        lambda: {"sub": True},
        lambda: {"sub": b"ann"},
        lambda: {"sub": ["ann"]},
        lambda: {"sub": "ann", "exp": "soon"},
        lambda: {"sub": "ann", "scopes": ["a", 7]},
        lambda: {"sub": "ann", "scopes": 7},
        lambda: {"sub": "ann", "rate": "10"},
    ],
)
async def test_what_can_be_no_identity_lets_nobody_in(make: Any, is_async: bool) -> None:
    with pytest.raises(TypeError):
        await ask(answering(make(), is_async=is_async))


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("identity", ["\ud800", {"sub": "\ud800"}])
async def test_a_subject_that_nothing_can_carry_lets_nobody_in(identity: Any, is_async: bool) -> None:
    with pytest.raises(ValueError, match="subject of an identity must be Unicode text"):
        await ask(answering(identity, is_async=is_async))


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("field", ["subject", "exp", "scopes", "rate"])
async def test_whatever_an_identity_raises_when_it_is_read_fails_one_handshake(
    field: str, error: type[BaseException]
) -> None:
    def read(identity: Any) -> Any:
        raise error

    user = type("User", (), {"__repr__": lambda self: "ann", field: property(read)})
    with pytest.raises(AuthenticationFailed):
        await ask(Authentication(lambda request: user(), 1.0, 0.0))


async def test_an_exception_that_is_returned_is_no_identity() -> None:
    with pytest.raises(TypeError, match="authenticate must return an identity"):
        await ask(Authentication(lambda request: PermissionError("no"), 1.0, 0.0))


async def test_a_coroutine_of_a_coroutine_is_no_identity() -> None:
    inner = later()

    async def outer(request: Request) -> Any:
        return inner

    with pytest.raises(TypeError, match="authenticate must return an identity"):
        await ask(Authentication(outer, 1.0, 0.0))
    inner.close()


class PanicException(BaseException):
    """As PyO3 has one."""


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), PanicException("x"), asyncio.CancelledError()]
)
async def test_what_is_no_exception_becomes_one(error: BaseException, is_async: bool) -> None:
    with pytest.raises(AuthenticationFailed, match=type(error).__name__):
        await ask(answering(error, is_async=is_async))


async def test_a_cancellation_of_the_call_stays_one() -> None:
    started = asyncio.Event()

    async def hang(request: Request) -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(ask(Authentication(hang, 5.0, 0.0)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_without_it_everybody_is_let_in() -> None:
    assert Authentication(None, 1.0, 0.0).ask(REQUEST) is None
