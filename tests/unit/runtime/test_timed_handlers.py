"""Handlers are measured, and stay what they are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanwire.handlers.calls import name_of
from fanwire.rooms.publish_hooks import PublishHook
from fanwire.runtime.application_handlers import Handlers, Method
from fanwire.runtime.timed_handlers import timed, unmeasured


def plain(*args: Any) -> Any:
    return args


async def waits(*args: Any) -> Any:
    await asyncio.sleep(0)
    return args


def fails(*args: Any) -> None:
    raise KeyError(args)


def test_each_handler_is_measured_by_its_name() -> None:
    took: list[tuple[float, str]] = []
    handlers = timed(
        Handlers(plain, plain, plain, plain, plain, [PublishHook("*", plain)], {"a": Method(plain, int)}),
        lambda *what: took.append(what),
    )
    methods = handlers.methods["a"]
    for handler in (
        handlers.on_connect, handlers.on_message, handlers.on_disconnect, handlers.on_join, handlers.on_leave,
        handlers.on_publish[0].handler, methods.handler,
    ):  # fmt: skip
        assert handler is not None
        assert handler("conn", 1) == ("conn", 1)  # type: ignore[comparison-overlap]  # `plain` returns its arguments
        assert name_of(handler) == name_of(plain)
    assert [name for _, name in took] == [name_of(plain)] * 7
    assert all(seconds >= 0 for seconds, _ in took)
    assert methods.schema is int


def test_what_is_not_declared_stays_so() -> None:
    assert timed(Handlers(), lambda *what: None) == Handlers()


async def test_what_is_awaited_is_measured_elsewhere() -> None:
    took: list[tuple[float, str]] = []
    handler = timed(Handlers(on_message=waits), lambda *what: took.append(what)).on_message
    assert handler is not None
    pending = handler("conn")
    assert pending is not None
    assert await pending == ("conn",)
    assert took == []


def test_a_handler_that_fails_is_measured() -> None:
    took: list[tuple[float, str]] = []
    handler = timed(Handlers(on_message=fails), lambda *what: took.append(what)).on_message
    assert handler is not None
    with pytest.raises(KeyError):
        handler("conn")
    assert [name for _, name in took] == [name_of(fails)]


def test_a_handler_can_be_called_without_being_measured() -> None:
    took: list[tuple[float, str]] = []
    handler = timed(Handlers(on_message=plain), lambda *what: took.append(what)).on_message
    assert handler is not None
    assert unmeasured(handler) is plain
    assert unmeasured(plain) is plain
