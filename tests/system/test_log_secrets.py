"""No line of any level has a token, a cookie, or the id with which a session is resumed."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import pytest
from helpers.fallback import asked
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from helpers.wire import Peer, request
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

import fanwire
from fanwire.auth import JWT, Keys

SECRET = "s3cr3t-" + "x" * 20
"""In every credential, with a text that says in which."""


def placed(where: str) -> str:
    return f"{SECRET}-{where}"


def authenticate(request: fanwire.Request) -> fanwire.Identity:
    token = request.credential(("header", "subprotocol", "query", "cookie:session"))
    if token is None or not token.startswith(SECRET) or "wrong" in token:
        raise fanwire.Refused(401, "the token is not known")
    return fanwire.Identity(subject=token.removeprefix(SECRET + "-"))


async def connect_with_each(server: Book, mark: str) -> None:
    """Connects, or is refused, with a token in each place in which there may be one."""
    for path, options in (
        (f"/a?token={placed('query' + mark)}&x=1", {}),
        (f"/a?to%6ben={placed('coded' + mark)}", {}),
        ("/a", {"additional_headers": {"Authorization": f"Bearer {placed('header' + mark)}"}}),
        (
            "/a",
            {
                "additional_headers": {"Cookie": f"session={placed('cookie' + mark)}"},
                "origin": f"http://127.0.0.1:{server.port}",
            },
        ),
        (
            "/a",
            {
                "subprotocols": [
                    Subprotocol(f"fanwire.token.{placed('subprotocol' + mark)}"),
                    Subprotocol("fanwire.v1.json"),
                ]
            },
        ),
    ):
        with contextlib.suppress(InvalidStatus):
            async with server.client(path, **options) as client:
                await within(client.close(1000))


async def test_no_line_has_a_credential(caplog: pytest.LogCaptureFixture) -> None:
    # The clients run in this process, too, and their library logs what it sends.
    caplog.set_level(logging.WARNING, "websockets")
    caplog.set_level(logging.DEBUG)
    server = Book(authenticate=authenticate, origins=None, api_keys=[placed("key-that-is-long-enough")])
    async with server:
        server.room("*", publish=True)
        await connect_with_each(server, "")
        assert len(server.opened) == 5
        await connect_with_each(server, "wrong")
        assert len(server.opened) == 5
        async with await Peer.dial("127.0.0.1", server.port) as peer:
            # Refused by the engine: it is no handshake.
            await peer.send(request(f"/a?token={placed('early')}", {"Sec-WebSocket-Version": "7"}))
            assert (await peer.response()).status == 426
        for key in ("key-that-is-long-enough", "another key"):
            await asked(server.port, "POST", "/publish?room=a", b"x", Authorization=f"Bearer {placed(key)}")
        await asked(server.port, "GET", f"/rooms/a?token={placed('wrong stream')}".replace(" ", "%20"))
        headers = {"Authorization": f"Bearer {placed('session')}"}
        talk = await Talk.open(server, additional_headers=headers)
        sessions = [talk.session]
        assert (await talk.ask("token", payload={"token": placed("wrong renewal")}))["type"] == "error"
        talk.cut()
        await until(lambda: server.opened[-1].is_reconnecting)
        again = await Talk.open(server, after=talk, additional_headers=headers)
        assert again.welcome["resumed"]
        server.revoke(again.session)
        await within(again.socket.wait_closed())
        # The session has ended: a new one begins, and has its lineage.
        last = await Talk.open(server, after=again, additional_headers=headers)
        sessions.append(last.session)
        await last.close()
        await server.ended(len(server.opened))
    lines = [caplog.handler.format(record) + repr(record.__dict__) for record in caplog.records]
    assert sum("event=session_resumed" in line for line in lines) == 1
    assert sum("event=handshake_refused" in line for line in lines) >= 6
    assert any("path=/a" in line and "426" in line for line in lines), "a refusal by the engine"
    secrets = [SECRET, *sessions, *(part for session in sessions for part in session.split("."))]
    for line in lines:
        for secret in secrets:
            assert secret not in line


async def test_a_token_that_is_no_token_is_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "fanwire")
    async with Book(authenticate=JWT(Keys.secret("k" * 40), algorithms=["HS256"])) as server:
        for token in (placed("plain"), f"{placed('a')}.{placed('b')}.{placed('c')}", "e30." + placed("d") + ".x"):
            with pytest.raises(InvalidStatus):
                async with server.client("/a", additional_headers={"Authorization": f"Bearer {token}"}):
                    pass
    refused = [record.getMessage() for record in caplog.records if "handshake_refused" in record.getMessage()]
    assert len(refused) == 3
    assert not any(SECRET in line for line in refused)


async def other_application(scope: Any, receive: Any, send: Any) -> None:
    """An application that refuses WebSockets at "/no", and takes all others."""
    assert scope["type"] == "websocket"
    await receive()
    if scope["path"] == "/no":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": placed("message")})
    await send({"type": "websocket.close"})


async def test_websockets_of_an_application_log_no_headers_and_frames(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Book(app=other_application) as server:
        for path in ("/no", "/yes"):
            async with await Peer.dial("127.0.0.1", server.port) as peer:
                headers = {"Authorization": f"Bearer {placed('header')}", "Cookie": f"session={placed('cookie')}"}
                await peer.send(request(f"{path}?token={placed('query')}", headers))
                assert (await peer.response()).status == (403 if path == "/no" else 101)
                if path == "/yes":
                    await peer.closed()
    lines = [caplog.handler.format(record) + repr(record.__dict__) for record in caplog.records]
    assert not [line for line in lines if SECRET in line]


async def test_a_subscription_of_the_server_logs_no_frames(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Book() as server:
        server.room("a")
        async with server.subscribe("*") as messages:
            server.publish("a", 1)
            assert (await within(anext(messages))).data == 1
    assert not [record for record in caplog.records if record.name.startswith("websockets")]
