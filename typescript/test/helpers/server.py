"""A server for the tests of the TypeScript client. It prints its port, and stops when its input ends."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import fanwire
from fanwire.auth import ANONYMOUS, Anonymous

LIFE = 2.5
"""Seconds of a token that expires: time for the notice and for a renewal."""


def authenticate(request: fanwire.Request) -> fanwire.Identity | Anonymous | None:
    token = request.bearer or request.subprotocol_token
    if token is None:
        return ANONYMOUS
    if token.startswith("short."):
        return fanwire.Identity(subject="short", expires=time.time() + LIFE)
    return fanwire.Identity(subject=token) if token.startswith("user.") else None


server = fanwire.Server(
    port=0,
    authenticate=authenticate,
    config=fanwire.Config(
        token_notice=2.0,
        # So late a renewal may come: machines are busy.
        token_grace=60.0,
        message_rate=0,
        drain_timeout=1.0,
        max_parked=10_000,
        connection_bytes=16 << 20,
        replay_bytes=16 << 20,
    ),
)
server.room("feed.*", history=200_000, history_bytes=1 << 28)
server.room("chat.*", publish=True, history=1000, presence=True)
server.room("live.*", publish=True)
server.room("latest.*", publish=True, delivery="latest")
server.room("closed.*", join=False)


@server.on("echo")
def echo(conn: fanwire.Connection, payload: Any) -> Any:
    return payload


@server.on("whoami")
def whoami(conn: fanwire.Connection, payload: Any) -> Any:
    return {
        "subject": conn.identity.subject if conn.identity else None,
        "id": conn.id,
        "transport": getattr(conn, "transport", "websocket"),
    }


@server.on("refuse")
def refuse(conn: fanwire.Connection, payload: Any) -> Any:
    raise fanwire.Reject("out_of_stock", "3 are left", data={"left": 3}, retry_after=2.0)


@server.on("wait")
async def wait(conn: fanwire.Connection, seconds: float) -> Any:
    await asyncio.sleep(seconds)
    return seconds


@server.on("to_me")
def to_me(conn: fanwire.Connection, data: Any) -> None:
    conn.send(data)


@server.on("put_me")
def put_me(conn: fanwire.Connection, room: str) -> None:
    conn.join(room)


@server.on("remove_me")
def remove_me(conn: fanwire.Connection, room: str) -> None:
    server.remove(room, conn, reason="closed for today")


@server.on("close_me")
def close_me(conn: fanwire.Connection, code: int) -> None:
    conn.close(code, "as you wish")


@server.on("feed")
def feed(conn: fanwire.Connection, order: dict[str, Any]) -> None:
    """Publishes numbers from 1 on, so many a second, in a room of its own."""

    async def publish() -> None:
        start = time.monotonic()
        count = 0
        while count < order["count"]:
            await asyncio.sleep(0.005)
            for _ in range(min(100, int((time.monotonic() - start) * order["rate"]) - count)):
                count += 1
                server.publish(order["room"], {"n": count, "pad": "x" * (count * 7 % 200)})
                if count == order["count"]:
                    break

    global feeding
    feeding = asyncio.ensure_future(publish())


feeding: asyncio.Future[None] | None = None


async def main() -> None:
    async with server:
        print(server.port, flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await reader.read()


asyncio.run(main())
