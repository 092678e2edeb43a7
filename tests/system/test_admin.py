"""The admin API of one server: nodes, publishing, keys, and what is wrong with a request."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from helpers.admin_client import ALL, KEYS, READ, WRITE, Operator, admin, operated
from helpers.serving import Book, take
from helpers.wait import until
from openapi_spec_validator import validate
from websockets.exceptions import ConnectionClosed

from fanwire.admin.questions import RoomsQuestion


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Book]:
    async with operated() as server:
        yield server


@pytest_asyncio.fixture
async def op(server: Book) -> AsyncIterator[Operator]:
    async with Operator(server) as op:
        yield op


# Publishing.


async def test_a_message_is_published_once_for_each_id(server: Book, op: Operator) -> None:
    async with server.client("/log.1") as member:
        await until(lambda: server.count("log.1") == 1)
        first = await op.post("/publish", {"room": "log.1", "payload": {"a": 1}, "id": "x"})
        again = await op.post("/publish", {"room": "log.1", "payload": {"a": 1}, "id": "x"})
        third = await op.post("/publish", {"room": "log.1", "payload": "/w==", "encoding": "base64"})
        assert (first["room"], first["seq"], again["seq"], third["seq"]) == ("log.1", 1, 1, 2)
        assert first["epoch"] == again["epoch"] == third["epoch"] == (await server.history("log.1"))[0].position.epoch
        assert await take(member, 2) == ['{"a": 1}', b"\xff"]


async def test_a_batch_keeps_its_order_and_each_message_fails_alone(server: Book, op: Operator) -> None:
    batch: list[dict[str, Any]] = [
        {"room": "a", "payload": 1},
        {"room": "a", "payload": 2, "delivery": "sometimes"},
        {"room": "log.1", "payload": 3, "id": "x"},
        {"room": "a", "payload": 4, "key": "k"},
        {"room": "a", "payload": 5},
    ]
    async with server.client("/a") as member:
        await until(lambda: server.count("a") == 1)
        status, answer = await op.ask("POST", "/publish/batch", json=batch)
        assert status == 207
        assert [(one.get("room"), one.get("seq")) for one in answer["results"]] == [
            ("a", 1), (None, None), ("log.1", 1), (None, None), ("a", 2),
        ]  # fmt: skip
        assert [one["error"]["status"] for one in answer["results"] if "error" in one] == [400, 400]
        assert all(one["epoch"] for one in answer["results"] if "error" not in one)
        assert await take(member, 2) == ["1", "5"]
    lines = b'{"room":"a","payload":1}\n{"room":"a","payload":2}\n'
    status, answer = await op.ask(
        "POST", "/publish/batch", data=lines, headers={"Content-Type": "application/x-ndjson"}
    )
    assert (status, [one["seq"] for one in answer["results"]]) == (200, [3, 4])


@pytest.mark.parametrize(
    ("path", "data", "status", "code"),
    [
        ("/publish", b"", 400, "bad_message"),
        ("/publish", b"[]", 400, "bad_message"),
        ("/publish", b'{"room":"a"}', 400, "bad_message"),
        ("/publish", b'{"room":"","payload":1}', 400, "bad_room"),
        ("/publish", b'{"room":"a","payload":1,"more":1}', 400, "bad_message"),
        ("/publish", b'{"room":"a","payload":"?","encoding":"base64"}', 400, "invalid_payload"),
        ("/publish", b'{"room":"a","payload":"' + b"x" * 2_000_000 + b'"}', 413, "too_large"),
        ("/publish/batch", b"{}", 400, "invalid_payload"),
        ("/publish/batch", b"[" + b"1," * 1500 + b"1]", 413, "too_large"),
    ],
)
async def test_what_cannot_be_published(
    server: Book, op: Operator, path: str, data: bytes, status: int, code: str
) -> None:
    assert await op.fails("POST", path, data=data) == (status, code)
    assert server.rooms() == {}


async def test_a_line_that_is_no_json_fails_alone(server: Book, op: Operator) -> None:
    body = b'{"room":"a","payload":1}\n{"room":"a","payload":NaN}\n{"room":"a","payload":3}\n'
    status, answer = await op.ask("POST", "/publish/batch", data=body, headers={"Content-Type": "application/x-ndjson"})
    assert (status, [one.get("seq") for one in answer["results"]]) == (207, [1, None, 2])
    assert answer["results"][1]["error"]["code"] == "bad_message"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-ndjson", "image/png"])
async def test_one_message_is_json(server: Book, op: Operator, kind: str) -> None:
    status, answer = await op.ask("POST", "/publish", data=b'{"room":"a","payload":1}', headers={"Content-Type": kind})
    assert (status, answer["code"]) == (415, "unsupported_type")
    assert server.rooms() == {}


# Nodes.


async def test_the_node_says_what_it_is(server: Book, op: Operator) -> None:
    async with server.client("/a"):
        await until(lambda: server.opened)
        page = await op.get("/nodes")
        node = page["details"][0]
        assert (page["nodes"], node["node"], node["ready"]) == (["this"], "this", True)
        assert (node["gauges"]["connections"], node["counters"]["connections"]) == (1, 1)
        assert node["transports"]["websocket"] == 1


async def test_limits_are_counted(server: Book, op: Operator) -> None:
    async with server.client("/a") as client:
        await client.send("x" * (2 << 20))
        with pytest.raises(ConnectionClosed):
            await take(client, 1)
    limits = (await op.get("/limits"))["limits"]
    assert limits[0] == {
        "limit": "max_message", "value": server.config.max_message, "exceeded": 1, "by_node": {"this": 1},
    }  # fmt: skip
    # Also those that were not, each of which is a field of the configuration.
    assert {one["exceeded"] for one in limits[1:]} == {0}
    assert {"max_connections", "max_user_connections"} <= {one["limit"] for one in limits}
    assert all(one["value"] == getattr(server.config, one["limit"]) for one in limits)


async def test_settings_have_no_secrets() -> None:
    server = Book({"grace": 7.0}, admin=admin(), api_keys=["key-of-a-publisher"], origins=["https://example.com"])
    server.room("a", join="identified")
    async with server, Operator(server) as op:
        found = (await op.get("/config"))["details"][0]
        assert (found["config"]["grace"], found["server"]["origins"]) == (7.0, ["https://example.com"])
        assert found["server"]["api_keys"] == ["***"]
        assert found["server"]["place"] == {"kind": "tcp", "host": "127.0.0.1", "port": 0, "reuse_port": False}
        assert [(rule["pattern"], rule["join"]) for rule in found["rooms"]] == [("a", "function")]
        assert not any(key in str(found) for key in (*KEYS, "key-of-a-publisher"))


async def test_health_says_why_not(server: Book, op: Operator) -> None:
    assert await op.get("/health") == {
        "nodes": ["this"], "unanswered": [], "ready": True,
        "details": [{"node": "this", "ready": True, "reasons": [], "troubles": []}],
    }  # fmt: skip
    server._health.check("the market feed", lambda: False)
    found = await op.get("/health")
    assert (found["ready"], found["details"][0]["reasons"]) == (
        False, ["the market feed does not work: it makes no progress"],
    )  # fmt: skip
    assert not (await op.get("/nodes"))["details"][0]["ready"]
    server._health.note("recording", "no space left on device")
    found = await op.get("/health")
    assert found["details"][0]["troubles"] == ["recording does not work: no space left on device"]


# Keys, and what is wrong.


async def test_keys_and_scopes(server: Book) -> None:
    async with Operator(server, "") as nobody, Operator(server, READ) as reader, Operator(server, WRITE) as writer:
        message = {"room": "a", "payload": 1}
        assert await nobody.fails("GET", "/rooms") == (401, "unauthorized")
        assert await nobody.fails("POST", "/publish", json=message) == (401, "unauthorized")
        assert (await reader.get("/rooms"))["rooms"] == []
        assert await reader.fails("POST", "/publish", json=message) == (403, "forbidden")
        assert await reader.fails("POST", "/users/ann/disconnect") == (403, "forbidden")
        assert (await writer.post("/publish", message))["seq"] == 1
        assert await writer.fails("GET", "/rooms") == (403, "forbidden")
        assert await writer.fails("POST", "/rooms/a/remove", json={"subject": "x"}) == (403, "forbidden")


async def test_wrong_keys_are_limited_by_address_and_no_key_is_logged(
    server: Book, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with Operator(server, "wrong-key") as guesser, Operator(server) as op:
            assert await op.get("/rooms")
            await op.post("/users/ann/disconnect")
            answers = [await guesser.fails("GET", "/rooms") for _ in range(11)]
            assert answers == [(401, "unauthorized")] * 10 + [(429, "rate_limited")]
            # Not even the right key is looked at.
            assert await op.fails("GET", "/rooms") == (429, "rate_limited")
    assert caplog.text.count("127.0.0.1 has shown a wrong admin key") == 10
    assert not any(key in caplog.text for key in (*KEYS, "wrong-key"))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "", 404),
        ("GET", "/rooms/", 404),
        ("POST", "/rooms", 405),
        ("DELETE", "/rooms/a", 405),
        ("GET", "/publish", 405),
        ("GET", "/connections/1/disconnect", 405),
        ("GET", "/rooms?limit=0", 400),
        ("GET", "/rooms?limit=1001", 400),
        ("GET", "/rooms?limit=-1", 400),
        ("GET", "/rooms?limit=1.5", 400),
        ("GET", "/rooms?limit=" + "9" * 400, 400),
        ("GET", "/rooms?limit=", 400),
        ("GET", "/rooms?limit=1&limit=2", 400),
        ("GET", "/rooms?what=1", 400),
        ("GET", "/rooms?%ff=1", 400),
        ("GET", "/rooms?" + "&".join(f"a{n}=1" for n in range(50)), 400),
        ("GET", "/rooms?sort=size", 400),
        ("GET", "/rooms?cursor=", 400),
        ("GET", "/rooms?cursor=AAAA", 400),
        ("GET", "/rooms?cursor=!", 400),
        ("GET", "/rooms?cursor=%C3%BC", 400),
        ("GET", "/rooms?cursor=" + "A" * 1999, 400),
        ("GET", "/rooms?node=elsewhere", 404),
        ("GET", "/rooms?pattern=" + "*a" * 200, 400),
        ("GET", "/connections?state=sleeping", 400),
        ("GET", "/connections?address=example.com", 400),
        ("GET", "/connections?via=pigeon", 400),
        ("GET", "/users/%ff", 400),
    ],
)
async def test_wrong_requests_are_told_what_is_wrong(op: Operator, method: str, path: str, status: int) -> None:
    found, body = await op.ask(method, path)
    assert (found, body["status"]) == (status, status)
    assert body["detail"]


async def test_a_cursor_belongs_to_its_list(server: Book, op: Operator) -> None:
    async with server.client("/a,b"):
        await until(lambda: server.count("b") == 1)
        cursor = (await op.get("/rooms?limit=1"))["next"]
        for path in ("/rooms?sort=members&", "/users?", "/connections?", "/rooms/a/values?"):
            assert await op.fails("GET", f"{path}cursor={cursor}") == (400, "bad_cursor")


async def test_the_document_is_valid_and_has_all_routes(server: Book) -> None:
    async with Operator(server, "") as op:
        document = await op.get("/openapi.json")
    validate(document)
    assert document["servers"] == [{"url": "/admin/api/v1"}]
    assert {path: sorted(methods) for path, methods in document["paths"].items()} == {
        "/rooms": ["get"], "/rooms/{room}": ["get"], "/rooms/{room}/members": ["get"],
        "/rooms/{room}/presence": ["get"], "/rooms/{room}/history": ["get"], "/rooms/{room}/values": ["get"],
        "/rooms/{room}/remove": ["post"], "/rooms/{room}/forget": ["post"], "/connections": ["get"],
        "/connections/{connection}": ["get"], "/connections/{connection}/disconnect": ["post"], "/sessions": ["get"],
        "/sessions/{session}": ["get"], "/sessions/{session}/revoke": ["post"], "/users": ["get"],
        "/users/{subject}": ["get"], "/users/{subject}/disconnect": ["post"], "/publish": ["post"],
        "/publish/batch": ["post"], "/nodes": ["get"], "/limits": ["get"], "/config": ["get"], "/health": ["get"],
    }  # fmt: skip
    limit = next(one for one in document["paths"]["/rooms"]["get"]["parameters"] if one["name"] == "limit")
    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}


# Where it is.


async def test_it_is_off_by_default() -> None:
    async with Book() as server, Operator(server) as op:
        url = server.url.replace("ws", "http", 1) + "/admin/api/v1/rooms"
        async with op._session.get(url) as response:
            assert response.status == 404


@pytest.mark.parametrize(
    ("options", "path"),
    [({"prefix": "/rt"}, "/rt/admin"), ({"prefix": "/rt"}, "/admin"), ({"mount": "/live"}, "/live/admin")],
)
async def test_it_is_below_the_prefix_and_the_mount(options: dict[str, Any], path: str) -> None:
    server = Book(admin=admin(), **options)
    async with server:
        url = f"http://127.0.0.1:{server.port}{path}/api/v1/health"
        async with Operator(server) as op, op._session.get(url) as response:
            assert response.status == 200


async def test_with_another_path() -> None:
    server = Book(admin=admin(prefix="/ops/live"))
    async with server, Operator(server, prefix="/ops/live") as op:
        assert (await op.get("/health"))["ready"]


async def test_the_holder_of_a_key_has_a_place_on_a_full_server() -> None:
    server = Book({"max_http_connections": 4, "http_reserve": 2}, admin=admin())
    async with server:
        peers = [await server.dial() for _ in range(6)]
        for peer in peers:
            await peer.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: server._http.connections >= 2)
        try:
            async with Operator(server) as op:
                assert (await op.get("/health"))["ready"]
        finally:
            for peer in peers:
                peer.close()


async def test_a_long_list_does_not_hold_the_loop(monkeypatch: pytest.MonkeyPatch, server: Book, op: Operator) -> None:
    monkeypatch.setattr("fanwire.admin.scan.SLICE", 10)
    for number in range(300):
        await server.publish_acked(f"log.{number:03}", 1)
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    server_node = server._running.this_node
    before = turns
    answer = await server_node.answer(RoomsQuestion(None, "name", None, 5))
    ticking.cancel()
    assert [room.name for room in answer.rooms] == [f"log.{number:03}" for number in range(5)]
    assert turns - before >= 30
    assert (await op.get("/rooms"))["count"] == 300


async def test_no_more_requests_than_allowed_are_answered_at_once(
    monkeypatch: pytest.MonkeyPatch, server: Book, op: Operator
) -> None:
    monkeypatch.setattr("fanwire.admin.site.MOST", 0)
    assert await op.fails("GET", "/rooms") == (503, "overloaded")
    monkeypatch.undo()
    assert await op.get("/rooms")


async def test_actions_are_logged_with_the_name_of_the_key(server: Book, op: Operator, caplog: Any) -> None:
    holder = admin().holder(ALL)
    assert holder is not None
    with caplog.at_level(logging.INFO, logger="fanwire.admin"):
        await op.post("/users/ann/disconnect", {"reason": "rude\nline"})
    assert caplog.messages == [f"key {holder.name} disconnects user 'ann': 'rude\\nline'"]


async def test_no_request_makes_the_server_fail(server: Book, op: Operator, caplog: pytest.LogCaptureFixture) -> None:
    choose = random.Random(18)
    pieces = [
        "rooms", "connections", "sessions", "users", "nodes", "limits", "config", "health", "publish", "batch",
        "remove", "forget", "disconnect", "revoke", "values", "history", "members", "presence", "a", "log.1", "chat.1",
        "%00", "%ff",
        "%2F", "..", ".", "-1", "0x1", "f" * 15, "f" * 16, "0" * 16, "x" * 300, "%F0%9F%98%80", "*", "1.1", "$admin",
    ]  # fmt: skip
    fields = ["limit", "cursor", "node", "pattern", "sort", "subject", "address", "via", "state", "room", "after", "x"]
    values = ["", "0", "1", "-1", "99999999999999999999", "this", "name", "members", "*", "**a*", "%00", "%ff", "a:1",
              "gaNh", "k6RyYW9t", "open", "sse", "::1", "1.2.3.4/33", "%22", "[]", "null"]  # fmt: skip
    bodies: list[bytes] = [b"", b"{}", b"[]", b"null", b"1", b'"x"', b"[[[", b"\xff", b'{"reason":1}', b'{"code":4001}',
              b'{"subject":""}', b'{"key":"\\u0000"}', b'{"room":"a","payload":' + b"[" * 5000, b'{"key":"\\ud800"}',
              b'[{"room":"a"}]', b'{"connection":"1"}', b'{"reason":"\\ud800"}', b'{"subject":"\\ud800"}']  # fmt: skip
    for _ in range(400):
        path = "/" + "/".join(choose.choices(pieces, k=choose.randint(1, 4)))
        query = "&".join(f"{choose.choice(fields)}={choose.choice(values)}" for _ in range(choose.randint(0, 3)))
        method = choose.choice(["GET", "GET", "POST", "POST", "PUT", "DELETE", "OPTIONS"])
        options = {"data": choose.choice(bodies)} if method == "POST" else {}
        status, body = await op.ask(method, f"{path}?{query}", **options)
        assert status < 500, (method, path, query, options, body)
    assert "Traceback" not in caplog.text
