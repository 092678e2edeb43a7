"""To whom each of the engine's events about newcomers goes, and what is logged."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import Any
from unittest import mock

import pytest
from helpers.hosted import Hosted
from helpers.wait import DEADLINE, until

from fanwire._engine import Engine
from fanwire.handshake import newcomers as module
from fanwire.handshake.newcomers import Newcomers
from fanwire.handshake.tls import Tls
from fanwire.runtime.events import EngineEvents


class Rig:
    """Newcomers with stand-ins on all their sides."""

    def __init__(self) -> None:
        self.engine: Any = mock.Mock(spec=Engine)
        host = Hosted(engine=lambda **settings: self.engine).host
        self.handshakes, self.http, self.metrics = mock.Mock(), mock.Mock(), mock.Mock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls = Tls(self.engine, context, DEADLINE, host.tasks.spawn)
        self.is_ready = True
        self.newcomers = Newcomers(
            self.engine, self.handshakes, self.tls, self.http, self.metrics, lambda: self.is_ready
        )
        self.events = EngineEvents(self.engine, host.registry, host.limits, host.health, self.newcomers.take)

    def hear(self, kind: str, id: int, detail: Any) -> None:
        """An event of the engine."""
        self.events._take_event(kind, id, detail)


async def test_requests_go_to_the_handshakes() -> None:
    rig = Rig()
    detail = (b"/", b"", "192.0.2.1", False, False, None)
    rig.hear("request", 7, detail)
    rig.handshakes.begin.assert_called_once_with(7, detail)
    rig.hear("gone", 7, None)
    rig.handshakes.gone.assert_called_once_with(7)


async def test_a_socket_that_speaks_http_goes_to_the_http_side() -> None:
    rig = Rig()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        rig.hear("http", 7, (theirs.detach(), b"GET /", "192.0.2.1", False))
        (sock, data, peer, is_secure, gone, _), _ = rig.http.take.call_args
        assert (data, peer, is_secure) == (b"GET /", "192.0.2.1", False)
        with sock:
            assert sock.send(b"x") == 1
            assert ours.recv(1) == b"x"
        gone()
        rig.engine.left.assert_called_once_with(7)


async def test_one_that_has_gone_before_it_was_handed_over_gives_its_place_back() -> None:
    rig = Rig()
    rig.hear("http", 7, (None, b"GET /", "192.0.2.1", True))
    rig.http.adopt.assert_not_called()
    rig.engine.left.assert_called_once_with(7)


async def test_a_peer_that_speaks_no_tls_is_over() -> None:
    rig = Rig()
    ours, theirs = socket.socketpair()
    with ours:
        ours.close()
        rig.hear("tls", 7, (theirs.detach(), "192.0.2.1"))
        assert list(rig.tls.newcomers) == [7]
        await until(lambda: not rig.tls.newcomers)
    rig.engine.feed.assert_called_once_with(7, 7, None)
    # What is told of it afterwards is too late.
    rig.hear("data", 7, b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    rig.hear("finish", 7, "")


@pytest.mark.parametrize("turns", [0, 3])
async def test_a_tls_handshake_that_is_under_way_ends_with_the_newcomer(turns: int) -> None:
    rig = Rig()
    ours, theirs = socket.socketpair()
    with ours:
        # It says nothing.
        rig.hear("tls", 7, (theirs.detach(), "192.0.2.1"))
        for _ in range(turns):
            await asyncio.sleep(0)
        rig.hear("data", 7, b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        rig.hear("finish", 7, "")
        await until(lambda: not rig.tls.newcomers)
        assert await until(lambda: _is_at_end(ours))


def _is_at_end(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False


async def test_refusals_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanwire")
    rig = Rig()
    rig.hear("turned_away", 0, ("192.0.2.1", 403, "why", 0))
    rig.metrics.line_suppressed.assert_not_called()
    rig.hear("turned_away", 0, ("", 401, "who", 7))
    rig.metrics.line_suppressed.assert_called_once_with(logging.INFO, 7)
    rig.hear("turned_away", 0, ("", 0, "cannot accept connections", 0))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, "192.0.2.1 refused with 403: why"),
        (logging.INFO, "7 more lines about refusals were left out"),
        (logging.INFO, "a peer refused with 401: who"),
        (logging.WARNING, "cannot accept connections"),
    ]


async def test_the_engine_is_told_whether_the_server_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.01)
    rig = Rig()
    told = rig.engine.set_ready
    rig.newcomers.open()
    told.assert_called_once_with(True)
    rig.is_ready = False
    await until(lambda: told.call_args == mock.call(False))
    rig.is_ready = True
    await until(lambda: told.call_args == mock.call(True))
    rig.is_ready = False
    rig.newcomers.close()
    assert told.call_args == mock.call(False)
    rig.engine.stop_listening.assert_called_once_with()
    rig.handshakes.close.assert_called_once_with()
    rig.newcomers.abort()
