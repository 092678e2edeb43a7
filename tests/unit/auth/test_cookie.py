"""A website's sessions: by its cookie, and of its own pages alone."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.tokens import ask

from fanwire.auth import CookieSession
from fanwire.errors import Refused
from fanwire.identity.identity import Identity
from fanwire.identity.request import Request

ANN = Identity(subject="ann")


def browser(cookies: str, is_origin_allowed: bool = True) -> Request:
    return ask((b"Cookie", cookies.encode()), is_origin_allowed=is_origin_allowed)


def load(value: str) -> Any:
    return {"s1": ANN, "s2": {"sub": "bob"}, "s3": Refused(403, "locked"), "s4": 0}.get(value)


async def test_a_session_is_loaded_by_a_function_or_a_coroutine_function() -> None:
    async def later(value: str) -> Any:
        return load(value)

    for loader in (load, later):
        session = CookieSession("sid", loader)
        assert await session(browser("a=b; sid=s1; c=d")) is ANN
        assert await session(browser("sid=s2")) == {"sub": "bob"}
        # A false value is no session either.
        with pytest.raises(Refused, match="authenticate returned 0") as refused:
            await session(browser("sid=s4"))
        assert refused.value.status == 401
        with pytest.raises(Refused, match="no session for cookie sid") as refused:
            await session(browser("sid=s9"))
        assert refused.value.status == 401
        with pytest.raises(Refused, match="locked") as refused:
            await session(browser("sid=s3"))
        assert refused.value.status == 403


@pytest.mark.parametrize("cookies", ["", "sid", "sid=", 'sid=""', "SID=s1", "xsid=s1", "sid2=s1", "a=sid=s1"])
async def test_no_cookie(cookies: str) -> None:
    with pytest.raises(Refused, match="no cookie sid") as refused:
        await CookieSession("sid", load)(browser(cookies))
    assert refused.value.status == 401


async def test_a_page_of_another_origin() -> None:
    asked: list[str] = []
    with pytest.raises(Refused, match="origin") as refused:
        await CookieSession("sid", asked.append)(browser("sid=s1", is_origin_allowed=False))
    assert refused.value.status == 403
    assert not asked


async def test_a_token_of_a_client_that_is_connected_is_no_cookie() -> None:
    with pytest.raises(Refused, match="no cookie sid"):
        await CookieSession("sid", load)(browser("sid=s1")._with_token("s1"))


async def test_values_have_an_end() -> None:
    asked: list[str] = []
    session = CookieSession("sid", asked.append)
    for length in (4096, 4097):
        with pytest.raises(Refused) as refused:
            await session(browser("sid=" + "x" * length))
        assert refused.value.status == 401
        assert "xx" not in str(refused.value)
    assert [len(value) for value in asked] == [4096]


async def test_values_come_as_they_are_whatever_is_in_them() -> None:
    asked: list[str] = []
    session = CookieSession("sid", asked.append)
    values = ["../../etc/passwd", "' OR 1=1 --", "%00", "a=b", "{json}", "<script>"]
    for value in values:
        with pytest.raises(Refused):
            await session(browser(f"sid={value}"))
    assert asked == values


async def test_a_failure_of_the_application_stays_one() -> None:
    def broken(value: str) -> Any:
        raise KeyError(value)

    async def broken_later(value: str) -> Any:
        raise ConnectionError(value)

    with pytest.raises(KeyError):
        await CookieSession("sid", broken)(browser("sid=s1"))
    with pytest.raises(ConnectionError):
        await CookieSession("sid", broken_later)(browser("sid=s1"))


async def test_a_refusal_that_is_raised() -> None:
    def locked(value: str) -> Any:
        raise Refused(429, "too often", retry_after=7)

    with pytest.raises(Refused, match="too often") as refused:
        await CookieSession("sid", locked)(browser("sid=s1"))
    assert refused.value.retry_after == 7


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "\u00fc", "a\n", '"a"', "a,b"])
def test_names_that_no_cookie_has(name: str) -> None:
    with pytest.raises(ValueError, match=r"^name must"):
        CookieSession(name, load)


def test_names_that_cookies_have() -> None:
    for name in ("sid", "__Host-sid", "a.b_c!#$%&'*+^`|~-9"):
        CookieSession(name, load)
