"""The client over real sockets, against a server of another make that follows a script."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from helpers.scripted import JOINED, WELCOME, Peer, idle, no_tasks_left, scripted
from helpers.wait import until, within
from helpers.wire import TEXT, accept_of, frame
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Response

from fanwire.client import ConnectionFailed, Member, Position, RequestFailed, Room, RoomEnded, Skipped, connect
from fanwire.errors import Closed
from fanwire.state import ConnectionState


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_a_cut_connection_is_resumed(encoding: str) -> None:
    states: list[ConnectionState] = []

    async def first(peer: Peer) -> None:
        assert peer.query == {"a": "1", "batch": "1", "delta": "1"}
        assert peer.headers["Authorization"] == "Bearer t1"
        await peer.say("welcome", payload=WELCOME)
        await peer.let_in(seq=4)
        for seq in (5, 6):
            await peer.say("message", room="prices", seq=seq, payload={"n": seq}, ts=9)
        publish = await peer.hear()
        assert (publish["type"], publish["payload"]) == ("publish", "mine")
        peer.cut()

    async def second(peer: Peer) -> None:
        assert peer.query == {"a": "1", "batch": "1", "delta": "1", "session": "S", "received": "3"}
        assert peer.headers["Authorization"] == "Bearer t2"
        await peer.say("welcome", payload={**WELCOME, "resumed": True, "received": 1})
        publish = await peer.hear()
        await peer.say("message", room="prices", seq=7, payload={"n": 7})
        await peer.say("reply", re=publish["id"], room="prices", seq=7)

    tokens = iter(["t1", "t2"])

    async def token() -> str:
        return next(tokens)

    async with scripted(first, second) as url:
        async with connect(url, encoding=encoding, token=token) as client:
            client.on_state(states.append)
            assert (client.state, client.session) == (ConnectionState.OPEN, "S")
            room = await within(client.join("prices"))
            assert (room.position, room.delivery) == (Position("e", 4), "reliable")
            assert [(await within(anext(room))).data for _ in range(2)] == [{"n": 5}, {"n": 6}]
            assert await within(client.publish("prices", "mine")) == 7
            message = await within(anext(room))
            assert (message.seq, message.data, message.gap) == (7, {"n": 7}, None)
            assert room.position == ("e", 7)
        assert client.state is ConnectionState.CLOSED
    assert states == [
        ConnectionState.RECONNECTING,
        ConnectionState.OPEN,
        ConnectionState.CLOSING,
        ConnectionState.CLOSED,
    ]
    with pytest.raises(StopAsyncIteration):
        await within(anext(room))
    no_tasks_left()


async def test_a_reset_that_comes_together_with_data_is_noticed() -> None:
    """A socket of our own: a loop's transport sends its reset later than its data."""
    loop = asyncio.get_running_loop()
    welcome = frame(TEXT, json.dumps({"type": "welcome", "payload": WELCOME}).encode(), mask=False)

    async def let_in(listener: socket.socket) -> socket.socket:
        peer, _ = await within(loop.sock_accept(listener))
        peer.setblocking(False)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await within(loop.sock_recv(peer, 4096))
        key = next(line for line in head.decode().splitlines() if line.lower().startswith("sec-websocket-key:"))
        lines = [
            "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_of(key.split(':')[1].strip())}", "Sec-WebSocket-Protocol: fanwire.v1.json",
        ]  # fmt: skip
        await loop.sock_sendall(peer, ("\r\n".join(lines) + "\r\n\r\n").encode() + welcome)
        return peer

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        client = connect(f"ws://127.0.0.1:{listener.getsockname()[1]}")
        opening = asyncio.ensure_future(client.__aenter__())
        peer = await let_in(listener)
        await within(opening)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.send(frame(TEXT, b'{"type":"pong"}', mask=False))
        peer.close()
        with await let_in(listener):
            await until(lambda: client.state is ConnectionState.OPEN)
        await client.__aexit__(None, None, None)


async def test_a_new_session_goes_on_with_a_gap() -> None:
    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await peer.let_in(seq=4)
        peer.cut()

    async def second(peer: Peer) -> None:
        await peer.say("welcome", payload={**WELCOME, "session": "T", "reason": "expired"})
        join = await peer.let_in(seq=9)
        assert join["payload"] == {"since": {"epoch": "e", "seq": 4}}
        await peer.say("message", room="r", seq=10, payload=10)

    gaps: list[Any] = []
    async with scripted(first, second) as url, connect(url) as client:
        room = await within(client.join("r"))
        room.on_gap(gaps.append)
        message = await within(anext(room))
        assert (message.seq, message.gap) == (10, gaps[0])
        assert (message.gap.after, message.gap.upto) == (4, 9)
        assert client.session == "T"


