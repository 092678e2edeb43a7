"""One process of each browser for all tests, one set of tabs for each test. `make test-browser` runs the two browsers
beside each other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from helpers.browser import process
from helpers.browser.kinds import BROWSERS, PACKAGES, Browser
from helpers.browser.nginx import Nginx
from helpers.browser.page import Tabs
from helpers.browser.stage import Stage
from helpers.edge import program_of
from helpers.loops import new_uvloop
from system.conftest import pem, tls
from xdist.scheduler import LoadScopeScheduling

__all__ = ["pem", "tls"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": new_uvloop}


def missing(why: str) -> None:
    """Skips a test for what is not there; a run that has to be complete (FANWIRE_CI) fails instead."""
    if os.environ.get("FANWIRE_CI", "0") not in ("", "0"):
        pytest.fail(why)
    pytest.skip(why)


def needs(name: str, program: str | None) -> None:
    """A program that has to be installed."""
    if program is None:
        missing(f"{name} is not installed (Debian: apt install {PACKAGES[name]})")


class ByBrowser(LoadScopeScheduling):
    """Each browser has a worker of its own."""

    def _split_scope(self, nodeid: str) -> str:
        return next((name for name in BROWSERS if f"[{name}" in nodeid), "")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """With `-n 2 --dist loadscope`. Groups by mark (`xdist_group`) would do, but pytest 9.2 loses their names."""
    return ByBrowser(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(scope="session", params=BROWSERS)
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    name: str = request.param
    needs(name, process.program_of(name))
    browser = Browser(name, tmp_path_factory.mktemp(name))
    yield browser
    browser.process.end()


@pytest_asyncio.fixture
async def tabs(browser: Browser) -> AsyncIterator[Tabs]:
    async with browser.tabs() as tabs:
        yield tabs


@pytest.fixture(scope="session")
def built() -> Path:
    """The entries of the npm package, built."""
    folder = Path(__file__).parents[2] / "typescript" / "dist"
    if not (folder / "index.js").exists():
        missing("typescript/dist is not built (make typescript)")
    return folder


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


@pytest_asyncio.fixture
async def nginx(stage: Stage, tmp_path: Path) -> AsyncIterator[Nginx]:
    """Before the server of the stage."""
    needs("nginx", program_of("nginx"))
    async with Nginx(tmp_path, stage.server.port or 0) as nginx:
        yield nginx
