"""Every asynchronous test here runs on both loops, unless it says which."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from helpers.behind import Before
from helpers.edge import Edge, program_of
from helpers.loops import new_uvloop
from helpers.nodes import Cluster, cluster
from helpers.program import Program
from helpers.programs import APP, Run
from helpers.serving import Book
from helpers.wait import PROCESS

import fanwire
from fanwire.client.backoff import Backoff


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": new_uvloop}


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of `localhost` and 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "30"]
    subprocess.run([*make, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True, timeout=PROCESS)
    return cert, key


@pytest.fixture(scope="session")
def tls(pem: tuple[Path, Path]) -> tuple[fanwire.TLS, ssl.SSLContext]:
    """The TLS of a server, and a context for clients that trust it."""
    return fanwire.TLS(*pem), ssl.create_default_context(cafile=str(pem[0]))


@pytest.fixture(params=["nginx", "haproxy"])
def before(request: pytest.FixtureRequest, tmp_path: Path, pem: tuple[Path, Path]) -> Iterator[Before]:
    """Makes a proxy before a server; it ends with the test."""
    name: str = request.param
    if program_of(name) is None:
        pytest.skip(f"{name} is not installed (Debian: apt install nginx-light haproxy)")
    edges: list[Edge] = []

    def make(server: Book, changes: dict[str, dict[str, str]] | None = None) -> Edge:
        folder = tmp_path / str(len(edges))
        folder.mkdir()
        edges.append(Edge(name, folder, server.port, pem, (changes or {}).get(name)))
        return edges[-1]

    yield make
    for edge in edges:
        edge.stop()


@pytest.fixture
def eager_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients wait 2 s at most before they come back. Where connections seldom last long enough to count as a success,
    the usual minute would keep them away most of the time."""
    monkeypatch.setattr("fanwire.client.runtime.Backoff", partial(Backoff, cap=2.0))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `fanwire serve` where the program `app` is."""
    (tmp_path / "app.py").write_text(APP)

    def run(*args: str, **options: Any) -> Program:
        return Program("serve", *args, cwd=tmp_path, **options)

    return run


@pytest_asyncio.fixture(params=["memory", "nats"])
async def nodes(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cluster]:
    """A cluster whose nodes find each other within a fifth of a second."""
    monkeypatch.setattr("fanwire.cluster.liveness.BEAT", 0.2)
    async with cluster(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def quick_deaths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes find out after a second that they are deaf, and after two that another one is dead."""
    monkeypatch.setattr("fanwire.cluster.heartbeats.DEAF", 1.0)
    monkeypatch.setattr("fanwire.cluster.heartbeats.DEAD", 2.0)
