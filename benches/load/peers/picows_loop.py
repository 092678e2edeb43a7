"""Peer: picows on uvloop, a loop of ``transport.send`` over the subscribers, as picows' own examples do it."""

from __future__ import annotations

import uvloop
from common import BACKLOG, QUESTION, Stats, ready, room_of, run, split
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

stats = Stats()
rooms: dict[str, set[WSTransport]] = {}


def publish(room: str, payload: bytes) -> None:
    """Send to all members of a room."""
    for transport in rooms.get(room, ()):
        transport.send(WSMsgType.BINARY, payload)


class Listener(WSListener):
    """What every connection has: it is counted, and a close is answered."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        stats.conns += 1

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        stats.conns -= 1

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type is WSMsgType.BINARY:
            self.message(transport, frame)

    def message(self, transport: WSTransport, frame: WSFrame) -> None:
        """One binary message."""


class Subscriber(Listener):
    """A member of one room."""

    def __init__(self, room: str) -> None:
        super().__init__()
        self.room = room

    def on_ws_connected(self, transport: WSTransport) -> None:
        super().on_ws_connected(transport)
        rooms.setdefault(self.room, set()).add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        super().on_ws_disconnected(transport)
        rooms[self.room].discard(transport)


class Publisher(Listener):
    """``/pub``."""

    def message(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        if payload == QUESTION:
            transport.send(WSMsgType.BINARY, stats.answer())
        else:
            publish("", payload)


class RoomPublisher(Listener):
    """``/pubrooms``."""

    def message(self, transport: WSTransport, frame: WSFrame) -> None:
        publish(*split(frame.get_payload_as_bytes()))


class Sink(Listener):
    """``/sink``."""

    def message(self, transport: WSTransport, frame: WSFrame) -> None:
        stats.inbound += 1


class Echo(Listener):
    """``/echo``."""

    def message(self, transport: WSTransport, frame: WSFrame) -> None:
        transport.send(WSMsgType.BINARY, frame.get_payload_as_bytes())


def route(request: WSUpgradeRequest) -> WSListener:
    """Choose the listener of a path."""
    path = request.path.decode()
    match path:
        case "/pub":
            return Publisher()
        case "/pubrooms":
            return RoomPublisher()
        case "/sink":
            return Sink()
        case "/echo":
            return Echo()
        case _:
            return Subscriber(room_of(path))


async def serve(port: int) -> None:
    """Listen and serve."""
    stats.start()
    await ws_create_server(route, "127.0.0.1", port, backlog=BACKLOG)
    await ready()


run(serve, uvloop.new_event_loop)
