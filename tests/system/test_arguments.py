"""Methods of a running server and its connections: a wrong argument is told by its name, and nothing happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers.serving import Book
from helpers.wait import until

import fanwire

Call = Callable[[fanwire.Server, fanwire.Connection], Any]

WRONG: list[tuple[Call, type[Exception], str]] = [
    (lambda server, conn: server.publish(7, "x"), TypeError, "room must"),
    (lambda server, conn: server.publish("", "x"), ValueError, "room must"),
    (lambda server, conn: server.publish("a", "x", key=7), TypeError, "key must"),
    (lambda server, conn: server.publish("a", "x", exclude="abc"), TypeError, "exclude must"),
    (lambda server, conn: server.publish("a", "x", delivery=7), TypeError, "delivery must"),
    (lambda server, conn: server.publish("a", "x", delivery="fast"), ValueError, "delivery must be"),
    (lambda server, conn: server.broadcast("x", exclude=["a"]), TypeError, "exclude must"),
    (lambda server, conn: server.broadcast("x", delivery="fast"), ValueError, "delivery must be"),
    (lambda server, conn: server.forget(7, "k"), TypeError, "room must"),
    (lambda server, conn: server.forget("a", None), TypeError, "key must"),
    (lambda server, conn: server.count(None), TypeError, "room must"),
    (lambda server, conn: server.disconnect_user(None), TypeError, "subject must"),
    (lambda server, conn: server.disconnect_user(""), ValueError, "subject must not be empty"),
    (lambda server, conn: server.disconnect_user("a", reason=7), TypeError, "reason must"),
    (lambda server, conn: server.revoke(None), TypeError, "session must"),
    (lambda server, conn: server.revoke("x", reason=None), TypeError, "reason must"),
    (lambda server, conn: server.reauthorize(7), TypeError, "subject must"),
    (lambda server, conn: server.reauthorize(""), ValueError, "subject must not be empty"),
    (lambda server, conn: server.send_to_user(7, "x"), TypeError, "subject must"),
    (lambda server, conn: server.send_to_user("", "x"), ValueError, "subject must not be empty"),
    (lambda server, conn: server.send_to_user("a", "x", delivery="fast"), ValueError, "delivery must be"),
    (lambda server, conn: conn.join(7), TypeError, "room must"),
    (lambda server, conn: conn.join(""), ValueError, "room must"),
    (lambda server, conn: conn.leave(None), TypeError, "room must"),
    (lambda server, conn: conn.send("x", delivery="fast"), ValueError, "delivery must be"),
    (lambda server, conn: conn.send("x", delivery=7), TypeError, "delivery must"),
    (lambda server, conn: conn.send("x", ack=True, timeout=0), ValueError, "timeout must be more than 0"),
    (lambda server, conn: conn.send("x", ack=True, timeout="5"), TypeError, "timeout must"),
    (lambda server, conn: conn.send("x", ack="no"), TypeError, "ack must be True or False"),
    (lambda server, conn: conn.close("1000"), TypeError, "code must"),
    (lambda server, conn: conn.close(1000, 7), TypeError, "reason must"),
    (lambda server, conn: conn.close(1005), ValueError, "1005"),
]

AWAITED: list[tuple[Call, type[Exception], str]] = [
    (lambda server, conn: server.publish_acked(7, "x"), TypeError, "room must"),
    (lambda server, conn: server.publish_acked("a", "x", id=7), TypeError, "id must"),
    (lambda server, conn: server.publish_acked("a", "x", id=""), ValueError, "id must"),
    (lambda server, conn: server.publish_acked("a", "x", id="\ud800"), ValueError, "id must be Unicode text"),
    (lambda server, conn: server.presence(7), TypeError, "room must"),
    (
        lambda server, conn: conn.may("read", "a"),
        ValueError,
        'action must be "join", "publish", "presence" or "history"',
    ),
    (lambda server, conn: conn.may("join", 7), TypeError, "room must"),
    (lambda server, conn: server.stop(-1), ValueError, "timeout must be at least 0"),
    (lambda server, conn: server.stop(float("nan")), ValueError, "timeout must"),
    (lambda server, conn: server.stop("1"), TypeError, "timeout must"),
]


@pytest.mark.parametrize("subprotocol", [None, "fanwire.v1.json"])
async def test_a_wrong_argument_is_named_and_nothing_happens(subprotocol: str | None) -> None:
    options: dict[str, Any] = {} if subprotocol is None else {"subprotocols": [subprotocol]}
    async with Book() as server, server.client("/a", **options):
        conn = server.opened[0]
        for call, error, reason in WRONG:
            if conn.session is None and "timeout" in reason:
                # Of a client that cannot acknowledge that is told first.
                error, reason = TypeError, "acknowledge"
            with pytest.raises(error, match=reason):
                call(server, conn)
        for call, error, reason in AWAITED:
            with pytest.raises(error, match=reason):
                await call(server, conn)
        assert conn.rooms == {"a"}
        assert conn.close_code is None
        await until(lambda: server.count("a") == 1)
        assert server.publish("a", "x") == 1
        assert await server.presence("a") == {}
