"""Peer: aiohttp on uvloop, a loop of ``await send_bytes`` (or ``send_str``) over the subscribers.

With `--compress` aiohttp's own compression, at its defaults.
"""

from __future__ import annotations

import uvloop
from aiohttp import WSMsgType, web
from common import BACKLOG, COMPRESS, QUESTION, Stats, ready, room_of, run, split, tls_context

stats = Stats()
rooms: dict[str, set[web.WebSocketResponse]] = {}


async def publish(room: str, payload: bytes | str) -> None:
    """Send to all members of a room."""
    for socket in tuple(rooms.get(room, ())):
        try:
            await (socket.send_str(payload) if isinstance(payload, str) else socket.send_bytes(payload))
        except ConnectionError:  # noqa: PERF203 - one member's end must not keep the message from the others
            rooms[room].discard(socket)


async def handle(request: web.Request) -> web.WebSocketResponse:
    """One connection, by its path."""
    socket = web.WebSocketResponse(compress=COMPRESS)
    await socket.prepare(request)
    stats.conns += 1
    path, room = request.path, room_of(request.path)
    if path not in ("/pub", "/pubrooms", "/sink", "/echo"):
        rooms.setdefault(room, set()).add(socket)
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT and path == "/pub":
                await publish("", message.data)
                continue
            if message.type is not WSMsgType.BINARY:
                continue
            if path == "/sink":
                stats.inbound += 1
            elif path == "/echo":
                await socket.send_bytes(message.data)
            elif path == "/pubrooms":
                await publish(*split(message.data))
            elif path == "/pub" and message.data == QUESTION:
                await socket.send_bytes(stats.answer())
            elif path == "/pub":
                await publish("", message.data)
    finally:
        stats.conns -= 1
        rooms.get(room, set()).discard(socket)
    return socket


async def serve(port: int) -> None:
    """Listen and serve."""
    stats.start()
    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=BACKLOG, ssl_context=tls_context()).start()
    await ready()


run(serve, uvloop.new_event_loop)
