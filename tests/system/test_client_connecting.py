"""The client on its way to a server: several addresses, and which failures it tries again."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers.serving import Book
from helpers.wait import DEADLINE, PROCESS, until, within

import fanwire
from fanwire.client import ConnectionFailed, connect
from fanwire.client.backoff import Backoff
from fanwire.client.failures import Failure
from fanwire.state import ConnectionState


@pytest.fixture
def hole() -> Iterator[tuple[str, int]]:
    """An address that swallows packets: its queue is full, so the kernel drops what asks for a connection."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = listener.getsockname()[:2]
    waiting = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(address)
        waiting.append(sock)
    yield address
    for sock in (*waiting, listener):
        sock.close()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes a URL of a host with these addresses, in this order."""

    def make(*addresses: tuple[str, int]) -> str:
        async def resolve(host: str, port: int) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

        monkeypatch.setattr("fanwire.client.dial.resolve", resolve)
        return "ws://some-addresses.test/"

    return make


@pytest.fixture
def quick_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempts follow each other within milliseconds."""
    monkeypatch.setattr("fanwire.client.backoff.AT_ONCE", 0.001)
    monkeypatch.setattr("fanwire.client.runtime.Backoff", partial(Backoff, base=0.001, cap=0.01))


def descriptors() -> int:
    """Sockets of this process. uvloop opens /dev/null with its first connection."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(descriptor.readlink()).startswith("socket:")
    return found


@pytest.fixture
def unused() -> Iterator[Callable[[], tuple[str, int]]]:
    """Makes addresses at which nobody listens: they are bound, so that nobody else takes them."""
    with contextlib.ExitStack() as stack:

        def make() -> tuple[str, int]:
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            address: tuple[str, int] = sock.getsockname()
            return address

        yield make


async def test_an_address_that_swallows_packets_does_not_keep_the_client_from_the_next(
    hole: tuple[str, int], host: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    async with Book() as server:
        url = host(hole, ("127.0.0.1", server.port))
        # The first attempt is the one that succeeds.
        async with connect(url, open_timeout=20, first_attempts=1) as client:
            assert client.state is ConnectionState.OPEN


async def test_an_address_that_refuses_is_passed_over(
    host: Callable[..., str], unused: Callable[[], tuple[str, int]]
) -> None:
    async with Book() as server, connect(host(unused(), ("127.0.0.1", server.port)), first_attempts=1) as client:
        assert client.state is ConnectionState.OPEN


async def test_the_losers_of_the_race_are_closed(hole: tuple[str, int], host: Callable[..., str]) -> None:
    async with Book() as server:
        # Those of earlier tests, which nobody has any more, are not to be closed meanwhile.
        gc.collect()
        before = descriptors()
        async with connect(host(hole, hole, ("127.0.0.1", server.port)), open_timeout=20):
            # This client's socket, and the engine's.
            await until(lambda: descriptors() == before + 2)


async def test_all_addresses_together_have_the_open_timeout(hole: tuple[str, int], host: Callable[..., str]) -> None:
    with pytest.raises(ConnectionFailed, match=r"no answer within 0\.5 seconds"):
        await within(connect(host(hole, hole), open_timeout=0.5, first_attempts=1).__aenter__())


async def test_none_of_several_addresses_can_be_reached(
    host: Callable[..., str], unused: Callable[[], tuple[str, int]]
) -> None:
    with pytest.raises(ConnectionFailed, match="given up after 1 attempt"):
        await within(connect(host(unused(), unused()), first_attempts=1).__aenter__())


class Stage:
    """A server that answers each connection as it is told: with bytes, or by the real server behind it."""

    def __init__(self, behind: int) -> None:
        self.answers: list[bytes] = []
        self.always: bytes | None = None
        self.attempts = 0
        self._behind = behind
        self._ends: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Stage:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()

    def cut(self) -> None:
        """Cuts all connections there are."""
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attempts += 1
        self._ends.append(writer)
        answer = self.answers.pop(0) if self.answers else self.always
        if answer is not None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()
            return
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._behind)
        self._ends.append(ours)
        await asyncio.gather(_pump(reader, ours), _pump(theirs, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


def answer(status: int, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} Status", "Content-Length: 0", *headers, "", ""]).encode()


ONE = ("websocket",)
"""With more transports the next one would be tried after most of these answers."""

ANSWERS = {
    "status 103": (answer(103), Failure.NO_WEBSOCKET),
    **{f"status {status}": (answer(status), Failure.of_status(status)) for status in (
        200, 301, 400, 401, 403, 404, 405, 408, 421, 425, 426, 500, 502, 503, 504,
    )},
    "status 302, elsewhere": (answer(302, "Location: ws://127.0.0.1:1/"), Failure.NO_WEBSOCKET),
    "status 429": (answer(429, "Retry-After: 0"), Failure.BUSY),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Failure.NO_HTTP),
    "wrong 101": (answer(101, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: x"), Failure.NO_HTTP),
    "no answer": (b"", Failure.NETWORK),
}  # fmt: skip


@pytest.mark.usefixtures("quick_attempts")
@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_ends_the_client_at_first_or_later_as_the_table_says(name: str) -> None:
    reply, failure = ANSWERS[name]
    async with Book() as server, Stage(server.port) as stage:
        stage.answers = [reply]
        if failure.is_final_at_first:
            with pytest.raises(ConnectionFailed):
                await within(connect(stage.url, transports=ONE).__aenter__())
            assert stage.attempts == 1
        # What is lost is not waited for.
        client = connect(stage.url, transports=ONE, open_timeout=3 * DEADLINE)
        async with client:
            attempts = stage.attempts
            stage.answers = [reply]
            states: list[ConnectionState] = []
            client.on_state(states.append)
            stage.cut()
            end = ConnectionState.CLOSED if failure.is_final_later else ConnectionState.OPEN
            await until(lambda: end in states)
            assert stage.attempts == attempts + (1 if failure.is_final_later else 2)


@pytest.mark.usefixtures("quick_attempts")
async def test_a_proxy_without_its_server_does_not_keep_a_client_for_ever() -> None:
    async with Book() as server, Stage(server.port) as stage, connect(stage.url, max_attempts=2) as client:
        stage.always = answer(404)
        stage.cut()
        await until(lambda: client.state is ConnectionState.CLOSED)
        with pytest.raises(ConnectionFailed, match=r"after 2 attempts in a row, in \d+ s .* the server answered 404"):
            await client.publish("a", 1)


async def test_the_log_names_the_status_with_which_a_client_was_refused(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "fanwire.client")
    async with Book(authenticate=lambda request: None) as server:
        with pytest.raises(ConnectionFailed) as caught:
            await within(connect(server.url).__aenter__())
        told = [record.message for record in caplog.records if record.name == "fanwire.client"]
        assert told == [f"cannot connect to {server.url}: the server answered 401"]
    assert caught.value.status == 401


@pytest.mark.parametrize("url", ["wss://127.0.0.1:{}/", "wss://localhost:{}/"])
async def test_a_certificate_that_is_not_trusted_is_final_at_first(
    tls: tuple[fanwire.TLS, ssl.SSLContext], url: str
) -> None:
    async with Book(tls=tls[0]) as server:
        with pytest.raises(ConnectionFailed, match=r"(?i)certificate"):
            await within(connect(url.format(server.port)).__aenter__())


async def test_a_certificate_of_another_host_is_final_at_first(tls: tuple[fanwire.TLS, ssl.SSLContext]) -> None:
    server_tls, trusting = tls
    async with Book(tls=server_tls, host="127.0.0.2") as server:
        with pytest.raises(ConnectionFailed, match=r"(?i)certificate"):
            await within(connect(f"wss://127.0.0.2:{server.port}/", ssl=trusting).__aenter__())


async def test_a_server_that_does_not_speak_tls_is_final_at_first() -> None:
    async with Book() as server:
        with pytest.raises(ConnectionFailed):
            await within(connect(f"wss://127.0.0.1:{server.port}/").__aenter__())


@pytest.fixture
def other_pem(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that nobody trusts, and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", "/CN=other", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(make, check=True, capture_output=True, timeout=PROCESS)
    return cert, key


@pytest.mark.usefixtures("quick_attempts")
async def test_a_certificate_that_goes_bad_is_tried_again_by_a_client_that_was_connected(
    pem: tuple[Path, Path], other_pem: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "chain.key"

    def use(pair: tuple[Path, Path]) -> None:
        chain.write_bytes(pair[0].read_bytes())
        key.write_bytes(pair[1].read_bytes())

    use(pem)
    trusting = ssl.create_default_context(cafile=str(pem[0]))
    # Without a resumed session, for which no certificate is looked at.
    trusting.options |= ssl.OP_NO_TICKET
    tls = fanwire.TLS(chain, key, watch_interval=0)
    async with Book(tls=tls) as server, connect(server.url, ssl=trusting, max_attempts=None) as client:
        states: list[ConnectionState] = []
        client.on_state(states.append)
        use(other_pem)
        server.reload_tls()
        server.opened[0].close(4000)
        await until(lambda: any("certificate" in record.getMessage() for record in caplog.records))
        use(pem)
        server.reload_tls()
        await until(lambda: states == [ConnectionState.RECONNECTING, ConnectionState.OPEN])


async def test_a_name_that_does_not_exist_is_final_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [socket.gaierror(socket.EAI_AGAIN, "try again"), socket.gaierror(socket.EAI_NONAME, "no such name")]

    async def resolve(host: str, port: int) -> list[Any]:
        raise errors.pop(0)

    monkeypatch.setattr("fanwire.client.dial.resolve", resolve)
    with pytest.raises(ConnectionFailed, match="no such name"):
        await within(connect("ws://nowhere.test/").__aenter__())
    assert errors == []