async def test_calls_and_their_errors() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        request = await peer.hear()
        await peer.say("reply", re=request["id"], payload=sum(request["payload"]))
        request = await peer.hear()
        error = {"code": "overloaded", "text": "later", "retry": True, "retry_after_ms": 5}
        await peer.say("error", re=request["id"], payload=error)
        request = await peer.hear()
        await peer.say("reply", re=request["id"], payload={"count": 0, "members": []})
        join = await peer.hear()
        await peer.say("error", re=join["id"], payload={"code": "forbidden", "text": "no", "retry": False})
        await peer.hear()

    async with scripted(script) as url:
        async with connect(url) as client:
            assert await within(client.request("sum", [1, 2])) == 3
            with pytest.raises(RequestFailed, match="overloaded: later") as caught:
                await within(client.request("sum"))
            assert (caught.value.retry, caught.value.retry_after_ms) == (True, 5)
            assert await within(client.presence("r")) == {}
            with pytest.raises(RequestFailed, match="forbidden"):
                await within(client.join("r"))
            assert client.rooms == {}
            waiting = asyncio.ensure_future(client.request("never"))
            await asyncio.sleep(0)
        with pytest.raises(Closed):
            await within(waiting)
        with pytest.raises(Closed):
            await client.join("r")


async def test_messages_to_this_client_are_acknowledged_when_the_next_is_asked_for() -> None:
    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        for number in range(2):
            await peer.say("message", id=f"m{number}", ack=True, payload=number)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(peer.socket.recv(), 0.1)
        heard.set()
        assert await peer.hear() == {"type": "ack", "re": "m0"}
        await peer.say("message", id="m2", payload=2)

    async with scripted(script) as url, connect(url) as client:
        messages = client.messages()
        assert (await within(anext(messages))).data == 0
        await within(heard.wait())
        assert (await within(anext(messages))).data == 1
        assert (await within(anext(messages))).data == 2


async def test_a_close_code_that_says_so_ends_everything() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await peer.let_in()
        await peer.socket.close(4500, "banned")

    async with scripted(script) as url, connect(url) as client:
        room = await within(client.join("r"))
        for what in (anext(room), anext(client.messages()), client.publish("r", 1)):
            with pytest.raises(ConnectionFailed, match="4500 banned"):
                await within(what)
        assert client.state is ConnectionState.CLOSED
    no_tasks_left()


async def test_a_server_that_does_not_answer_a_close_is_left() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        answer = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        answer += [f"Sec-WebSocket-Accept: {accept_of(key)}", "Sec-WebSocket-Protocol: fanwire.v1.json", "", ""]
        welcome = json.dumps({"type": "welcome", "payload": WELCOME}).encode()
        writer.write("\r\n".join(answer).encode() + frame(TEXT, welcome, mask=False))
        while await reader.read(1000):
            pass
        writer.close()

    async with await asyncio.start_server(deaf, "127.0.0.1", 0) as server:
        client = connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", close_timeout=0.1)
        await within(client.__aenter__())
        assert client.state is ConnectionState.OPEN
        await within(client.close())
        assert client.state is ConnectionState.CLOSED
    no_tasks_left()


@pytest.mark.logs_errors
async def test_callbacks_are_told_and_one_that_fails_harms_nobody() -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await peer.say("joined", room="given", seq=1, payload={**JOINED, "members": [{"id": "1", "info": "Ann"}]})
        await peer.say("message", room="given", seq=2, payload=2)
        await peer.say("member_joined", room="given", seq=2, payload={"id": "2", "info": "Bob"})
        await peer.say("member_left", room="given", seq=2, payload={"id": "1"})
        payload = {"reason": "excluded", "count": 1, "first": 3, "last": 3}
        await peer.say("skipped", room="given", payload=payload)
        await peer.say("left", room="given")

    rooms: list[Room] = []
    told: list[Any] = []

    def arrived(room: Room) -> None:
        rooms.append(room)
        room.on_member(told.append)
        room.on_skipped(told.append)
        raise RuntimeError("of the application")

    async with scripted(script) as url:
        client = connect(url)
        client.on_room(arrived)
        async with client:
            await until(lambda: len(told) == 3)
            assert told == [Member("2", "Bob", True), Member("1", None, False), Skipped("excluded", 1, 3, 3)]
            assert ((await within(anext(rooms[0]))).seq, rooms[0].members) == (2, {"2": "Bob"})
            with pytest.raises(RoomEnded, match="removed"):
                await within(anext(rooms[0]))
            assert client.rooms == {}


