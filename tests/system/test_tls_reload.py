"""Certificates that are replaced while clients are connected: by a call, by a signal, and by their files."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers.certificates import Authority, Pair, trusting
from helpers.program import Program
from helpers.programs import stop, workers
from helpers.serving import Book
from helpers.wait import DEADLINE, PROCESS, until, until_sync, within
from helpers.wire import Peer

import fanwire

ON_ONE_LOOP = pytest.mark.asyncio(loop_factories=["asyncio"])


class Files:
    """The files of a server's certificate, which are replaced as a tool does it.

    Attributes:
        tls: the server's.
        context: trusts all that the files ever have.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        (folder / "made").mkdir()
        self._authority = Authority(folder / "made")
        self.chain, self.key = folder / "chain.pem", folder / "chain.key"
        self.context = trusting(self._authority.file)
        # A resumed session shows no certificate.
        self.context.options |= ssl.OP_NO_TICKET
        self.use("one")
        self.tls = fanwire.TLS(self.chain, self.key, **options)

    def sign(self, name: str) -> Pair:
        return self._authority.sign(name, "localhost", "127.0.0.1", f"{name}.example")

    def use(self, name: str) -> None:
        """Replaces both files, one after the other."""
        for source, target in zip(self.sign(name), (self.chain, self.key), strict=True):
            self.write(target, source.read_bytes())

    def write(self, target: Path, content: bytes) -> None:
        new = self.folder / "new"
        new.write_bytes(content)
        new.rename(target)

    async def served(self, port: int) -> str:
        """The name in the certificate that a new connection gets."""
        opened = asyncio.open_connection("127.0.0.1", port, ssl=self.context, server_hostname="localhost")
        async with Peer(*await within(opened)) as peer:
            found = peer.writer.get_extra_info("ssl_object").getpeercert()
        (name,) = (value for kind, value in found["subjectAltName"] if value.endswith(".example"))
        return str(name).removesuffix(".example")

    async def becomes(self, port: int, name: str) -> None:
        """Waits until new connections get the certificate with that name."""
        end = time.monotonic() + DEADLINE
        while await self.served(port) != name:
            assert time.monotonic() < end, f"after {DEADLINE:g} s {name} is not in use"
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def readers(server: Book, context: ssl.SSLContext, count: int = 50) -> AsyncIterator[Callable[[int], None]]:
    """Clients that read a stream of messages for as long as it takes; in the end none was dropped, and each has got
    every message in order. Yields what says how many messages must have been published meanwhile."""
    least, published = 0, 0

    def wait_for(number: int) -> None:
        nonlocal least
        least = published + number

    async def publish() -> None:
        nonlocal published
        while True:
            server.publish("a", str(published))
            published += 1
            await asyncio.sleep(0.001)

    async with contextlib.AsyncExitStack() as stack:
        clients = [await within(stack.enter_async_context(server.client("/a", ssl=context))) for _ in range(count)]
        publishing = asyncio.ensure_future(publish())
        try:
            yield wait_for
            await until(lambda: published >= least, "messages after the last change")
        finally:
            publishing.cancel()
        for client in clients:
            assert [await within(client.recv()) for _ in range(published)] == [*map(str, range(published))]
        assert len(server.connections) == count
        assert not server.closed


async def test_a_call_replaces_the_certificate_under_load(tmp_path: Path) -> None:
    files = Files(tmp_path, watch_interval=0)
    async with Book(tls=files.tls) as server, readers(server, files.context) as wait_for:
        assert await files.served(server.port or 0) == "one"
        for name in ("two", "three", "four"):
            files.use(name)
            assert await files.served(server.port or 0) != name
            # From a thread, as a hook of a tool would do it by the loop.
            await asyncio.to_thread(server.reload_tls)
            assert await files.served(server.port or 0) == name
        wait_for(100)


async def test_changed_files_are_seen_under_load(tmp_path: Path) -> None:
    files = Files(tmp_path, watch_interval=0.05)
    async with Book(tls=files.tls) as server, readers(server, files.context) as wait_for:
        for name in ("two", "three"):
            files.use(name)
            await files.becomes(server.port or 0, name)
        wait_for(100)


