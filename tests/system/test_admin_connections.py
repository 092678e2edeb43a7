"""The admin API of one server: connections, sessions and users."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from helpers.admin_client import Operator, operated
from helpers.serving import Book, take
from helpers.wait import until, within
from websockets.exceptions import ConnectionClosed

import fanwire
from fanwire.admin.node_connections import _filter
from fanwire.admin.questions import ConnectionsQuestion


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Book]:
    async with operated() as server:
        yield server


@pytest_asyncio.fixture
async def op(server: Book) -> AsyncIterator[Operator]:
    async with Operator(server) as op:
        yield op


async def test_connections_are_listed_and_filtered(server: Book, op: Operator) -> None:
    async with server.client("/a?as=ann"), server.client("/b?as=anders"), fanwire.connect(server.url + "/?as=bob"):
        await until(lambda: len(server.opened) == 3)
        everything = await op.get("/connections")
        assert [one["subject"] for one in everything["connections"]] == ["ann", "anders", "bob"]
        assert everything["count"] == 3
        assert len(await op.pages("/connections?limit=1", "connections")) == 3
        for query, subjects in (
            ("subject=an*", ["ann", "anders"]),
            ("subject=bob", ["bob"]),
            ("address=127.0.0.1", ["ann", "anders", "bob"]),
            ("address=10.0.0.0/8", []),
            ("address=127.0.0.0/8&subject=ann", ["ann"]),
            ("via=websocket", ["ann", "anders", "bob"]),
            ("via=sse", []),
            ("state=open", ["ann", "anders", "bob"]),
            ("state=reconnecting", []),
            ("room=b", ["anders"]),
        ):
            found = await op.get(f"/connections?{query}")
            assert [one["subject"] for one in found["connections"]] == subjects, query
            assert found["count"] == len(subjects)
        sessions = (await op.get("/sessions"))["connections"]
        assert [one["subject"] for one in sessions] == ["bob"]
        assert sessions[0]["session"] is not None


@pytest.mark.parametrize("text", ["2001:db8::1", "2001:DB8::1", "2001:db8:0:0:0:0:0:1", "2001:db8::/32"])
def test_an_address_is_found_however_it_is_written(text: str) -> None:
    is_meant = _filter(ConnectionsQuestion(address=text))
    for remote, expected in (("2001:db8::1", True), ("2001:db9::1", False), ("127.0.0.1", False), (None, False)):
        connection: Any = SimpleNamespace(request=SimpleNamespace(remote=remote))
        assert is_meant(connection) is expected


async def test_a_connection_is_described_and_its_secrets_are_not(server: Book, op: Operator) -> None:
    async with fanwire.connect(server.url + "/x?as=ann&token=hush") as client:
        conn = (await until(lambda: server.opened))[0]
        await client.join("a")
        listed = (await op.get("/connections"))["connections"][0]
        status, found = await op.ask("GET", f"/connections/{listed['id']}")
        assert status == 200
        assert (found["subject"], found["scopes"], found["log_id"]) == ("ann", ["chat"], f"{conn.id:#x}")
        assert (found["address"], found["codec"], found["transport"]) == ("127.0.0.1", "json", "websocket")
        assert (found["path"], found["tls"], found["state"]) == ("/x", "no", "open")
        assert found["room_names"] == sorted(conn.rooms)
        assert found["received_messages"] >= 1
        assert (found["user_agent"], found["resumes"], found["moves"]) == (conn.request.user_agent or "", 0, 0)
        queue = found["queue"]
        assert (queue["waiting_bytes"], queue["waiting_messages"], queue["waits_for"]) == (0, 0, None)
        assert (queue["sent_messages"] > 0, queue["sent_bytes"] > 0, queue["dropped"]) == (True, True, {})
        # By the id of its repr, and by its session's name.
        assert (await op.get(f"/connections/{conn.id:#x}"))["id"] == found["id"]
        assert (await op.get(f"/sessions/{found['session']}"))["id"] == found["id"]
        assert (await op.get(f"/sessions/{found['id']}"))["id"] == found["id"]
        assert conn.session is not None
        assert not set(conn.session.split(".")) & set(map(str, found.values()))
        assert "hush" not in str(found)
    for conn_id, wanted in (("ffffffff", 404), ("nothex", 400), ("a.b.c", 400), ("abc.12", 404), ("0" * 40, 400)):
        assert (await op.fails("GET", f"/connections/{conn_id}"))[0] == wanted, conn_id
    assert await op.fails("GET", "/sessions/0123456789abcdef") == (404, "unknown_session")


async def test_a_connection_is_closed_with_a_code_and_a_reason(server: Book, op: Operator) -> None:
    async with server.client("/a") as client:
        conn_id = (await until(lambda: server.opened))[0].id
        done = await op.post(f"/connections/{conn_id:x}/disconnect", {"code": 4001, "reason": "maintenance"})
        assert done["connections"] == 1
        with pytest.raises(ConnectionClosed) as closed:
            await take(client, 1)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "maintenance")
    await server.ended()
    assert await op.fails("POST", f"/connections/{conn_id:x}/disconnect") == (404, "unknown_connection")


@pytest.mark.parametrize(
    "body",
    [{"code": 1005}, {"code": 999}, {"code": "1000"}, {"code": 5000}, {"reason": "x" * 124}, {"y": 1}, [], 7],
)
async def test_a_wrong_body_closes_nothing(server: Book, op: Operator, body: Any) -> None:
    async with server.client("/a"):
        conn_id = (await until(lambda: server.opened))[0].id
        assert await op.fails("POST", f"/connections/{conn_id:x}/disconnect", json=body) == (400, "bad_body")
        assert await op.fails("POST", f"/connections/{conn_id:x}/disconnect", data=b"{") == (400, "bad_body")
        assert await op.fails("POST", f"/connections/{conn_id:x}/disconnect", data=b"\xff") == (400, "bad_body")
        head = {"Content-Type": "text/xml"}
        assert (await op.fails("POST", f"/connections/{conn_id:x}/disconnect", data=b"x", headers=head))[0] == 415
        assert server.opened[0].state is fanwire.ConnectionState.OPEN


async def test_a_session_is_revoked(server: Book, op: Operator) -> None:
    async with fanwire.connect(server.url) as client:
        await until(lambda: server.opened)
        name = (await op.get("/sessions"))["connections"][0]["session"]
        assert (await op.post(f"/sessions/{name}/revoke", {"reason": "stolen"}))["connections"] == 1
        conn = await server.ended()
        assert (conn.close_code, conn.close_reason) == (4502, "stolen")
        await within(until(lambda: client.state is not fanwire.ConnectionState.OPEN))
    assert await op.fails("POST", f"/sessions/{name}/revoke") == (404, "unknown_session")


async def test_a_session_that_waits_for_its_client_is_revoked(server: Book, op: Operator) -> None:
    peer = await server.dial()
    head = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: fanwire.v1.json\r\n\r\n"
    await peer.send(head.encode())
    conn = (await until(lambda: server.opened))[0]
    peer.close()
    await until(lambda: conn.is_reconnecting)
    waiting = (await op.get("/sessions?state=reconnecting"))["connections"]
    assert len(waiting) == 1
    assert (await op.post(f"/sessions/{waiting[0]['session']}/revoke"))["connections"] == 1
    await server.ended()
    assert (await op.get("/sessions"))["count"] == 0


async def test_users_are_listed_and_disconnected(server: Book, op: Operator) -> None:
    async with server.client("/a?as=ann"), server.client("/a?as=ann"), server.client("/a?as=b*"):
        await until(lambda: len(server.opened) == 3)
        users = await op.pages("/users?limit=1", "users")
        assert [(user["subject"], user["connections"]) for user in users] == [("ann", 2), ("b*", 1)]
        assert (await op.get("/users?pattern=a*"))["count"] == 1
        assert len((await op.get("/users/ann"))["connections"]) == 2
        assert (await op.get("/users/nobody"))["connections"] == []
        # A subject is one subject here, and no pattern.
        assert (await op.post("/users/b*/disconnect", {"reason": "enough"}))["connections"] == 1
        assert (await server.ended(1)).close_reason == "enough"
        assert (await op.post("/users/ann/disconnect"))["connections"] == 2
        assert (await server.ended(3)).close_code == 4502