async def test_refusals() -> None:
    def refusal(status: HTTPStatus, **headers: str) -> Response:
        from websockets.datastructures import Headers

        return Response(status, status.phrase, Headers(headers), b"")

    later = [refusal(HTTPStatus.TOO_MANY_REQUESTS, **{"Retry-After": "0"}), refusal(HTTPStatus.UNAUTHORIZED)]
    tokens: list[str] = []

    def token() -> str:
        tokens.append("t")
        return "t"

    async with scripted(idle, refusals=later) as url, connect(url, token=token) as client:
        assert client.state is ConnectionState.OPEN
        assert len(tokens) == 3
    async with scripted(refusals=[refusal(HTTPStatus.FORBIDDEN)]) as url:
        with pytest.raises(ConnectionFailed, match="403") as caught:
            await within(connect(url).__aenter__())
        assert caught.value.status == 403
    no_tasks_left()


async def test_a_server_without_the_protocol() -> None:
    async def nothing(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionFailed, match=r"does not speak fanwire\.v1\.json"):
            await within(connect(f"ws://127.0.0.1:{port}/").__aenter__())
    no_tasks_left()


async def test_nobody_there() -> None:
    with socket.socket() as silent:
        # Bound, so that nobody else takes the port, and not listening.
        silent.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(ConnectionFailed, match="given up after 1 attempt:"):
            await within(connect(url, max_attempts=1).__aenter__())
    no_tasks_left()


async def test_cancelled_while_the_server_says_nothing() -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            asked.set()
        writer.close()
        ended.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        client = connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        opening = asyncio.ensure_future(client.__aenter__())
        await within(asked.wait())
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert client.state is ConnectionState.CLOSED
        no_tasks_left()
        await within(ended.wait())


async def test_a_close_does_not_wait_for_a_connection_that_is_lost_in_the_same_turn_of_the_loop() -> None:
    async with scripted(idle) as url:
        client = connect(url, close_timeout=600)
        await within(client.__aenter__())
        link = client._runtime.driver._link
        assert link is not None
        closing = asyncio.ensure_future(client.close())
        # Before the first step of anything that the close begins.
        asyncio.get_running_loop().call_soon(link._lost)
        await within(closing)
        assert client.state is ConnectionState.CLOSED


async def test_garbage_begins_a_new_session() -> None:
    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await peer.socket.send("{garbage")

    async def second(peer: Peer) -> None:
        assert peer.query == {"a": "1", "batch": "1", "delta": "1"}
        await peer.say("welcome", payload={**WELCOME, "session": "T"})

    async with scripted(first, second) as url, connect(url) as client:
        await until(lambda: client.session == "T")


@pytest.mark.logs_errors
@pytest.mark.parametrize("data", [b"\x81\x7e\x00\x01x", b"\x81\x02\xff\xff", b"\x80\x01x", b"\x83\x00"])
async def test_a_server_that_breaks_the_framing_is_left_for_a_new_connection(data: bytes) -> None:
    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        peer.socket.transport.write(data)

    async def second(peer: Peer) -> None:
        await peer.say("welcome", payload={**WELCOME, "resumed": "session" in peer.query, "session": "S"})
        await peer.say("message", payload="again")

    async with scripted(first, second) as url, connect(url) as client:
        assert (await within(anext(client.messages()))).data == "again"


async def test_tls(pem: tuple[Path, Path]) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*pem)
    trusting = ssl.create_default_context(cafile=str(pem[0]))
    async with scripted(idle, ssl=server) as url, connect(url, ssl=trusting) as client:
        assert client.state is ConnectionState.OPEN


@pytest.mark.parametrize(
    "options", [{"heartbeat": 0}, {"max_queue": 0}, {"encoding": "xml"}, {"max_attempts": 0}, {"url": "http://x/"}]
)
def test_arguments_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        connect(**{"url": "ws://localhost/", **options})
