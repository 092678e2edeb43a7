"""What of uvicorn is changed; the versions that pyproject.toml allows have what is used."""

from __future__ import annotations

import asyncio
import logging
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from fanwire.config import Config
from fanwire.http.uvicorn import Flow, UnknownLength, UvicornState, disconnect, settings, tell_end


async def app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


def test_settings_leave_the_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "7")
    access = logging.getLogger("uvicorn.access")
    before = (access.handlers[:], access.propagate, access.level, logging.getLogger("uvicorn.error").level)
    found = settings(app, Config(ping_interval=0, http_keepalive=0.5, max_message=77), root_path="/rt")
    assert (access.handlers, access.propagate, access.level, logging.getLogger("uvicorn.error").level) == before
    assert found.loaded_app is app
    assert (found.root_path, found.timeout_keep_alive, found.ws_max_size) == ("/rt", 0.5, 77)
    assert found.ws_ping_interval is None
    assert found.workers == 1


def test_what_is_used_of_uvicorn_is_there() -> None:
    state = UvicornState()
    assert {name for name in vars(uvicorn.server.ServerState()) if name != "default_headers"} <= set(vars(state))
    for name in ("_should_upgrade", "_unset_keepalive_if_required", "timeout_keep_alive_handler", "shutdown"):
        assert callable(getattr(HttpToolsProtocol, name))


def test_the_date_is_that_of_the_second() -> None:
    ((name, value),) = UvicornState().default_headers
    assert name == b"date"
    assert value.endswith(b" GMT")
    assert parsedate_to_datetime(value.decode()).tzinfo is not None


def test_an_unknown_length_is_never_too_short() -> None:
    length = UnknownLength()
    # Exactly what uvicorn asks.
    assert not 5 > length  # noqa: SIM300 - as above
    length -= 5
    assert not length != 0  # noqa: SIM202 - as above
    assert isinstance(length, UnknownLength)
    assert hash(length) == 0


async def test_a_flow_tells_when_it_goes_on() -> None:
    calls: list[str] = []
    transport = SimpleNamespace(pause_reading=lambda: calls.append("pause"))
    flow = Flow(cast("asyncio.Transport", transport), lambda: calls.append("resumed"))
    flow.resume_reading()
    flow.pause_reading()
    flow.resume_reading()
    flow.resume_reading()
    assert calls == ["pause", "resumed"]


class Cycle:
    """Of a request whose parts are given to it."""

    def __init__(self) -> None:
        self.disconnected = self.response_complete = False
        self.message_event = asyncio.Event()
        self.sent: list[Any] = []
        self.parts: list[bool] = []

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def receive(self) -> Any:
        return {"type": "http.request", "body": b"", "more_body": self.parts.pop(0) if self.parts else False}


async def test_sending_to_one_that_is_gone_raises() -> None:
    cycle = Cycle()
    tell_end(cast("RequestResponseCycle", cycle), lambda: False)
    await cycle.send({"more_body": True})
    disconnect(cast("RequestResponseCycle", cycle))
    assert cycle.message_event.is_set()
    with pytest.raises(ConnectionResetError):
        await cycle.send({})
    assert cycle.sent == [{"more_body": True}]


async def test_one_that_has_ended_behind_its_request_is_told_and_can_be_answered() -> None:
    cycle, has_ended = Cycle(), False
    tell_end(cast("RequestResponseCycle", cycle), lambda: has_ended)
    cycle.parts = [True, False]
    assert (await cycle.receive())["more_body"]
    has_ended = True
    assert not (await cycle.receive())["more_body"]
    assert (await cycle.receive())["type"] == "http.disconnect"
    await cycle.send({})
    assert cycle.sent == [{}]
