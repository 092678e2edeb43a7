"""The fixtures in other projects: pytest-asyncio in both modes, anyio's plugin, uvloop, xdist; no warning is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.pytest_run import run_pytest

pytestmark = pytest.mark.timeout(300)

CONFTEST = """
import fanwire
import pytest

@pytest.fixture
def fanwire_application():
    server = fanwire.Server(port=1, authenticate=lambda request: None)
    server.room("chat", publish=True, presence=True)
    return server
"""
UVLOOP = """
import uvloop

def pytest_asyncio_loop_factories(config, item):
    return {"uvloop": uvloop.new_event_loop}
"""
TESTS = """
import asyncio
import pytest
from fanwire.testing import expect, until
{marks}

async def test_a_client(fanwire_server, fanwire_client, fanwire_raw_client, fanwire_published):
    client = await fanwire_client("alice")
    room = await client.join("chat")
    raw = await fanwire_raw_client("bob")
    next(conn for conn in fanwire_server.connections if conn.identity.subject == "bob").join("chat")
    await client.publish("chat", "hello")
    await expect(room).to_receive("hello")
    await expect(raw).to_receive("hello")
    await expect(fanwire_published.room("chat")).to_receive("hello")

async def test_a_clock_that_is_named_last(fanwire_server, fanwire_client, fanwire_proxy, fanwire_clock):
    client = await fanwire_client("alice", url=fanwire_proxy.url)
    await client.join("chat")
    fanwire_proxy.refuse()
    fanwire_proxy.cut()
    await until(lambda: fanwire_server.connections[0].is_reconnecting)
    await fanwire_clock.advance(20)
    assert fanwire_server.connections
    await fanwire_clock.advance(11)
    assert not fanwire_server.connections

async def test_two_servers(fanwire_start, fanwire_application, fanwire_server):
    import fanwire
    second = await fanwire_start(fanwire.Server(insecure=True))
    assert second.server.port != fanwire_server.port
    await second.client()

@pytest.mark.parametrize("number", range(2))
async def test_each_test_has_a_server_of_its_own(number, fanwire_published, fanwire_server):
    assert len(fanwire_published) == 0
    fanwire_server.publish("chat", number)
    assert fanwire_published.room("chat").data == [number]

def test_without_a_loop():
    pass
"""
ASYNCIO, ANYIO = "pytestmark = pytest.mark.asyncio", "pytestmark = pytest.mark.anyio"
BACKEND = """
@pytest.fixture
def anyio_backend():
    return {0}
"""


@pytest.mark.parametrize(
    ("mode", "loop", "others"), [("auto", "uvloop", ()), ("strict", "asyncio", ("-n", "2"))], ids=["one", "xdist"]
)
def test_with_pytest_asyncio(tmp_path: Path, mode: str, loop: str, others: tuple[str, ...]) -> None:
    # In the strict mode the one test that is no coroutine function must not have the mark.
    code = TESTS.format(marks="")
    if mode == "strict":
        code = code.replace("async def test", "@pytest.mark.asyncio\nasync def test")
    conftest = CONFTEST + (UVLOOP if loop == "uvloop" else "")
    ini = f"asyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function"
    outcome = run_pytest(tmp_path, code, *others, ini=ini, conftest=conftest)
    assert outcome.counts == {"passed": 6}, outcome.text


@pytest.mark.parametrize(
    ("backend", "others"),
    [
        ("'asyncio'", ()),
        ("('asyncio', {'use_uvloop': True})", ("-p", "no:asyncio")),
        ("('asyncio', {'debug': True})", ("-p", "no:asyncio")),
    ],
)
def test_with_anyio(tmp_path: Path, backend: str, others: tuple[str, ...]) -> None:
    ini = "" if others else "asyncio_mode = strict\nasyncio_default_fixture_loop_scope = function"
    code = TESTS.format(marks=ANYIO)
    outcome = run_pytest(tmp_path, code, *others, ini=ini, conftest=CONFTEST + BACKEND.format(backend))
    assert outcome.counts == {"passed": 6}, outcome.text


def test_another_loop_than_asyncio_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    code = f"import pytest\n{ANYIO}\nasync def test_it(fanwire_server):\n    pass\n"
    conftest = "import pytest\n" + BACKEND.format("'trio'")
    outcome = run_pytest(tmp_path, code, "-p", "no:asyncio", conftest=conftest)
    assert outcome.counts == {"errors": 1} or outcome.counts == {"error": 1}, outcome.text
    assert "fanwire runs on asyncio, not on trio: let the fixture `anyio_backend` return 'asyncio'" in outcome.text


def test_without_a_plugin_for_asynchronous_tests_the_error_names_them(tmp_path: Path) -> None:
    code = "def test_it(fanwire_server):\n    pass\n"
    outcome = run_pytest(tmp_path, code, "-p", "no:asyncio", "-p", "no:anyio")
    assert outcome.counts == {"error": 1}, outcome.text
    assert "install pytest-asyncio, or use anyio's plugin" in outcome.text


def test_a_project_that_does_not_use_it_does_not_import_fanwire(tmp_path: Path) -> None:
    code = """
import sys

def test_it():
    assert "fanwire_pytest" in sys.modules
    assert "fanwire" not in sys.modules
"""
    ini = "asyncio_default_fixture_loop_scope = function"
    outcome = run_pytest(tmp_path, code, ini=ini)
    assert outcome.counts == {"passed": 1}, outcome.text


def test_a_failed_expectation_shows_what_came_and_no_line_of_ours(tmp_path: Path) -> None:
    code = """
from fanwire.testing import expect

async def test_it(fanwire_server, fanwire_published):
    fanwire_server.publish("chat", "a")
    await expect(fanwire_published.room("chat"), within=0.05).to_receive("a", "b")
"""
    ini = "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function"
    outcome = run_pytest(tmp_path, code, ini=ini)
    assert outcome.counts == {"failed": 1}, outcome.text
    for line in ("room 'chat': only 1 of 2 came within 0.05 s", "expected: 'a', 'b'", "received: 'a'", "missing:  'b'"):
        assert line in outcome.text
    assert "raise AssertionError" not in outcome.text
