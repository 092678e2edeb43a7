"""Ends for which a client or the network is the reason: closes, losses, silence, and broken rules."""

from __future__ import annotations

import contextlib
from typing import Any

from helpers.ends import parked, way
from helpers.fallback import Fallback, http
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from helpers.wire import BINARY, CLOSE, CONT, PING, TEXT, close_frame, frame

# The client closes.


@way("The client sends a close frame with a reason")
async def _(server: Book) -> None:
    async with server.client("/a") as client:
        await within(client.close(3000, "enough"))


@way("The client sends a close frame without a reason")
async def _(server: Book) -> None:
    async with server.client("/a") as client:
        await within(client.close())


@way("The client sends a close frame without a code")
async def _(server: Book) -> None:
    async with await server.peer("/a") as peer:
        await peer.send(close_frame())
        await peer.closed()


@way("The client of a session sends a close frame")
async def _(server: Book) -> None:
    await (await Talk.open(server)).close()


@way("The client of a session over long-polling closes it by a POST")
async def _(server: Book) -> None:
    async with Fallback(server.port, "long-poll") as client:
        await client.open()


@way("The client of a session will come back (codes 4000 to 4499)")
async def _(server: Book) -> None:
    talk = await Talk.open(server)
    await talk.socket.close(4000, "soon")
    await parked(server)


@way("The client of a session leaves its page (code 1001)")
async def _(server: Book) -> None:
    await (await Talk.open(server)).close(1001)
    await parked(server)


# The network.


@way("The transport ends without a close frame (FIN)")
async def _(server: Book) -> None:
    async with await server.peer("/a") as peer:
        peer.writer.write_eof()
        await server.ended()


@way("The client resets the transport (RST)")
async def _(server: Book) -> None:
    async with await server.peer("/a") as peer:
        await until(lambda: server.opened)
        peer.reset()
        await server.ended()


@way("The transport of TLS ends without a close frame", tls=True)
async def _(server: Book) -> None:
    async with await server.peer("/a", context=server.trusting) as peer:  # type: ignore[attr-defined]  # set below
        await until(lambda: server.opened)
        peer.close()
        await server.ended()


@way("The client of TLS sends what cannot be decrypted", tls=True)
async def _(server: Book) -> None:
    async with await server.peer("/a", context=server.trusting) as peer:  # type: ignore[attr-defined]  # set below
        await until(lambda: server.opened)
        below = peer.writer.get_extra_info("socket")
        with below.dup() if hasattr(below, "dup") else contextlib.nullcontext(below) as sock:
            sock.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        await server.ended()


@way("The reader of an event stream leaves")
async def _(server: Book) -> None:
    async with await server.dial() as peer:
        await peer.send(http("GET", "/rooms/a"))
        await peer.response()
        peer.close()
        await server.ended()


@way("The transport of a session ends without a close frame")
async def _(server: Book) -> None:
    (await Talk.open(server)).cut()
    await parked(server)


@way("The event stream of a session ends")
async def _(server: Book) -> None:
    async with Fallback(server.port, "sse") as client:
        await client.open()
        client.cut()
        await parked(server)


@way("The client of a session does not come back within `grace`", {"grace": 0.05})
async def _(server: Book) -> None:
    (await Talk.open(server)).cut()
    await server.ended()


# Silence.


@way("A ping is not answered", {"ping_interval": 0.05, "ping_timeout": 0.05, "min_rate": 1 << 40})
async def _(server: Book) -> None:
    async with await server.peer("/a"):
        await server.ended()


@way("A ping of a session is not answered", {"ping_interval": 0.05, "ping_timeout": 0.05, "min_rate": 1 << 40})
async def _(server: Book) -> None:
    async with await server.dial() as peer:
        await peer.upgrade("/a", {"Sec-WebSocket-Protocol": "fanwire.v1.json"})
        await parked(server)


@way("The client of long-polling asks for nothing", {"poll_timeout": 0.05, "ping_timeout": 0.05, "ping_interval": 0})
async def _(server: Book) -> None:
    async with Fallback(server.port, "long-poll") as client:
        await client.open()
        await parked(server)


@way("The client does not answer the server's close frame", {"close_timeout": 0.05, "min_rate": 1 << 40})
async def _(server: Book) -> None:
    async with await server.peer("/a"):
        await until(lambda: server.opened)
        server.opened[0].close(4999, "no more of this")
        await server.ended()


# Rules that the client breaks.


def breaks(name: str, *frames: bytes, **config: Any) -> None:
    """Adds a way: a client sends these frames."""

    async def do(server: Book) -> None:
        async with await server.peer("/a") as peer:
            await peer.send(*frames)
            await peer.closed()
            await peer.send(close_frame(1000))

    way(name, {"byte_rate": 0.0, **config})(do)


breaks("A frame without a mask", frame(TEXT, b"x", mask=False))
breaks("A frame with a reserved bit", frame(TEXT, b"x", rsv=4))
breaks("A frame with an unknown opcode", frame(3, b"x"))
breaks("A control frame in fragments", frame(PING, b"x", fin=False))
breaks("A control frame that is too long", frame(PING, bytes(126)))
breaks("A continuation of no message", frame(CONT, b"x"))
breaks("A message within another one", frame(TEXT, b"x", fin=False), frame(TEXT, b"y"))
breaks("A length in the wrong form", b"\x81\xfe\x00\x05" + bytes(9))
breaks("A close frame with a code that may not be sent", frame(CLOSE, (1005).to_bytes(2, "big")))
breaks("A close frame of one byte", frame(CLOSE, b"\x03"))
breaks("Text that is not UTF-8", frame(TEXT, b"\xff"))
breaks("A message larger than `max_message`", frame(BINARY, bytes(20_000)), max_message=10_000)
breaks(
    "A message of more than `max_fragments`",
    frame(BINARY, b"x", fin=False),
    frame(CONT, b"x", fin=False) * 20,
    max_fragments=10,
)
breaks("A message that is not complete within `message_timeout`", frame(BINARY, b"x", fin=False), message_timeout=0.1)
breaks("Unfinished messages larger than `inbound_bytes`", frame(BINARY, bytes(90_000), fin=False), inbound_bytes=80_000)
breaks("Pings that go on above the rate", frame(PING, b"x") * 2000, ping_rate=1.0, ping_burst=2, max_refused=20)
