"""To whom each of the engine's events about newcomers goes, and what is logged."""

from __future__ import annotations

import logging
import socket
from typing import Any
from unittest import mock

import pytest
from helpers.hosted import Hosted
from helpers.wait import until

import fanwire
from fanwire._engine import Engine
from fanwire.handshake import newcomers as module
from fanwire.handshake.newcomers import Newcomers
from fanwire.runtime.events import EngineEvents


class Rig:
    """Newcomers with stand-ins on all their sides."""

    def __init__(self) -> None:
        self.engine: Any = mock.Mock(spec=Engine)
        host = Hosted(engine=lambda **settings: self.engine).host
        self.handshakes, self.http, self.metrics = mock.Mock(), mock.Mock(), mock.Mock()
        self.is_ready = True
        self.newcomers = Newcomers(self.engine, self.handshakes, self.http, self.metrics, lambda: self.is_ready)
        self.events = EngineEvents(
            self.engine, host.registry, host.limits, host.health, self.newcomers.take, mock.Mock()
        )

    def hear(self, kind: str, id: int, detail: Any) -> None:
        """An event of the engine."""
        self.events._take_event(kind, id, detail)


async def test_requests_go_to_the_handshakes() -> None:
    rig = Rig()
    detail = (b"/", b"", "192.0.2.1", False, False, None, "websocket", None)
    rig.hear("request", 7, detail)
    rig.handshakes.begin.assert_called_once_with(7, detail)
    rig.hear("gone", 7, None)
    rig.handshakes.gone.assert_called_once_with(7)


async def test_a_socket_that_speaks_http_goes_to_the_http_side() -> None:
    rig = Rig()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        rig.hear("http", 7, (theirs.detach(), b"GET /", "192.0.2.1", False, None))
        (sock, data, peer, is_secure, tls, gone, _), _ = rig.http.take.call_args
        assert (data, peer, is_secure, tls) == (b"GET /", "192.0.2.1", False, None)
        with sock:
            assert sock.send(b"x") == 1
            assert ours.recv(1) == b"x"
        gone()
        rig.engine.left.assert_called_once_with(7)


async def test_one_that_speaks_tls_goes_there_with_what_is_known_of_it() -> None:
    rig = Rig()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        told = ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "a.example", "http/1.1", True, None)
        rig.hear("http", 7, (theirs.detach(), b"GET /", "192.0.2.1", True, told))
        (sock, _, _, is_secure, tls, _, _), _ = rig.http.take.call_args
        sock.close()
    assert is_secure
    assert tls == fanwire.TLSInfo("TLSv1.3", "TLS_AES_128_GCM_SHA256", "a.example", True)


async def test_refusals_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanwire")
    rig = Rig()
    rig.hear("turned_away", 0, ("192.0.2.1", 403, "why", 0, "/a%20b", "pytest"))
    rig.metrics.line_suppressed.assert_not_called()
    rig.hear("turned_away", 0, ("", 401, "who", 7, "", ""))
    rig.metrics.line_suppressed.assert_called_once_with(logging.INFO, 7)
    rig.hear("turned_away", 0, ("192.0.2.1", 0, "the TLS handshake with 192.0.2.1 failed: no", 0, "", ""))
    rig.hear("turned_away", 0, ("", 0, "cannot accept connections", 0, "", ""))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, 'event=handshake_refused status=403 why=why address=192.0.2.1 path="/a b" user_agent=pytest'),
        (logging.INFO, "7 more lines about refusals were left out"),
        (logging.INFO, 'event=handshake_refused status=401 why=who address="" path="" user_agent=""'),
        (
            logging.INFO,
            'event=tls_handshake_failed why="the TLS handshake with 192.0.2.1 failed: no" address=192.0.2.1',
        ),
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
