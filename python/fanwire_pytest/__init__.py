"""The pytest plugin of Fanwire: fixtures for servers, clients, a clock and a proxy (docs/testing.md).

pytest loads every installed plugin, also where nobody uses it. So this package imports pytest only, and `fanwire` when
a fixture is used. That is also why it is not a part of `fanwire`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fanwire import Client, Server
    from fanwire.testing import FakeClock, FaultProxy, Publications, RawClient, ServerRun

__all__ = [
    "fanwire_application",
    "fanwire_client",
    "fanwire_clock",
    "fanwire_proxy",
    "fanwire_published",
    "fanwire_raw_client",
    "fanwire_run",
    "fanwire_server",
    "fanwire_start",
]

ASYNCIO, ANYIO = "asyncio", "anyio"
"""The plugins that run asynchronous fixtures and tests, by the names under which pytest knows them."""

NEITHER = (
    "the fixtures of fanwire need a plugin that runs asynchronous tests: install pytest-asyncio, or use anyio's plugin "
    "with the mark `anyio`"
)
TRIO = (
    "fanwire runs on asyncio, not on {0}: let the fixture `anyio_backend` return 'asyncio' for this test, as in "
    "docs/testing.md"
)


def pytest_configure(config: pytest.Config) -> None:
    """Adds the fixtures of the plugins that there are."""
    if config.pluginmanager.has_plugin(ASYNCIO):
        from fanwire_pytest import on_pytest_asyncio

        config.pluginmanager.register(on_pytest_asyncio, "fanwire_pytest.on_pytest_asyncio")
    if config.pluginmanager.has_plugin(ANYIO):
        from fanwire_pytest import on_anyio

        config.pluginmanager.register(on_anyio, "fanwire_pytest.on_anyio")


@pytest.fixture
def fanwire_application() -> Server:
    """The server that `fanwire_server` starts. Override it in conftest.py with that of your application; its address
    does not matter. By default a server that accepts every client and has no rooms."""
    from fanwire import Server

    return Server(insecure=True)


@pytest.fixture
def fanwire_clock(request: pytest.FixtureRequest) -> FakeClock:
    """A `fanwire.testing.FakeClock`, entered until the end of the test, and before the server starts."""
    clock: FakeClock = _on_the_loop(request, "clock")
    return clock


@pytest.fixture
def fanwire_run(request: pytest.FixtureRequest, fanwire_application: Server) -> ServerRun:
    """The `fanwire.testing.ServerRun` of `fanwire_server`."""
    _clock_first(request)
    run: ServerRun = _on_the_loop(request, "run")
    return run


@pytest.fixture
def fanwire_server(fanwire_run: ServerRun) -> Server:
    """The server of `fanwire_application`, started at a free port of 127.0.0.1 until the end of the test."""
    return fanwire_run.server


@pytest.fixture
def fanwire_start(request: pytest.FixtureRequest) -> Callable[[Server], Awaitable[ServerRun]]:
    """Starts another server until the end of the test: a function that is awaited with the server, and returns its
    `fanwire.testing.ServerRun`."""
    _clock_first(request)
    start: Callable[[Server], Awaitable[ServerRun]] = _on_the_loop(request, "start")
    return start


@pytest.fixture
def fanwire_client(fanwire_run: ServerRun) -> Callable[..., Awaitable[Client]]:
    """Connects clients, which are closed at the end of the test: the method `ServerRun.client`."""
    return fanwire_run.client


@pytest.fixture
def fanwire_raw_client(fanwire_run: ServerRun) -> Callable[..., Awaitable[RawClient]]:
    """Connects clients without a session: the method `ServerRun.raw_client`."""
    return fanwire_run.raw_client


@pytest.fixture
def fanwire_published(fanwire_run: ServerRun) -> Publications:
    """The `fanwire.testing.Publications` of the server, with which an application is tested without any client."""
    return fanwire_run.published


@pytest.fixture
def fanwire_proxy(request: pytest.FixtureRequest, fanwire_run: ServerRun) -> FaultProxy:
    """A `fanwire.testing.FaultProxy` before the server: `await fanwire_client(url=fanwire_proxy.url)`."""
    proxy: FaultProxy = _on_the_loop(request, "proxy")
    return proxy


def _clock_first(request: pytest.FixtureRequest) -> None:
    """A clock has to be there before the timers that it governs."""
    if "fanwire_clock" in request.fixturenames:
        request.getfixturevalue("fanwire_clock")


def _on_the_loop(request: pytest.FixtureRequest, name: str) -> Any:
    """The value of an asynchronous fixture, run by the plugin that runs the test."""
    if "anyio_backend" in request.fixturenames:
        backend = request.getfixturevalue("anyio_backend_name")
        if backend != ASYNCIO:
            pytest.fail(TRIO.format(backend), pytrace=False)
        plugin = ANYIO
    elif request.config.pluginmanager.has_plugin(ASYNCIO):
        plugin = ASYNCIO
    else:
        pytest.fail(NEITHER, pytrace=False)
    return request.getfixturevalue(f"_fanwire_{name}_on_{plugin}")
