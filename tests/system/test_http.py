"""Plain HTTP on the same port."""

from __future__ import annotations

import asyncio
import json

import pytest
from helpers.serving import Book, take
from helpers.site import site
from helpers.talk import Talk
from helpers.wait import until, within
from helpers.wire import BINARY, FIN, TEXT, Peer, Response, close_frame
from starlette import responses
from starlette.exceptions import HTTPException
from starlette.requests import Request

RIGHT = {"Authorization": "Bearer key-two"}


async def say(peer: Peer, method: str, path: str, head: dict[str, str] | None = None, body: bytes = b"") -> Response:
    """A request on a connection that stays open."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (head or {}).items()]
    await peer.send("\r\n".join([*lines, "", ""]).encode("latin-1"), body)
    return await peer.response()


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/rooms/x", 426), ("/", 404), ("/nothing", 404)]
)
async def test_paths(path: str, status: int) -> None:
    async with Book() as server, await server.dial() as peer:
        response = await say(peer, "GET", path)
        assert response.status == status
        if status == 426:
            assert response.headers["sec-websocket-version"] == "13"
            assert response.headers["upgrade"] == "websocket"
        # The connection is kept for the next request.
        assert (await say(peer, "GET", "/healthz")).status == 200


async def test_not_ready_while_it_drains() -> None:
    async with (
        Book() as server,
        await server.peer() as member,
        await server.dial() as probe,
        await server.dial() as late,
    ):
        assert (await say(probe, "GET", "/readyz")).status == 200
        stop = asyncio.ensure_future(server.stop())
        await member.closed()
        assert (await say(probe, "GET", "/readyz")).status == 503
        assert (await say(probe, "GET", "/healthz")).status == 200
        assert (await say(late, "GET", "/readyz")).status == 503
        await member.send(close_frame(1001))
        await member.end()
        assert await within(stop)


@pytest.mark.parametrize(
    ("keys", "head", "status"),
    [
        ((), RIGHT, 404),
        (("key-one",), {}, 401),
        (("key-one",), RIGHT, 401),
        (("key-one",), {"Authorization": "Bearer "}, 401),
        (("key-one",), {"Authorization": "key-one"}, 401),
        (("key-one",), {"Authorization": "Basic key-one"}, 401),
        (("key-one",), {"Authorization": "Bearer \u00ff\u00fe"}, 401),
        (("key-one", "key-two"), RIGHT, 200),
        (("key-one", "key-two"), {"Authorization": "bearer key-one"}, 200),
    ],
)
async def test_keys(keys: tuple[str, ...], head: dict[str, str], status: int) -> None:
    async with Book(api_keys=keys) as server, await server.peer("/a") as member, await server.dial() as peer:
        assert (await say(peer, "POST", "/rooms/a", head, b"x")).status == status
        server.publish("a", b"end")
        got = [payload async for payload in _until_end(member)]
        assert got == ([b"x"] if status == 200 else [])


async def _until_end(peer: Peer):  # type: ignore[no-untyped-def]
    while (payload := await peer.message()) != b"end":
        yield payload


@pytest.mark.parametrize(
    ("kind", "body", "frame"),
    [
        ("application/octet-stream", b"\x00\xff", (FIN | BINARY, b"\x00\xff")),
        (None, b"\x00\xff", (FIN | BINARY, b"\x00\xff")),
        (None, b"x", (FIN | TEXT, b"x")),
        (None, b'{"x":1}', (FIN | TEXT, b'{"x":1}')),
        ("application/x-www-form-urlencoded", b'{"x":1}', (FIN | TEXT, b'{"x":1}')),
        ("application/x-www-form-urlencoded", b"hello", (FIN | TEXT, b"hello")),
        ("application/ld+json", b"[1]", (FIN | TEXT, b"[1]")),
        ("text/plain; charset=iso-8859-1", b"\xfc", (FIN | TEXT, "\u00fc".encode())),
        ("text/plain; charset=utf-8", "\u00fc".encode(), (FIN | TEXT, "\u00fc".encode())),
        ("application/json", b'{"a": 1}', (FIN | TEXT, b'{"a": 1}')),
        ("text/plain", b"", (FIN | TEXT, b"")),
    ],
)
async def test_the_type_of_the_body_is_that_of_the_message(
    kind: str | None, body: bytes, frame: tuple[int, bytes]
) -> None:
    async with Book(api_keys=["key-two"]) as server, await server.peer("/a") as member, await server.dial() as peer:
        head = {**RIGHT, **({"Content-Type": kind} if kind else {})}
        response = await say(peer, "POST", "/rooms/a", head, body)
        assert (response.status, json.loads(response.body)) == (200, {"seq": 1})
        assert await member.frame() == frame


async def test_the_key_parameter_and_the_name() -> None:
    server = Book(api_keys=["key-two"])
    server.room("q/\u00fc", delivery="latest")
    async with server, await server.dial() as peer:
        for number in range(3):
            assert (await say(peer, "POST", "/rooms/q%2F%C3%BC?key=a%20b", RIGHT, b"%d" % number)).status == 200
        async with server.client() as client:
            server.opened[0].join("q/\u00fc")
            assert await take(client, 1) == ["2"]
            assert server.forget("q/\u00fc", "a b")


@pytest.mark.parametrize(
    ("path", "head", "body", "status"),
    [
        ("/rooms/a?key=x", {}, b"x", 400),
        ("/rooms/" + "x" * 256, {}, b"x", 400),
        ("/rooms/a", {"Content-Type": "text/plain"}, b"\xff", 400),
        ("/rooms/a", {}, bytes(2000), 413),
        ("/rooms/%ff%fe", {}, b"x", 400),
        ("/rooms/%00%0d%0a", {}, b"x", 400),
    ],
)
async def test_bodies_and_names_that_cannot_be(path: str, head: dict[str, str], body: bytes, status: int) -> None:
    async with Book({"max_message": 1000}, api_keys=["key-two"]) as server, await server.dial() as peer:
        assert (await say(peer, "POST", path, {**RIGHT, **head}, body)).status == status


async def test_a_large_body_arrives() -> None:
    async with Book(api_keys=["key-two"]) as server, await server.peer("/a") as member, await server.dial() as peer:
        body = bytes(range(256)) * 3000
        assert (await say(peer, "POST", "/rooms/a", RIGHT, body)).status == 200
        assert await member.frame() == (FIN | BINARY, body)


async def test_the_applications_own_routes() -> None:
    async def hello(asking: Request) -> responses.Response:
        return responses.Response("hello")

    async with Book(app=site(get_hello=hello)) as server, await server.dial() as peer:
        assert (await say(peer, "GET", "/hello")).body == b"hello"


async def test_open_requests_do_not_keep_the_server() -> None:
    started = asyncio.Event()

    async def hang(asking: Request) -> responses.Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    server = Book(app=site(get_hang=hang), mount="")
    async with server, await server.dial() as peer, await server.dial() as idle:
        await say(idle, "GET", "/healthz")
        await peer.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        await within(started.wait())
        assert await within(server.stop())
        await peer.end()
        await idle.end()
    await until(lambda: server.connections == [])


@pytest.mark.parametrize(
    "config", [{"max_connections": 1}, {"max_address_connections": 1}, {"handshake_rate": 0.001, "handshake_burst": 1}]
)
async def test_health_is_told_however_full_the_server_is(config: dict[str, float]) -> None:
    async with Book(config) as server, await server.peer():
        for path in ("/healthz", "/readyz"):
            async with await server.dial() as peer:
                assert (await say(peer, "GET", path)).status == 200
                assert await peer.end() == b""
        async with await server.dial() as peer:
            response = await say(peer, "GET", "/")
            assert response.status in (429, 503)
            assert int(response.headers["retry-after"]) > 0


async def test_plain_http_has_places_of_its_own_among_all() -> None:
    async with Book({"max_http_connections": 1}) as server, await server.dial() as first:
        assert (await say(first, "GET", "/nothing")).status == 404
        async with await server.dial() as second:
            assert (await say(second, "GET", "/nothing")).status == 503
        async with await server.dial() as probe:
            assert (await say(probe, "GET", "/readyz")).status == 200
        async with await server.peer():
            pass
        first.close()
        # Once it is gone, another may come.

        async def is_let_in() -> bool:
            async with await server.dial() as another:
                return (await say(another, "GET", "/nothing")).status == 404

        for _ in range(500):
            if await is_let_in():
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("nobody is let in any more")


async def test_idle_http_counts_against_its_address() -> None:
    async with Book({"max_address_connections": 1}) as server, await server.dial() as first:
        assert (await say(first, "GET", "/nothing")).status == 404
        async with await server.dial() as second:
            assert (await say(second, "GET", "/nothing")).status == 429


async def test_a_body_that_never_comes_has_an_end() -> None:
    server = Book({"http_body_timeout": 0.1}, api_keys=["key-two"])
    async with server, await server.dial() as peer:
        head = "POST /rooms/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-two\r\nContent-Length: 10\r\n\r\nabc"
        await peer.send(head.encode())
        response = await peer.response()
        assert (response.status, json.loads(response.body)["code"]) == (408, "timeout")
        assert limit(server, "http_body_timeout") == 1


async def test_a_body_for_the_application_has_to_go_on() -> None:
    async def take_all(asking: Request) -> responses.Response:
        return responses.Response(str(len(await asking.body())))

    server = Book({"http_body_timeout": 0.2}, app=site(post_upload=take_all))
    async with server, await server.dial() as slow, await server.dial() as still:
        head = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
        await still.send(head + b"abc")
        response = await still.response()
        assert (response.status, json.loads(response.body)["code"]) == (408, "timeout")
        assert await still.end() == b""
        assert limit(server, "http_body_timeout") == 1
        await slow.send(head + b"0123456789")
        assert (await slow.response()).body == b"10"


async def test_an_idle_connection_has_an_end() -> None:
    async with Book({"http_keepalive": 0.1}) as server, await server.dial() as peer, await server.dial() as half:
        assert (await say(peer, "GET", "/nothing")).status == 404
        assert await peer.end() == b""
        # Half of a second request does not keep it.
        assert (await say(half, "GET", "/nothing")).status == 404
        await half.send(b"GET /healthz HT")
        assert await half.end() == b""


async def test_strangers_cannot_keep_out_those_with_a_key() -> None:
    config = {"max_http_connections": 20, "http_reserve": 5, "max_address_http_connections": 0}
    async with Book(config, api_keys=["key-two"]) as server:
        held = [await server.dial() for _ in range(25)]
        statuses = [(await say(peer, "GET", "/nothing")).status for peer in held]
        assert statuses == [404] * 15 + [503] * 10
        async with await server.dial() as publisher, await server.dial() as probe:
            assert (await say(publisher, "POST", "/rooms/a", RIGHT, b"x")).status == 200
            assert (await say(publisher, "POST", "/rooms/a", RIGHT, b"x")).status == 200
            assert (await say(probe, "GET", "/readyz")).status == 200
        assert limit(server, "max_http_connections") == 11
        for peer in held:
            peer.close()


async def test_one_address_cannot_take_all_of_plain_http() -> None:
    async with Book({"max_address_http_connections": 3}, api_keys=["key-two"]) as server:
        held = [await server.dial() for _ in range(5)]
        answers = [await say(peer, "GET", "/nothing") for peer in held]
        assert [answer.status for answer in answers] == [404] * 3 + [429] * 2
        assert int(answers[-1].headers["retry-after"]) > 0
        async with await server.dial() as publisher, await server.dial() as probe:
            assert (await say(publisher, "POST", "/rooms/a", RIGHT, b"x")).status == 200
            assert (await say(probe, "GET", "/healthz")).status == 200
        assert limit(server, "max_address_http_connections") == 3
        for peer in held:
            peer.close()


def limit(server: Book, name: str) -> float:
    """How often a limit was passed."""
    return server.metrics.get_sample_value("fanwire_limit_exceeded_total", {"limit": name}) or 0.0


@pytest.mark.logs_errors
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /rooms/a HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (b"DELETE /rooms/a HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /fails HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n", 500),
        (b"GET /refuses HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"POST /rooms/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 401),
        # How much the application takes is its own affair: it is not read faster than it takes it.
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + bytes(2000), 200),
        (b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /nothing HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
)
async def test_answers_do_not_say_what_the_server_is_made_of(data: bytes, status: int) -> None:
    async def fail(asking: Request) -> responses.Response:
        raise KeyError("password of the database")

    async def refuse(asking: Request) -> responses.Response:
        raise HTTPException(403, "mine")

    async def echo(asking: Request) -> responses.Response:
        return responses.Response(await asking.body())

    app = site(get_fails=fail, get_refuses=refuse, post_echo=echo)
    server = Book({"max_message": 1000}, api_keys=["key-two"], app=app, mount="")
    async with server, await server.dial() as peer:
        await peer.send(data)
        response = await peer.response()
        assert response.status == status
        assert "server" not in response.headers
        told = (str(response.headers) + response.body.decode()).lower()
        for word in ("uvicorn", "starlette", "python", "httptools", "traceback", "password"):
            assert word not in told


async def test_what_an_application_says_of_itself_stays() -> None:
    async def hello(asking: Request) -> responses.Response:
        return responses.Response("hello", headers={"Server": "ours"})

    async with Book(app=site(get_hello=hello)) as server, await server.dial() as peer:
        assert (await say(peer, "GET", "/hello")).headers["server"] == "ours"


async def test_errors_are_documents() -> None:
    async with Book(api_keys=["key-two"]) as server, await server.dial() as peer:
        for method, path, head, body, wanted in (
            ("GET", "/nothing", {}, b"", (404, "not_found", None)),
            ("DELETE", "/rooms/a", {}, b"", (405, "bad_method", None)),
            ("POST", "/rooms/a", {}, b"x", (401, "unauthorized", None)),
            ("POST", "/rooms/a%20b", RIGHT, b"x", (400, "bad_room", "$.room")),
            ("POST", "/rooms/a?kye=1", RIGHT, b"x", (400, "bad_message", "?kye")),
            ("POST", "/rooms/a?key=1", RIGHT, b"x", (400, "bad_message", None)),
            ("POST", "/rooms/a", {**RIGHT, "Content-Type": "application/json"}, b"{", (400, "invalid_payload", "$")),
            (
                "POST",
                "/rooms/a",
                {**RIGHT, "Content-Type": "multipart/form-data"},
                b"",
                (415, "unsupported_type", None),
            ),
            ("POST", "/publish", RIGHT, b"{}", (400, "invalid_payload", "$")),
            ("POST", "/publish?key=a", RIGHT, b"[]", (400, "bad_message", "?")),
            ("POST", "/publish", {}, b"[]", (401, "unauthorized", None)),
        ):
            response = await say(peer, method, path, head, body)
            document = json.loads(response.body)
            assert (response.status, document["code"], document.get("path")) == wanted
            assert document["text"]
            assert document["retry"] is False
            assert response.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_what_curl_sends_by_default_is_json_for_sessions(codec: str) -> None:
    server = Book(api_keys=["key-two"])
    server.room("a")
    async with server, await server.dial() as peer, await Talk.open(server, codec=codec) as talk:
        await talk.ask("join", room="a")
        head = {**RIGHT, "Content-Type": "application/x-www-form-urlencoded"}
        assert (await say(peer, "POST", "/rooms/a", head, b'{"x":1}')).status == 200
        assert (await talk.hear("message"))["payload"] == {"x": 1}
        assert (await say(peer, "POST", "/rooms/a", head, b"hello")).status == 200
        assert (await talk.hear("message"))["payload"] == "hello"


async def test_a_delivery_class_and_a_key_of_one_publish() -> None:
    server = Book(api_keys=["key-two"])
    async with server, await server.dial() as peer:
        assert (await say(peer, "POST", "/rooms/a?delivery=latest&key=x", RIGHT, b"1")).status == 200
        assert (await say(peer, "POST", "/rooms/a?delivery=fast", RIGHT, b"1")).status == 400


async def test_an_id_is_published_once() -> None:
    async with Book(api_keys=["key-two"]) as server, await server.dial() as peer, await server.peer("/a") as member:
        for path in ("/rooms/a?id=1", "/rooms/a?id=1", "/rooms/b?id=1"):
            response = await say(peer, "POST", path, RIGHT, path.encode())
            assert (response.status, json.loads(response.body)) == (200, {"seq": 1})
        body = json.dumps([{"room": "a", "payload": "two", "id": name} for name in ("1", "2", "2")]).encode()
        results = json.loads((await say(peer, "POST", "/publish", RIGHT, body)).body)["results"]
        assert [result["seq"] for result in results] == [1, 2, 2]
        assert [await member.message() for _ in range(2)] == [b"/rooms/a?id=1", b"two"]
        for name in ("", "x" * 201):
            response = await say(peer, "POST", f"/rooms/a?id={name}", RIGHT, b"x")
            assert (response.status, json.loads(response.body)["code"]) == (400, "bad_message")


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
async def test_several_messages_in_one_body(kind: str, codec: str) -> None:
    server = Book(api_keys=["key-two"])
    server.room("*")
    async with server, await server.dial() as peer, await Talk.open(server, codec=codec) as talk:
        await talk.ask("join", room="a")
        await talk.ask("join", room="b")
        messages = [
            {"room": "a", "payload": {"n": 1}},
            {"room": "b", "payload": "text"},
            {"room": "a b", "payload": 1},
            {"room": "a", "payload": [2], "key": "k"},
            {"room": "a", "payload": "AP8=", "encoding": "base64"},
            {"room": "a"},
        ]
        lines = [json.dumps(message) for message in messages]
        body = "\n".join(lines) if kind == "application/x-ndjson" else f"[{','.join(lines)}]"
        response = await say(peer, "POST", "/publish", {**RIGHT, "Content-Type": kind}, body.encode())
        assert response.status == 207
        results = json.loads(response.body)["results"]
        assert [result.get("seq") for result in results] == [1, 1, None, None, 2, None]
        codes = [result["error"]["code"] for result in results if "error" in result]
        assert codes == ["bad_room", "bad_message", "bad_message"]
        refused = results[2]["error"]
        assert refused["text"] == "room must be a name that Config.room_name allows, got 'a b'"
        assert refused["path"] == "$.room"
        heard = [await talk.hear("message") for _ in range(3)]
        assert [message["payload"] for message in heard[:2]] == [{"n": 1}, "text"]
        assert heard[2]["payload"] == ("AP8=" if codec == "json" else b"\x00\xff")
        good = json.dumps(messages[:2]).encode()
        response = await say(peer, "POST", "/publish", RIGHT, good)
        assert response.status == 200
        assert [result["seq"] for result in json.loads(response.body)["results"]] == [3, 2]


@pytest.mark.parametrize("prefix", ["/rt", "/rt/", "/a/b"])
async def test_a_prefix_may_be_there_or_taken_off(prefix: str) -> None:
    async def hello(asking: Request) -> responses.Response:
        return responses.Response(f"{asking.scope['root_path']} {asking.url.path}")

    app = site(get_hello=hello)
    server = Book({"max_http_connections": 3}, api_keys=["key-two"], prefix=prefix, app=app, mount="")
    path = prefix.rstrip("/")
    async with server, await server.dial() as peer, await server.peer(f"{path}/a") as member, await server.peer("/a"):
        assert [conn.request.path for conn in server.opened] == ["/a", "/a"]
        for before in (path, ""):
            for _ in range(2):
                assert (await say(peer, "POST", f"{before}/rooms/a", RIGHT, b"x")).status == 200
                assert await member.message() == b"x"
            assert (await say(peer, "GET", f"{before}/healthz")).status == 200
            # The application's links have the prefix, whether a proxy took it off or not.
            assert (await say(peer, "GET", f"{before}/hello")).body == f"{path} {path}/hello".encode()
        assert (await say(peer, "GET", f"{path}x/healthz")).status == 404
        held = [await server.dial() for _ in range(2)]
        for holder in held:
            await say(holder, "GET", "/nothing")
        async with await server.dial() as probe:
            assert (await say(probe, "GET", f"{path}/readyz")).status == 200
        for holder in held:
            holder.close()


async def test_metrics_take_a_key(caplog: pytest.LogCaptureFixture) -> None:
    async with Book(api_keys=["key-two"]) as server, await server.peer(), await server.dial() as peer:
        assert (await say(peer, "GET", "/metrics")).status == 401
        response = await say(peer, "GET", "/metrics", RIGHT)
        assert response.status == 200
        assert response.headers["content-type"].startswith("text/plain; version=")
        assert b"fanwire_connections 1.0" in response.body
        assert b'fanwire_handshakes_total{status="101"} 1.0' in response.body
        assert b"fanwire_delivered_messages_total" in response.body
    async with Book() as server, await server.dial() as peer:
        assert (await say(peer, "GET", "/metrics", RIGHT)).status == 404
