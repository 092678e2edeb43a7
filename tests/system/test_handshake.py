"""The way in: what is let in, what is refused, and with which words (RFC 6455 section 4)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial

import pytest
from helpers.serving import Book, take
from helpers.wait import DEADLINE, until, within
from helpers.wire import ACCEPT, FIN, HEAD, KEY, TEXT, Peer, Response, close_frame, frame, request

import fanwire
from fanwire.auth import JWT, ApiKeys, Chain, Keys

PATIENT = {"drain_timeout": DEADLINE, "close_timeout": DEADLINE, "handshake_timeout": DEADLINE}


async def ask(server: Book, data: bytes) -> Response:
    """Sends bytes, reads the answer and, unless it is a 101, the end."""
    async with await server.dial() as peer:
        await peer.send(data)
        response = await peer.response()
        if response.status != 101:
            assert await peer.end() == b""
        return response


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"Connection": "keep-alive, Upgrade"},
        {"Connection": "upgrade"},
        {"Upgrade": "WebSocket"},
        {"Origin": "https://example.com"},
        {"Origin": "null"},
        {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"},
        {"Sec-WebSocket-Extensions": "constructor; __proto__=1"},
        {"Sec-WebSocket-Protocol": "graphql-ws, chat"},
        {"Content-Length": "0"},
        {"Cookie": "a=b; " * 200},
        {f"X-{number}": "y" for number in range(80)},
    ],
    ids=lambda head: ", ".join(head)[:24],
)
async def test_let_in(head: dict[str, str]) -> None:
    async with Book() as server:
        response = await ask(server, request("/", head))
        assert response.status == 101
        assert response.headers["sec-websocket-accept"] == ACCEPT
        assert response.headers["upgrade"].lower() == "websocket"
        assert response.headers["connection"].lower() == "upgrade"
        # Nothing was negotiated that the server does not speak.
        assert "sec-websocket-extensions" not in response.headers
        assert "sec-websocket-protocol" not in response.headers


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (426, request("/", {"Sec-WebSocket-Version": "8"})),
        (426, request("/", {"Sec-WebSocket-Version": "14"})),
        (400, request("/", {"Sec-WebSocket-Version": None})),
        (400, request("/", {"Sec-WebSocket-Key": None})),
        (400, request("/", {}, f"Sec-WebSocket-Key: {KEY}")),
        (400, request("/", {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAA"})),
        (400, request("/", {"Sec-WebSocket-Key": "***"})),
        (400, request("/", {"Sec-WebSocket-Key": ""})),
        (400, request("/", {"Host": None})),
        (400, request("/", {}, "Host: other")),
        (400, request("/").replace(b"GET", b"POST")),
        (400, request("/").replace(b"HTTP/1.1", b"HTTP/1.0")),
        (400, request("/", {"Content-Length": "5"}) + b"hello"),
        (400, request("/", {"Transfer-Encoding": "chunked"}) + b"0\r\n\r\n"),
        (400, request("/", {}, " folded: x")),
        (400, request("/", {}, "space : x")),
        (400, request("/", {}, "nul: \0")),
        (400, request("/", {}, "no colon")),
        (400, request("/", {"Sec-WebSocket-Protocol": "\u00ff\u0080"})),
        (400, request("/\u00e9")),
        (400, request("/a\nSet-Cookie:x")),
        (400, request("/").replace(b"\r\n", b"\n")),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)),
        (400, b"\0" * 64),
        (400, b"GET\r\n\r\n"),
        (431, request("/", {"X-Long": "x" * 20_000})),
        (431, request("/" + "x" * 20_000)),
        (431, request("/", {f"X-{number}": "y" for number in range(300)})),
    ],
    ids=[
        "version 8", "version 14", "no version", "no key", "two keys", "key of 15 bytes", "key no base64", "empty key",
        "no host", "two hosts", "POST", "HTTP/1.0", "body", "chunked", "folded", "space before colon", "NUL",
        "no colon", "subprotocol not ASCII", "path not ASCII", "LF in path", "bare LF", "TLS hello",
        "zeros", "garbage", "long header", "long path", "many headers",
    ],
)  # fmt: skip
async def test_refused(status: int, data: bytes) -> None:
    async with Book() as server, server.client("/a") as bystander:
        response = await ask(server, data)
        assert response.status == status
        assert response.headers["connection"] == "close"
        # Nothing of the request comes back.
        assert response.body.decode().strip().isprintable()
        assert len(response.body) < 60
        if status == 426:
            assert response.headers["sec-websocket-version"] == "13"
        server.publish("a", "undisturbed")
        assert await take(bystander, 1) == ["undisturbed"]
        assert len(server.opened) == 1


async def test_frames_in_the_packet_of_the_head_are_heard() -> None:
    async with Book().listens() as server, await server.dial() as peer:
        await peer.upgrade(after=frame(TEXT, b"early") + frame(TEXT, b"bird") + close_frame(1000))
        assert await peer.closed() == (1000, "")
        await server.ended()
        assert server.heard == ["early", "bird"]


async def test_frames_sent_while_the_application_thinks_are_heard() -> None:
    gate = asyncio.Event()

    async def think(request: object) -> str:
        await gate.wait()
        return "ann"

    async with Book(authenticate=think).listens() as server, await server.dial() as peer:
        await peer.send(request() + frame(TEXT, b"1"))
        await peer.send(frame(TEXT, b"2")[:3])
        await peer.send(frame(TEXT, b"2")[3:])
        gate.set()
        assert (await peer.response()).status == 101
        await until(lambda: server.heard == ["1", "2"])


async def test_a_head_byte_by_byte() -> None:
    async with Book().listens() as server, await server.dial() as peer:
        for byte in request("/a") + frame(TEXT, b"hi"):
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await peer.response()).status == 101
        await until(lambda: server.heard == ["hi"])
        server.publish("a", "there")
        assert await peer.frame() == (FIN | TEXT, b"there")


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_slow_head_is_answered_408(start: bytes) -> None:
    async with Book({"handshake_timeout": 0.3}) as server:
        assert (await ask(server, start)).status == 408


async def test_the_time_for_the_head_is_that_of_the_whole() -> None:
    async def trickle(peer: Peer) -> None:
        for byte in b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000:
            peer.writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    async with Book({"handshake_timeout": 0.3}) as server, await server.dial() as peer:
        drip = asyncio.ensure_future(trickle(peer))
        assert (await peer.response()).status == 408
        drip.cancel()


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://example.com", 101),
        (None, 101),
        ("http://example.com", 403),
        ("https://example.com.evil.org", 403),
        ("https://evil-example.com", 403),
        ("https://example.com:444", 403),
        ("HTTPS://EXAMPLE.COM", 403),
        ("null", 403),
        ("", 403),
    ],
)
async def test_origins_are_compared_exactly(origin: str | None, status: int) -> None:
    async with Book(origins=["https://example.com"]) as server:
        response = await ask(server, request("/", {"Origin": origin}))
        assert response.status == status


async def test_two_origins_are_none() -> None:
    async with Book(origins=["https://a.com"]) as server:
        two = request("/", {"Origin": "https://a.com"}, "Origin: https://b.com")
        assert (await ask(server, two)).status == 400


async def test_refused_while_the_server_drains() -> None:
    async with Book(PATIENT) as server, await server.dial() as late, await server.peer() as peer:
        await until(lambda: server.connections)
        stop = asyncio.ensure_future(server.stop())
        assert await peer.closed() == (1001, "the server is shutting down")
        await late.send(request())
        response = await late.response()
        assert response.status == 503
        assert response.headers["retry-after"] == "1"
        await peer.send(close_frame(1001))
        await peer.end()
        assert await within(stop)


async def test_the_keys_of_a_real_client() -> None:
    async with Book() as server, server.client("/a", additional_headers={"Cookie": "x=y"}) as client:
        assert client.response is not None
        assert client.response.status_code == 101
        assert set(HEAD) <= {name.title().replace("Websocket", "WebSocket") for name in client.request.headers}
        server.publish("a", "x")
        assert await take(client, 1) == ["x"]


async def test_who_is_refused_while_it_sends_still_gets_the_answer() -> None:
    told = {"status": "408"}
    async with Book({"handshake_timeout": 0.3}) as server:
        for count in range(1, 20):
            begun = time.monotonic()
            async with await server.dial() as peer:
                await peer.send(b"GET / HTTP/1.1\r\n")
                refused = partial(server.metrics.get_sample_value, "fanwire_handshakes_total", told)
                await until(lambda refused=refused, count=count: refused() == count)
                # The server has ended its side; the second of these would have a reset for its answer.
                with contextlib.suppress(ConnectionError):
                    for _ in range(3):
                        await peer.send(b"X: y\r\n")
                        await asyncio.sleep(0.05)
                if time.monotonic() - begun < 1.2:
                    assert (await peer.response()).status == 408
                    break
            # The server listens for a second more, which may be over on a busy machine.
        else:
            pytest.fail("this machine is too busy")


async def test_who_is_refused_and_stays_is_ended() -> None:
    async with Book({"handshake_timeout": 0.3}) as server, await server.dial() as peer:
        assert (await peer.response()).status == 408
        await until(lambda: server._gauges()["handshaking_connections"] == 0)


@pytest.mark.logs_errors
@pytest.mark.parametrize("path", ["/", "/?session=0123&received=1"])
async def test_an_identity_that_cannot_be_read_keeps_nobody_waiting(path: str) -> None:
    class Broken:
        @property
        def subject(self) -> str:
            raise RuntimeError("no subject today")

    async with Book(authenticate=lambda request: Broken()) as server, await server.dial() as peer:
        await peer.send(request(path, {"Sec-WebSocket-Protocol": "fanwire.v1.json"}))
        assert (await peer.response()).status == 500
        assert not server.opened


@pytest.mark.parametrize("subprotocol", [None, "fanwire.v1.json", "fanwire.v1.msgpack"])
@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
async def test_headers_of_others_are_any_bytes(coding: str, subprotocol: str | None) -> None:
    seen: list[tuple[str, str | None]] = []

    def who(asking: fanwire.Request) -> str:
        seen.append((asking.headers["CF-IPCity"], asking.cookie("stadt")))
        return "ann"

    async with Book(authenticate=who) as server, await server.dial() as peer:
        head = {"Origin": f"http://localhost:{server.port}", "Host": f"localhost:{server.port}"}
        if subprotocol:
            head["Sec-WebSocket-Protocol"] = subprotocol
        more = "CF-IPCity: Z\u00fcrich\r\nCookie: stadt=K\u00f6ln; a=b\r\n".encode(coding)
        await peer.send(request("/", head)[:-2] + more + b"\r\n")
        assert (await peer.response()).status == 101
    assert seen == [("Z\u00fcrich", "K\u00f6ln")]


async def test_a_credential_that_is_not_ascii_is_an_unknown_one() -> None:
    keys = ApiKeys({"feed": "k" * 16})
    tokens = JWT(Keys.secret("s" * 32), algorithms=["HS256"])
    async with Book(authenticate=Chain(tokens, keys)) as server:
        for shown in ("\u00fc", "k" * 15 + "\u00fc"):
            async with await server.dial() as peer:
                await peer.send(request("/", {"Authorization": f"Bearer {shown}"}))
                assert (await peer.response()).status == 401