async def test_a_broken_file_keeps_the_old_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = Files(tmp_path, watch_interval=0.02)
    async with Book(tls=files.tls) as server, server.client("/a", ssl=files.context) as client:
        two = files.sign("two")
        # The key of the first fits no more.
        files.write(files.chain, two[0].read_bytes())
        await until(lambda: warnings(caplog))
        with pytest.raises(ValueError, match=r"chain\.(pem|key)"):
            server.reload_tls()
        assert await files.served(server.port or 0) == "one"
        # More looks, and no more lines.
        await asyncio.sleep(0.1)
        assert len(warnings(caplog)) == 1
        files.write(files.key, two[1].read_bytes())
        await files.becomes(server.port or 0, "two")
        files.key.unlink()
        with pytest.raises(FileNotFoundError, match=r"cannot read .*chain\.key"):
            server.reload_tls()
        for content in (b"", b"-----BEGIN CERTIFICATE-----\n", b"\xff" * 100):
            files.write(files.chain, content)
            files.write(files.key, two[1].read_bytes())
            with pytest.raises(ValueError, match=r"chain\.pem"):
                server.reload_tls()
        assert await files.served(server.port or 0) == "two"
        server.publish("a", "still here")
        assert await within(client.recv()) == "still here"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


async def test_only_a_running_server_with_tls_can_reload(tmp_path: Path) -> None:
    server = Book(tls=Files(tmp_path).tls)
    with pytest.raises(fanwire.Closed):
        server.reload_tls()
    async with Book() as plain:
        with pytest.raises(RuntimeError, match=r"give it tls=fanwire\.TLS"):
            plain.reload_tls()


@pytest.mark.parametrize("what", ["missing", "empty", "another key", "encrypted", "no key"])
async def test_a_server_whose_files_are_wrong_does_not_start(tmp_path: Path, what: str) -> None:
    files = Files(tmp_path)
    other = files.sign("other")
    if what == "missing":
        files.key.unlink()
    elif what == "encrypted":
        files.write(files.key, ENCRYPTED)
    else:
        content = {"empty": b"", "another key": other[1].read_bytes(), "no key": other[0].read_bytes()}
        files.write(files.key, content[what])
    server = Book(tls=files.tls)
    with pytest.raises((OSError, ValueError), match=r"chain\.(key|pem)"):
        await server.start()
    # It can be tried again.
    files.use("one")
    async with server:
        assert await files.served(server.port or 0) == "one"


ENCRYPTED = b"""-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAi2mZ1gTa1cHwICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEKsX2J0x1FfF8o4y8eC8JtQEgZBn
-----END ENCRYPTED PRIVATE KEY-----
"""


async def test_the_log_says_what_is_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "fanwire.tls")
    files = Files(tmp_path)
    async with Book(tls=files.tls):
        lines = [record.getMessage() for record in caplog.records if record.name == "fanwire.tls"]
        assert any(str(files.chain) in line and "localhost" in line and "until 2" in line for line in lines)


# By a signal, to processes.


def serve(tmp_path: Path, files: Files, *more: str) -> Program:
    config = tmp_path / "serve.toml"
    config.write_text(f'[server]\ninsecure = true\nport = 0\ntls_watch_interval = 0\ntls_key = "{files.key}"\n')
    return Program("serve", "--config", str(config), "--tls-certificate", str(files.chain), *more)


