"""Arguments of the client: a wrong one is told by its name, at once. Without that some would never be answered."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
from helpers.serving import Book
from helpers.wait import within

import fanwire

CONTEXT = ssl.create_default_context()


@pytest.mark.parametrize(
    ("given", "error", "reason"),
    [
        ({"encoding": "cbor"}, ValueError, 'encoding must be "json" or "msgpack", got'),
        ({"encoding": None}, TypeError, "encoding must be a str, got None"),
        ({"compression": "gzip"}, ValueError, 'compression must be "deflate" or None, got'),
        ({"compression": True}, TypeError, 'compression must be "deflate" or None, got True'),
        ({"max_attempts": 0}, ValueError, "max_attempts must be at least 1, got 0"),
        ({"max_attempts": 1.5}, TypeError, "max_attempts must be a whole number, got 1.5"),
        ({"first_attempts": -1}, ValueError, "first_attempts must be at least 1, got -1"),
        ({"first_attempts": True}, TypeError, "first_attempts must be a whole number, got True"),
        ({"heartbeat": 0}, ValueError, "heartbeat must be more than 0, got 0"),
        ({"heartbeat": float("nan")}, ValueError, "heartbeat must be a number, got nan"),
        ({"heartbeat": float("inf")}, ValueError, "heartbeat must be at most 1000000000, got inf"),
        ({"heartbeat": "25"}, TypeError, "heartbeat must be a number, got '25'"),
        ({"max_queue": 0}, ValueError, "max_queue must be at least 1, got 0"),
        ({"max_queue": "10"}, TypeError, "max_queue must be a whole number, got '10'"),
        ({"max_queue": None}, TypeError, "max_queue must be a whole number, got None"),
        ({"open_timeout": 0}, ValueError, "open_timeout must be more than 0, got 0"),
        ({"open_timeout": None}, TypeError, "open_timeout must be a number, got None"),
        ({"open_timeout": -1}, ValueError, "open_timeout must be more than 0, got -1"),
        ({"close_timeout": float("nan")}, ValueError, "close_timeout must be a number, got nan"),
        ({"close_timeout": "5"}, TypeError, "close_timeout must be a number, got '5'"),
        ({"ssl": True}, TypeError, "ssl must be an ssl.SSLContext, got True"),
        ({"ssl": CONTEXT}, ValueError, "ssl is for wss:// URLs, got 'ws://127.0.0.1:8000'"),
        ({"token": 7}, TypeError, "token"),
        ({"headers": "X: y"}, TypeError, "headers"),
    ],
)
def test_arguments_of_connect(given: dict[str, Any], error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        fanwire.connect("ws://127.0.0.1:8000", **given)


@pytest.mark.parametrize("url", [None, 7, b"ws://localhost", "", "http://localhost", "ws://", "ws://localhost:99999"])
def test_what_is_no_url(url: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="url"):
        fanwire.connect(url)


@pytest.mark.parametrize("context", [
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
], ids=["plain", "default"])  # fmt: skip
def test_a_context_for_servers(context: ssl.SSLContext) -> None:
    with pytest.raises(ValueError, match=r"ssl must be a context for clients, .* got one for servers"):
        fanwire.connect("wss://localhost", ssl=context)


def test_what_is_right() -> None:
    fanwire.connect(
        "wss://localhost", max_attempts=None, first_attempts=1, heartbeat=0.5, ssl=ssl.create_default_context(),
        max_queue=1, open_timeout=1, close_timeout=0.1, compression="deflate",
    )  # fmt: skip


Call = Callable[[fanwire.Client], Any]

CALLS: list[tuple[Call, type[Exception], str]] = [
    (lambda client: client.join(7), TypeError, "room must be a str, got 7"),
    (lambda client: client.join(""), ValueError, "room must not be empty"),
    (lambda client: client.join("\ud800"), ValueError, "room must be Unicode text"),
    (lambda client: client.join("a", since="x"), TypeError, "since must be a Position"),
    (lambda client: client.join("a", since=("e", "7")), TypeError, "seq of since"),
    (lambda client: client.join("a", since=("e", -1)), ValueError, "seq of since must be at least 0, got -1"),
    (lambda client: client.leave(None), TypeError, "room must be a str, got None"),
    (lambda client: client.publish(7, "x"), TypeError, "room must be a str, got 7"),
    (lambda client: client.publish("a", "x", key=7), TypeError, "key must be a str, got 7"),
    (lambda client: client.publish("a", "x", key="\ud800"), ValueError, "key must be Unicode text"),
    (lambda client: client.request(7), TypeError, "kind must be a str, got 7"),
    (lambda client: client.request(""), ValueError, "kind must not be empty"),
    (lambda client: client.request("x" * 65), ValueError, "kind must have at most 64 bytes of UTF-8, got 65"),
    (lambda client: client.presence(7), TypeError, "room must be a str, got 7"),
]


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_arguments_of_calls(encoding: str) -> None:
    server = Book()
    server.room("*", publish=True)
    async with server, fanwire.connect(server.url, encoding=encoding) as client:
        for call, error, reason in CALLS:
            with pytest.raises(error, match=reason):
                await within(call(client))
        room = await within(client.join("a"))
        for register in (client.on_state, client.on_room, room.on_gap, room.on_skipped, room.on_member, room.on_end):
            with pytest.raises(TypeError, match="callback must be a function, got 7"):
                register(7)
        assert await within(client.publish("a", "x")) == 1
