"""An HTTP connection without a socket: bytes go in by any cuts, and what it answers comes out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from unittest import mock

from hostile.stand_ins import Http, Loop, Transport

from fanwire.config import Config
from fanwire.http.connection import HttpConnection
from fanwire.http.cross_origin import CrossOrigin
from fanwire.http.link_routes import LinkRoutes
from fanwire.http.shared import HttpKeys, HttpShared
from fanwire.http.uvicorn import settings
from fanwire.identity.proxies import Proxies
from fanwire.metrics import Metrics


class Outcome(NamedTuple):
    """What became of a connection: the answers, each as status and body; whether it was closed; and what was given back
    as an upgrade."""

    answers: list[tuple[int, bytes]]
    is_closed: bool
    upgrade: bytes


class Plain:
    """What answers. Use it for any number of connections."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        self.loop = Loop()
        self.health = mock.Mock(faults=())
        found, rules = Config(**(config or {})), CrossOrigin(None, None)
        self.shared = HttpShared(
            found, settings(echo, found), {}, prefix="/rt", mount="/fanwire", has_app=False, keys=HttpKeys(["key"]),
            proxies=Proxies([]), cross_origin=rules, links=LinkRoutes(found, rules, False, lambda _: None),
            slot=lambda _: None, is_ready=lambda: True,
            metrics=Metrics(dict, dict), health=self.health,
        )  # fmt: skip

    def close(self) -> None:
        """Ends it."""
        self.loop.close()

    def answer(self, pieces: Sequence[bytes], is_patient: bool = True) -> Outcome:
        """What is answered to these bytes. Nobody who sends half of something is waited for."""
        return self.loop.run_until_complete(self._answer(pieces, is_patient))

    async def _answer(self, pieces: Sequence[bytes], is_patient: bool) -> Outcome:
        transport, gone = Transport("192.0.2.1"), mock.Mock()
        back: list[Http] = []

        def take_back(transport: asyncio.Transport, data: bytes) -> None:
            back.append(Http())
            back[0].heard = data
            transport.set_protocol(back[0])
            # The engine reads on, by the socket.
            transport.resume_reading()

        connection = HttpConnection(self.shared, b"", "192.0.2.1", False, None, gone, take_back)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        for piece in pieces:
            transport.arrive(piece)
            await self._settle(transport)
        if not is_patient and not back:
            # Timers are set anew where something has come.
            for _ in range(4):
                self.loop.fire()
                await self._settle(transport)
            assert transport.is_closing()
        self.loop.timers.clear()
        is_closed = connection._transport.is_over and not back
        if not back:
            connection.connection_lost(None)
            await self._settle(transport)
            gone.assert_called_once()
        assert not self.shared.state.tasks
        assert not self.shared.state.connections
        assert not self.shared._places
        self.health.internal_error.assert_not_called()
        return Outcome(answers_of(transport.written), is_closed, back[0].heard if back else b"")

    async def _settle(self, transport: Transport) -> None:
        """Lets the loop turn until nothing more happens."""
        quiet = 0
        while quiet < 4:
            before = len(transport.written)
            await asyncio.sleep(0)
            if transport.unread and not transport.is_paused:
                unread, transport.unread = transport.unread, b""
                transport.arrive(unread)
            quiet = quiet + 1 if len(transport.written) == before else 0


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An application that tells what it has heard."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    names = b",".join(name for name, _ in scope["headers"])
    text = b"|".join([scope["method"].encode(), scope["raw_path"], scope["query_string"], names, body])
    if scope["method"] == "HEAD":
        text = b""
    length = str(len(text)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": text})


def answers_of(written: bytes) -> list[tuple[int, bytes]]:
    """The answers, all whole: statuses and bodies."""
    found: list[tuple[int, bytes]] = []
    while written:
        head = _HEAD.match(written)
        assert head is not None, written
        if head["status"] == b"100":
            written = written[head.end() :]
            continue
        length = re.search(rb"\r\ncontent-length: (\d+)\r\n", head[0])
        assert length is not None, head[0]
        end = head.end() + int(length[1])
        found.append((int(head["status"]), written[head.end() : end]))
        assert len(written) >= end
        written = written[end:]
    return found


_HEAD = re.compile(rb"HTTP/1\.1 (?P<status>[1-5][0-9]{2}) [A-Z][A-Za-z -]{1,40}\r\n(?:[a-z-]+: [ -~]*\r\n)*\r\n")