@ON_ONE_LOOP
async def test_sighup_has_a_process_reload(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with serve(tmp_path, files) as program:
        url = program.url()
        assert url.startswith("wss://")
        port = int(url.rpartition(":")[2])
        async with fanwire.connect(f"wss://localhost:{port}", ssl=files.context) as client:
            states: list[fanwire.ConnectionState] = []
            client.on_state(states.append)
            assert await files.served(port) == "one"
            files.use("two")
            program.kill(signal.SIGHUP)
            await asyncio.to_thread(program.err.until, "two.example")
            assert await files.served(port) == "two"
            # One that cannot be used changes nothing.
            files.write(files.chain, b"nonsense")
            program.kill(signal.SIGHUP)
            await asyncio.to_thread(program.err.until, "ERROR")
            assert await files.served(port) == "two"
            await within(client.join("news"))
            assert states == []
        stop(program)


@ON_ONE_LOOP
async def test_sighup_has_all_workers_reload(tmp_path: Path) -> None:
    files = Files(tmp_path)
    nats = ["--nats", "embedded", "--nats-store", str(tmp_path / "store"), "--workers", "2"]
    with serve(tmp_path, files, *nats) as program:
        port = int(program.out.until("listens").rpartition(",")[0].rpartition(":")[2])
        both = workers(program)
        assert len(both) == 2
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(8):
                await within(stack.enter_async_context(fanwire.connect(f"wss://localhost:{port}", ssl=files.context)))
            files.use("two")
            program.kill(signal.SIGHUP)
            for _ in both:
                await asyncio.to_thread(program.err.until, "two.example")
            assert {await files.served(port) for _ in range(20)} == {"two"}
        assert workers(program) == both
        stop(program)


def test_without_tls_sighup_ends_a_process_as_ever(tmp_path: Path) -> None:
    # Under `nohup` a process would have inherited that it ignores the signal.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        ended_by_sighup(tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)


def ended_by_sighup(tmp_path: Path) -> None:
    with Program("serve", "--insecure", "--port", "0", cwd=tmp_path) as program:
        program.url()
        program.kill(signal.SIGHUP)
        assert program.exit_code() == -signal.SIGHUP


def test_a_signal_that_comes_while_the_workers_start_ends_none(tmp_path: Path) -> None:
    files = Files(tmp_path)
    nats = ["--nats", "embedded", "--nats-store", str(tmp_path / "store"), "--workers", "2"]
    with serve(tmp_path, files, *nats) as program:
        until_sync(lambda: len(workers(program)) == 2, "both are there", PROCESS)
        for _ in range(5):
            program.kill(signal.SIGHUP)
        program.out.until("listens")
        stop(program)


@pytest.mark.parametrize("more", [[], ["--workers", "2"]], ids=["one", "workers"])
def test_a_signal_that_comes_before_the_server_starts_ends_nothing(tmp_path: Path, more: list[str]) -> None:
    files = Files(tmp_path)
    with serve(tmp_path, files, "--nats", "embedded", "--nats-store", str(tmp_path / "store"), *more) as program:
        # The NATS server is first.
        until_sync(lambda: psutil.Process(program.process.pid).children(), "a child is there", PROCESS)
        program.kill(signal.SIGHUP)
        program.out.until("listens")
        stop(program)


# By a signal, to a program that awaits `serve`.


def serve_until(server: Book, ask: Callable[[], object], is_done: Callable[[], object]) -> None:
    """Runs a server in this thread. Once it is up, `ask` is called, and when `is_done` it is stopped."""

    async def main() -> None:
        ready = asyncio.Event()
        serving = asyncio.ensure_future(server.serve(ready=ready.set))
        await within(ready.wait())
        ask()
        await until(is_done)
        await within(server.stop())
        await within(serving)

    asyncio.run(main())


def hang_up() -> None:
    signal.raise_signal(signal.SIGHUP)


def test_serve_takes_the_signal_and_gives_it_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "fanwire.tls")
    files = Files(tmp_path, watch_interval=0)
    before = signal.getsignal(signal.SIGHUP)

    def ask() -> None:
        files.use("two")
        hang_up()

    serve_until(Book(tls=files.tls), ask, lambda: "two.example" in caplog.text)
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_signal_while_the_server_starts_is_obeyed_when_it_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fanwire.tls")
    files = Files(tmp_path, watch_interval=0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        files.use("two")
        hang_up()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    before = signal.getsignal(signal.SIGHUP)
    serve_until(Book(tls=files.tls, app=app), lambda: None, lambda: "two.example" in caplog.text)
    assert caplog.text.count("TLS uses") == 2
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_program_that_handles_the_signal_itself_goes_on_doing_so(tmp_path: Path) -> None:
    heard: list[int] = []

    def hear(number: int, frame: object) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGHUP, hear)
    try:
        serve_until(Book(tls=Files(tmp_path).tls), hang_up, lambda: heard == [signal.SIGHUP])
        assert signal.getsignal(signal.SIGHUP) is hear
    finally:
        signal.signal(signal.SIGHUP, before)
