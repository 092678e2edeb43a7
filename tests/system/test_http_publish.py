"""Publishing by plain HTTP."""

from __future__ import annotations

import json
import logging
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from helpers.asking import RIGHT, say
from helpers.serving import Book, take
from helpers.talk import Talk
from helpers.wire import BINARY, FIN, TEXT


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
            {"room": "a", "payload": 1, "tags": {"n": 1 << 70}},
            {"room": "a", "payload": 1, "where": nested(300)},
            {"room": "b", "payload": "last"},
        ]
        lines = [json.dumps(message) for message in messages]
        body = "\n".join(lines) if kind == "application/x-ndjson" else f"[{','.join(lines)}]"
        response = await say(peer, "POST", "/publish", {**RIGHT, "Content-Type": kind}, body.encode())
        assert response.status == 207
        results = json.loads(response.body)["results"]
        assert [result.get("seq") for result in results] == [1, 1, None, None, 2, None, None, None, 2]
        codes = [result["error"]["code"] for result in results if "error" in result]
        assert codes == ["bad_room"] + 4 * ["bad_message"]
        refused = results[2]["error"]
        assert refused["text"] == "room must be a name that Config.room_name allows, got 'a b'"
        assert refused["path"] == "$.room"
        heard = [(await talk.hear("message"))["payload"] for _ in range(4)]
        assert heard == [{"n": 1}, "text", "AP8=" if codec == "json" else b"\x00\xff", "last"]
        good = json.dumps(messages[:2]).encode()
        response = await say(peer, "POST", "/publish", RIGHT, good)
        assert response.status == 200
        assert [result["seq"] for result in json.loads(response.body)["results"]] == [3, 3]


def nested(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {"n": 1}
    for _ in range(levels):
        found = {"not": found}
    return found


async def test_tags_of_one_message_that_cannot_be() -> None:
    async with Book(api_keys=["key-two"]) as server, await server.dial() as peer:
        for name, value in (("tags", {"n": 1 << 70}), ("where", nested(300))):
            response = await say(peer, "POST", f"/rooms/a?{urlencode({name: json.dumps(value)})}", RIGHT, b"x")
            assert (response.status, json.loads(response.body)["code"]) == (400, "bad_message")
            assert json.loads(response.body)["text"].startswith(name)


@pytest.mark.logs_errors
async def test_an_error_of_the_server_itself_is_of_one_message() -> None:
    async with Book(api_keys=["key-two"]) as server, await server.dial() as peer:
        published = server._running.host.published
        publish = published.publish

        def fails(room: str, *rest: Any) -> Any:
            if room == "b":
                raise LookupError(room)
            return publish(room, *rest)

        with patch.object(published, "publish", fails):
            body = json.dumps([{"room": room, "payload": 1} for room in ("a", "b", "a")]).encode()
            response = await say(peer, "POST", "/publish", RIGHT, body)
        assert response.status == 207
        results = json.loads(response.body)["results"]
        assert [result.get("seq") for result in results] == [1, None, 2]
        assert results[1]["error"]["code"] == "internal"


async def test_wrong_keys_are_limited_by_address_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    wrong = {"Authorization": "Bearer key-wrong"}
    with caplog.at_level(logging.DEBUG):
        async with Book(api_keys=["key-two", "key-three"]) as server, await server.dial() as peer:
            assert (await say(peer, "POST", "/rooms/a", RIGHT, b"x")).status == 200
            paths = [("POST", "/rooms/a"), ("POST", "/publish"), ("GET", "/metrics")] * 4
            answers = [await say(peer, method, path, wrong) for method, path in paths]
            assert [answer.status for answer in answers] == [401] * 10 + [429] * 2
            assert json.loads(answers[-1].body)["code"] == "rate_limited"
            # Of the ten seconds for the first one some have passed on a busy machine.
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 10
            # A key is not looked at, but for one that this address has shown before.
            assert (await say(peer, "POST", "/rooms/a", {"Authorization": "Bearer key-three"}, b"x")).status == 429
            assert (await say(peer, "POST", "/rooms/a", RIGHT, b"x")).status == 200
    assert caplog.text.count("127.0.0.1 has shown a wrong API key") == 10
    assert "key-" not in caplog.text
