"""How a node gets in at a NATS server: password, token, TLS, and several servers of which some are not there."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from helpers.wait import until

from fanwire.backplane import Log, Unavailable
from fanwire.backplane.embedded import port_in, program
from fanwire.backplane.nats import NATS

LOG = Log("rooms", 10, 1 << 20, 60.0)


class Ear:
    def heard(self, name: str, data: bytes) -> None: ...

    def stored(self, log: str, room: str, message: object) -> None: ...

    def told(self, data: bytes) -> None: ...

    def lost(self, log: str | None, room: str) -> None: ...

    def went(self, is_up: bool) -> None: ...


@asynccontextmanager
async def nats_server(folder: Path, settings: str) -> AsyncIterator[int]:
    """A server with these settings; its port."""
    conf = folder / "nats.conf"
    ports = folder / "ports"
    ports.mkdir()
    conf.write_text(
        f'listen: "127.0.0.1:-1"\nports_file_dir: "{ports}"\njetstream {{ store_dir: "{folder}" }}\n{settings}\n'
    )
    process = subprocess.Popen([program(), "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: ASYNC220 - a fork takes a millisecond
    try:
        yield await until(lambda: port_in(ports), "the server listens")
    finally:
        process.terminate()
        await asyncio.get_running_loop().run_in_executor(None, process.wait, 10)


async def works(backplane: NATS) -> bool:
    """Whether it carries anything."""
    await backplane.open(Ear())
    try:
        await backplane.declare(LOG)
        return await backplane.append(LOG, "a", b"1", "1") == 1
    finally:
        await backplane.close()


@pytest.mark.parametrize(
    ("settings", "right", "wrong"),
    [
        ('authorization { user: "ann", password: "secret" }', "ann:secret@", "ann:guess@"),
        ('authorization { token: "secret" }', "secret@", "guess@"),
        ('authorization { token: "secret" }', "secret@", ""),
    ],
)
async def test_passwords_and_tokens(tmp_path: Path, settings: str, right: str, wrong: str) -> None:
    async with nats_server(tmp_path, settings) as port:
        with pytest.raises(Unavailable, match=r"(?i)authorization") as refused:
            await NATS(f"nats://{wrong}127.0.0.1:{port}").open(Ear())
        assert "guess" not in str(refused.value)
        assert await works(NATS(f"nats://{right}127.0.0.1:{port}"))


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    subprocess.run([*make, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True, timeout=60)
    return cert, key


async def test_tls(tmp_path: Path, pem: tuple[Path, Path]) -> None:
    cert, key = pem
    async with nats_server(tmp_path, f'tls {{ cert_file: "{cert}", key_file: "{key}" }}') as port:
        believes: Callable[[], ssl.SSLContext] = lambda: ssl.create_default_context(cafile=str(cert))  # noqa: E731
        assert await works(NATS(f"tls://127.0.0.1:{port}", tls=believes()))
        with pytest.raises(Unavailable, match=r"(?i)certificate"):
            await NATS(f"tls://127.0.0.1:{port}").open(Ear())


async def test_one_of_several_servers_is_enough(tmp_path: Path) -> None:
    async with nats_server(tmp_path, "") as port:
        assert await works(NATS(["nats://127.0.0.1:1", f"nats://127.0.0.1:{port}"]))
