"""What a client cannot decode costs it that message, which is told, and neither its connection nor its session."""

from __future__ import annotations

import json
import logging
from typing import Any

import msgspec
import pytest
from helpers.scripted import WELCOME, Peer, no_tasks_left, scripted
from helpers.serving import Book
from helpers.wait import until, within

from fanwire.client import ConnectionFailed, Gap, RequestFailed, RoomEnded, connect

ENCODINGS = pytest.mark.parametrize("encoding", ["json", "msgpack"])

DEEP = 20_000
"""Levels that no stack has."""

BAD: dict[str, list[bytes]] = {
    "json": [b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP, b'{"a":NaN}', b'["\\ud800"]', b"[1 2]"],
    "msgpack": [
        b"\x91" * DEEP + b"\xc0", b"\x81\xa1a" * DEEP + b"\xc0", msgspec.msgpack.encode([msgspec.msgpack.Ext(5, b"x")]),
        b"\x91\xa1\xff", b"\x91\xc1",
    ],
}  # fmt: skip


async def say_raw(peer: Peer, kind: str, payload: bytes, **fields: Any) -> None:
    """A message of the server's with these bytes as its payload."""
    if peer.is_text:
        head = json.dumps({"type": kind, **fields})[:-1].encode()
        await peer.socket.send((head + b',"payload":' + payload + b"}").decode())
    else:
        head = msgspec.msgpack.encode({"type": kind, **fields})
        assert 0x80 < head[0] < 0x8F
        await peer.socket.send(bytes([head[0] + 1]) + head[1:] + b"\xa7payload" + payload)


async def counted(peer: Peer) -> dict[str, Any]:
    """The next message of the client's that is no acknowledgement."""
    while (message := await peer.hear())["type"] == "received":
        pass
    return message


@ENCODINGS
async def test_a_message_of_a_room_that_cannot_be_decoded_is_a_gap_that_is_told(
    encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    count = len(BAD[encoding])

    async def first(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await peer.let_in()
        await peer.say("message", room="r", seq=1, payload="before")
        await peer.say("reply", re=(await counted(peer))["id"])
        for seq, payload in enumerate(BAD[encoding], 2):
            await say_raw(peer, "message", payload, room="r", seq=seq)
        await peer.say("message", room="r", seq=count + 2, payload="after")
        assert (await counted(peer))["type"] == "publish"
        peer.cut()

    async def second(peer: Peer) -> None:
        # The same session, and what could not be read counts as received.
        assert (peer.query["session"], peer.query["received"]) == ("S", str(count + 4))
        await peer.say("welcome", payload={**WELCOME, "resumed": True, "received": 2})
        await peer.say("reply", re=(await counted(peer))["id"], room="r", seq=99)

    async with scripted(first, second) as url, connect(url, encoding=encoding) as client:
        room = await within(client.join("r"))
        gaps: list[Gap] = []
        room.on_gap(gaps.append)
        assert (await within(anext(room))).data == "before"
        await within(client.request("go"))
        message = await within(anext(room))
        assert (message.seq, message.data, message.gap) == (count + 2, "after", Gap("unreadable", 1, count + 1))
        assert gaps == [Gap("unreadable", seq - 1, seq) for seq in range(2, count + 2)]
        assert client.unreadable == count
        assert await within(client.publish("r", 1)) == 99
    told = [
        record for record in caplog.records if record.levelno == logging.WARNING and "cannot be read" in record.message
    ]
    assert len(told) == 1
    no_tasks_left()


@ENCODINGS
async def test_answers_and_direct_messages_that_cannot_be_decoded_cost_only_themselves(encoding: str) -> None:
    bad = BAD[encoding][0]

    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        for kind in ("reply", "error"):
            await say_raw(peer, kind, bad, re=(await counted(peer))["id"])
        # Of a publish, the number is all that matters.
        await say_raw(peer, "reply", bad, re=(await counted(peer))["id"], room="r", seq=7)
        await say_raw(peer, "message", bad, id="m1", ack=True)
        await say_raw(peer, "member_joined", bad, room="r", seq=1)
        await say_raw(peer, "error", bad)
        await say_raw(peer, "something-new", bad)
        join = await counted(peer)
        await say_raw(peer, "joined", bad, re=join["id"], room="r", seq=0)
        # It is left: the server has let it in.
        assert (await counted(peer))["type"] == "leave"
        await peer.say("message", id="m2", payload="after")
        await peer.say("reply", re=(await counted(peer))["id"], payload="fine")

    async with scripted(script) as url, connect(url, encoding=encoding) as client:
        messages = client.messages()
        for _ in range(2):
            with pytest.raises(RequestFailed) as failed:
                await within(client.request("ask"))
            assert failed.value.code == "unreadable"
        assert await within(client.publish("r", 1)) == 7
        with pytest.raises(RequestFailed) as failed:
            await within(client.join("r"))
        assert failed.value.code == "unreadable"
        assert (await within(anext(messages))).data == "after"
        assert await within(client.request("ask")) == "fine"
        assert client.unreadable == 8
    no_tasks_left()


@ENCODINGS
async def test_a_room_whose_new_beginning_cannot_be_decoded_ends_with_a_reason(encoding: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await peer.let_in()
        await say_raw(peer, "joined", BAD[encoding][0], room="r", seq=5)
        assert (await counted(peer))["type"] == "leave"

    async with scripted(script) as url, connect(url, encoding=encoding) as client:
        room = await within(client.join("r"))
        with pytest.raises(RoomEnded) as ended:
            await within(anext(room))
        assert ended.value.code == "unreadable"


@ENCODINGS
@pytest.mark.usefixtures("eager_clients")
async def test_a_server_that_sends_no_envelopes_again_and_again_is_given_up(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if each connection had lasted.
    monkeypatch.setattr("fanwire.client.backoff.SETTLED", 0.0)
    monkeypatch.setattr("fanwire.client.backoff.AT_ONCE", 0.01)

    async def script(peer: Peer) -> None:
        await peer.say("welcome", payload=WELCOME)
        await peer.socket.send("{" if peer.is_text else b"\xc1")

    async with scripted(script, script, script) as url, connect(url, encoding=encoding, max_attempts=2) as client:
        await until(lambda: client.state.name == "CLOSED", "it is given up")
        with pytest.raises(ConnectionFailed, match="no envelope"):
            await within(client.publish("r", 1))


@ENCODINGS
async def test_bytes_that_were_never_checked_are_a_gap_at_clients_and_never_a_string(encoding: str) -> None:
    """The engine's own interface trusts its caller, and so does orjson.Fragment."""
    server = Book()
    server.room("r", history=10)
    async with server, connect(server.url, encoding=encoding) as client:
        room = await within(client.join("r"))
        documents = [
            b"[" * 5000 + b"]" * 5000,
            b"[NaN]",
            b'{"a":[1 2]}',
            b"9" * 400 if encoding == "msgpack" else b"[nul]",
        ]
        for document in documents:
            server._engine.publish("r", document, True)
        server.publish("r", "after")
        message = await within(anext(room))
        assert (message.data, message.gap) == ("after", Gap("unreadable", 0, len(documents)))
