"""Which pages may use the fallback transports, and what browsers are told."""

from __future__ import annotations

import pytest
from helpers.fallback import Fallback, asked, http
from helpers.serving import Book
from helpers.site import site
from helpers.wire import Response
from starlette.requests import Request
from starlette.responses import PlainTextResponse

import fanwire

PAGE = "https://page.example"
TRANSPORTS = pytest.mark.parametrize("transport", ["sse", "long-poll"])


def told(answer: Response) -> dict[str, str]:
    """The headers of CORS in an answer."""
    return {
        name: value for name, value in answer.headers.items() if name.startswith("access-control-") or name == "vary"
    }


ALLOWED = {
    "access-control-allow-origin": PAGE,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "retry-after",
    "vary": "origin",
}
ANY = {"access-control-allow-origin": "*", "access-control-expose-headers": "retry-after"}


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name: value.lower() for name, value in headers.items()}


@TRANSPORTS
@pytest.mark.parametrize(("origins", "expected"), [(None, ANY), ([PAGE], ALLOWED)])
async def test_all_answers_to_a_page(transport: str, origins: list[str] | None, expected: dict[str, str]) -> None:
    async with Book({"poll_timeout": 0.01}, origins=origins) as server, Fallback(server.port, transport) as client:
        client.headers["Origin"] = PAGE
        await client.open()
        answers = [
            client.opening,
            await client.post({"type": "ping"}),
            await client.post({"type": "ping"}, number=9),
            await client.poll(),
            await client.ask("DELETE", ""),
            await asked(server.port, "POST", f"/?link={client.link[:-1]}x&number=1", Origin=PAGE),
            await asked(server.port, "GET", f"/?transport={transport}&protocol=unknown", Origin=PAGE),
        ]
        assert [lower(told(answer)) for answer in answers] == [lower(expected)] * len(answers)
        assert [answer.status for answer in answers][1:3] == [204, 409]


@TRANSPORTS
async def test_a_page_of_another_origin(transport: str) -> None:
    async with Book(origins=[PAGE]) as server, Fallback(server.port, transport) as client:
        await client.open()
        answers = [
            await asked(server.port, "GET", f"/?transport={transport}&protocol=fanwire.v1.json", Origin="https://b"),
            await asked(server.port, "POST", f"/?link={client.link}&number=1", Origin="https://b"),
            await asked(server.port, "GET", f"/?link={client.link}&received=0", Origin="null"),
            await asked(
                server.port, "OPTIONS", f"/?link={client.link}&number=1", Origin="https://b",
                Access_Control_Request_Method="POST",
            ),
        ]  # fmt: skip
        assert [(answer.status, told(answer)) for answer in answers] == [(403, {})] * 4
        await client.say({"type": "ping"})


@TRANSPORTS
async def test_another_host(transport: str) -> None:
    async with Book(hosts=["localhost"]) as server, Fallback(server.port, transport) as client:
        await client.open()
        for method, target in (
            ("GET", f"/?transport={transport}&protocol=fanwire.v1.json"), ("POST", f"/?link={client.link}&number=1"),
        ):  # fmt: skip
            answer = await asked(server.port, method, target, Host="evil.example")
            assert (answer.status, told(answer)) == (421, {})


async def test_preflights() -> None:
    async with Book(origins=[PAGE]) as server, await server.dial() as peer:
        for target in ("/?transport=sse&protocol=fanwire.v1.json", "/rooms/a", "/any?link=0." + "x" * 32):
            await peer.send(
                http("OPTIONS", target, Origin=PAGE, Access_Control_Request_Method="GET",
                     Access_Control_Request_Headers="authorization")
            )  # fmt: skip
            answer = await peer.response()
            assert (answer.status, answer.headers["access-control-max-age"]) == (204, "7200")
            assert answer.headers["access-control-allow-origin"] == PAGE
            assert answer.headers["access-control-allow-methods"] == "GET, POST"
            assert "authorization" in answer.headers["access-control-allow-headers"]


async def test_a_refusal_by_authenticate_is_told_to_the_page() -> None:
    def identify(request: fanwire.Request) -> fanwire.Identity:
        raise fanwire.Refused(429, "no", retry_after=7)

    async with Book(authenticate=identify, origins=[PAGE]) as server:
        answer = await asked(server.port, "GET", "/?transport=sse&protocol=fanwire.v1.json", Origin=PAGE)
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        assert lower(told(answer)) == lower(ALLOWED)


async def test_cookies_of_pages_from_everywhere_are_ignored() -> None:
    def identify(request: fanwire.Request) -> fanwire.Identity:
        return fanwire.Identity(subject=request.cookie("id") or "guest")

    async with Book(authenticate=identify) as server:
        target = "/?transport=sse&protocol=fanwire.v1.json"
        foreign = await asked(server.port, "GET", target, Cookie="id=ann", Origin=PAGE)
        assert foreign.status == 403
        own = await asked(server.port, "GET", target, Cookie="id=ann", Origin="http://localhost", Host="localhost")
        assert own.status == 200


async def link(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.method} {request.query_params.get('link')}")


async def test_the_routes_of_an_application_stay_its_own() -> None:
    async with Book(app=site(get_a=link, post_a=link, options_a=link)) as server:
        client = Fallback(server.port, path="/fanwire/any")
        async with client:
            await client.open()
            await client.say({"type": "ping"})
            assert (await client.hear_type("pong"))["type"] == "pong"
        for method in ("GET", "POST", "OPTIONS"):
            for value in ("x", client.link, "https%3A%2F%2Fa.example"):
                answer = await asked(
                    server.port, method, f"/a?link={value}&transport=sse", Origin=PAGE,
                    Access_Control_Request_Method="POST",
                )  # fmt: skip
                assert (answer.status, told(answer)) == (200, {})
                assert answer.body.decode().startswith(f"{method} ")


async def test_an_application_at_the_root() -> None:
    async with Book(app=site(get_a=link, post_a=link), mount="") as server:
        async with Fallback(server.port, path="/any") as client:
            await client.open()
            await client.say({"type": "ping"})
        for value in ("x", "a.b", "https%3A%2F%2Fa.example"):
            assert (await asked(server.port, "POST", f"/a?link={value}")).body.startswith(b"POST ")


async def test_the_browser_client() -> None:
    async with Book(origins=[PAGE]) as server, await server.dial() as peer:
        await peer.send(http("GET", "/fanwire.js", Origin="https://b"))
        answer = await peer.response()
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "*")
        assert answer.headers["content-type"].startswith("text/javascript")
        await peer.send(http("GET", "/fanwire.js", If_None_Match=answer.headers["etag"]))
        assert (await peer.response()).status == 304
        await peer.send(http("POST", "/fanwire.js"))
        assert (await peer.response()).status == 405
    async with Book(app=site(get_a=link)) as server:
        assert (await asked(server.port, "GET", "/fanwire/fanwire.js")).status == 200
        assert (await asked(server.port, "GET", "/fanwire.js")).status == 404
