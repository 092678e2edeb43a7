"""Several authenticators: who is asked next, and what is said in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers.tokens import NOW, SECRET, ask, showing, token

from fanwire.auth import JWT, ApiKeys, Chain, CookieSession, Keys
from fanwire.errors import Refused
from fanwire.identity.identity import ANONYMOUS
from fanwire.identity.request import Request

WAYS = ["function", "coroutine function", "object"]


class Asked(list[str]):
    """Authenticators of every kind, and who of them was asked."""

    def made(self, name: str, answer: Any, way: str = "function") -> Callable[[Request], Any]:
        def plain(request: Request) -> Any:
            self.append(name)
            if isinstance(answer, type):
                raise answer
            return answer

        async def later(request: Request) -> Any:
            return plain(request)

        class Ready:
            async def __call__(self, request: Request) -> Any:
                if isinstance(answer, Refused):
                    plain(request)
                    raise answer
                return plain(request)

        ways: dict[str, Callable[[Request], Any]] = {"function": plain, "coroutine function": later, "object": Ready()}
        return ways[way]


@pytest.mark.parametrize("way", WAYS)
async def test_the_first_that_lets_somebody_in_wins(way: str) -> None:
    asked = Asked()
    chain = Chain(
        asked.made("a", Refused(401, "not a"), way),
        asked.made("b", Refused(503, "not now"), way),
        asked.made("c", "ann", way),
        asked.made("d", "bob", way),
    )
    assert await chain(ask()) == "ann"
    assert asked == ["a", "b", "c"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [403, 404, 429])
async def test_a_refusal_for_good_is_the_end(status: int, way: str) -> None:
    asked = Asked()
    no = Refused(status, "no", retry_after=3)
    chain = Chain(asked.made("a", Refused(401), way), asked.made("b", no, way), asked.made("c", "ann", way))
    with pytest.raises(Refused) as refused:
        await chain(ask())
    assert refused.value is no
    assert asked == ["a", "b"]


@pytest.mark.parametrize("way", WAYS)
async def test_all_reasons_are_told(way: str) -> None:
    asked = Asked()
    chain = Chain(asked.made("a", Refused(401, "no token"), way), asked.made("b", Refused(401, "x" * 10_000), way))
    with pytest.raises(Refused) as refused:
        await chain(ask())
    assert refused.value.status == 401
    assert refused.value.retry_after is None
    assert str(refused.value) == "no token; " + "x" * 200


async def test_one_who_could_not_say_may_have_let_it_in() -> None:
    asked = Asked()
    chain = Chain(
        asked.made("a", Refused(503, "no keys", retry_after=5)),
        asked.made("b", Refused(503, "no keys either", retry_after=9)),
        asked.made("c", Refused(401, "no API key")),
    )
    with pytest.raises(Refused) as refused:
        await chain(ask())
    assert (refused.value.status, refused.value.retry_after) == (503, 5)
    assert str(refused.value) == "no keys; no keys either; no API key"


async def test_a_failure_is_none_of_its_business() -> None:
    asked = Asked()
    with pytest.raises(KeyError):
        await Chain(asked.made("a", KeyError), asked.made("b", "ann"))(ask())
    assert asked == ["a"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", [None, False, "", 0, {}])
async def test_a_false_answer_lets_nobody_in_and_the_next_is_asked(answer: Any, way: str) -> None:
    asked = Asked()
    assert await Chain(asked.made("a", answer, way), asked.made("b", "ann", way))(ask()) == "ann"
    assert asked == ["a", "b"]
    with pytest.raises(Refused, match="authenticate returned") as refused:
        await Chain(asked.made("a", answer, way))(ask())
    assert refused.value.status == 401


async def test_a_client_without_an_identity_is_let_in_where_that_is_said() -> None:
    assert await Chain(lambda request: None, lambda request: ANONYMOUS)(ask()) is ANONYMOUS


async def test_true_is_nobody() -> None:
    with pytest.raises(TypeError, match="authenticate must return an identity"):
        await Chain(lambda request: True)(ask())


def test_what_is_no_authenticator() -> None:
    with pytest.raises(TypeError, match="each authenticator of a Chain must be a function, got 'secret'"):
        Chain("secret")


async def test_chains_in_chains() -> None:
    asked = Asked()
    inner = Chain(asked.made("a", Refused(401, "a")), asked.made("b", Refused(401, "b")))
    with pytest.raises(Refused, match=r"^a; b; c$"):
        await Chain(inner, asked.made("c", Refused(401, "c")))(ask())


async def test_the_ready_made_ones_together() -> None:
    tokens = JWT(Keys.secret(SECRET), algorithms=["HS256"], clock=lambda: NOW)
    keys = ApiKeys({"feed": "k" * 16})
    chain = Chain(tokens, keys, CookieSession("sid", lambda value: {"sub": value}))
    assert (await chain(showing(token()))).subject == "ann"
    assert (await chain(showing("k" * 16))).subject == "feed"
    assert await chain(ask((b"Cookie", b"sid=bob"), is_origin_allowed=True)) == {"sub": "bob"}
    with pytest.raises(Refused, match=r"^no token; no API key; no cookie sid$"):
        await chain(ask())
    with pytest.raises(Refused, match=r"^a token must have three parts .*; unknown API key; no cookie sid$"):
        await chain(showing("guess"))
    # A page of another origin with somebody's cookie.
    with pytest.raises(Refused, match="origin") as refused:
        await chain(ask((b"Cookie", b"sid=bob")))
    assert refused.value.status == 403


async def test_several_issuers() -> None:
    secrets = {"one": "1" * 32, "two": "2" * 32}
    authenticators = [
        JWT(Keys.secret(key), algorithms=["HS256"], issuer=who, clock=lambda: NOW) for who, key in secrets.items()
    ]
    chain = Chain(*authenticators)
    for who, key in secrets.items():
        assert (await chain(showing(token(key, iss=who)))).claims["iss"] == who
    # Each vouches for its own alone.
    for who, key in (("one", secrets["two"]), ("two", secrets["one"])):
        with pytest.raises(Refused, match="Signature verification failed"):
            await chain(showing(token(key, iss=who)))


def test_a_chain_of_nobody() -> None:
    with pytest.raises(ValueError, match="at least one authenticator"):
        Chain()
