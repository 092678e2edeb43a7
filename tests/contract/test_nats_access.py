"""How a node gets in at a NATS server: password, token, TLS, and several servers of which some are not there."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from pathlib import Path
from unittest import mock

import pytest
from helpers.nats import nats_server
from helpers.wait import DEADLINE, PROCESS, until, until_sync

from fanwire.backplane import Log, Stored, Unavailable, nats_client
from fanwire.backplane.embedded import port_in, program
from fanwire.backplane.nats import NATS

LOG = Log("rooms", 10, 1 << 20, 60.0)


class Ear:
    def heard(self, name: str, data: bytes) -> None: ...

    def missed(self, name: str, count: int, fault: str | None) -> None: ...

    def stored(self, log: str, room: str, message: Stored) -> None: ...

    def told(self, data: bytes) -> None: ...

    def complained(self, what: str) -> None: ...

    def failed(self, error: BaseException) -> None: ...

    def lost(self, log: str | None, room: str) -> None: ...

    def connection_changed(self, is_up: bool) -> None: ...


class Heard(Ear):
    """Notes the bytes that come."""

    def __init__(self) -> None:
        self.all: set[bytes] = set()

    def heard(self, name: str, data: bytes) -> None:
        self.all.add(data)

    def stored(self, log: str, room: str, message: Stored) -> None:
        self.all.add(message.data)

    def told(self, data: bytes) -> None:
        self.all.add(data)


async def works(backplane: NATS) -> bool:
    """Whether it carries anything, however slowly."""
    with mock.patch.object(nats_client, "TIMEOUT", DEADLINE):
        await backplane.open(Ear())
        try:
            await backplane.declare(LOG)
            # What is pushed comes over another connection than what is asked.
            await backplane.hear("a")
            return await backplane.append(LOG, "a", b"1", "1") == 1
        finally:
            await backplane.close()


async def refusal(backplane: NATS) -> str:
    """Why it does not get in, in lower case. A busy machine may need longer until it knows."""
    for seconds in (2.0, 6.0, 18.0):
        with mock.patch.object(nats_client, "TIMEOUT", seconds), pytest.raises(Unavailable) as refused:
            await backplane.open(Ear())
        if "answer" not in str(refused.value):
            break
    return str(refused.value).lower()


@pytest.mark.parametrize(
    ("settings", "right", "wrong"),
    [
        ('authorization { user: "ann", password: "secret" }', "ann:secret@", "ann:guess@"),
        ('authorization { user: "ann", password: "s/cr#t%" }', "ann:s%2Fcr%23t%25@", "ann:guess@"),
        ('authorization { token: "secret" }', "secret@", "guess@"),
        ('authorization { token: "secret" }', "secret@", ""),
    ],
)
async def test_passwords_and_tokens(tmp_path: Path, settings: str, right: str, wrong: str) -> None:
    async with nats_server(tmp_path, settings) as port:
        refused = await refusal(NATS(f"nats://{wrong}127.0.0.1:{port}"))
        assert "authorization" in refused
        assert "guess" not in refused
        assert await works(NATS(f"nats://{right}127.0.0.1:{port}"))


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files: those who are believed, and what they have signed."""
    folder = tmp_path_factory.mktemp("tls")
    files = {name: str(folder / f"{name}.pem") for name in ("ca", "ca_key", "cert", "key")}
    new = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    signed = ["-CA", files["ca"], "-CAkey", files["ca_key"], "-addext", "basicConstraints=critical,CA:FALSE"]
    signed += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    for rest in (
        ["-subj", "/CN=an authority", "-keyout", files["ca_key"], "-out", files["ca"]],
        [*signed, "-keyout", files["key"], "-out", files["cert"]],
    ):
        subprocess.run([*new, *rest], check=True, capture_output=True, timeout=PROCESS)
    return files


async def test_tls(tmp_path: Path, pem: dict[str, str]) -> None:
    async with nats_server(tmp_path, f'tls {{ cert_file: "{pem["cert"]}", key_file: "{pem["key"]}" }}') as port:
        assert await works(NATS(f"tls://127.0.0.1:{port}", ca=pem["ca"]))
        assert "certificate" in await refusal(NATS(f"tls://127.0.0.1:{port}"))


async def test_a_server_that_wants_a_certificate(tmp_path: Path, pem: dict[str, str]) -> None:
    files = f'cert_file: "{pem["cert"]}", key_file: "{pem["key"]}", ca_file: "{pem["ca"]}"'
    async with nats_server(tmp_path, f"tls {{ {files}, verify: true }}") as port:
        assert await works(NATS(f"nats://127.0.0.1:{port}", ca=pem["ca"], certificate=(pem["cert"], pem["key"])))
        with pytest.raises(Unavailable):
            await NATS(f"nats://127.0.0.1:{port}", ca=pem["ca"]).open(Ear())


@pytest.mark.usefixtures("patient")
async def test_the_permissions_that_the_docs_ask_for_are_enough(tmp_path: Path) -> None:
    docs = (Path(__file__).parents[2] / "docs/cluster.md").read_text()
    permissions = docs[docs.index("permissions: {") : docs.index("```\n\n## Security")]
    user = f'{{ user: "ann", password: "secret", {permissions} }}'
    async with nats_server(tmp_path, f"authorization {{ users: [ {user} ] }}") as port:
        url = f"nats://ann:secret@127.0.0.1:{port}"
        backplane, other = NATS(url), NATS(url)
        assert await works(backplane)
        heard, ear = Heard(), Ear()
        await backplane.open(heard)
        await other.open(ear)
        await backplane.hear("name")
        state = await backplane.follow(LOG, "a")
        assert other.send("name", b"1")
        assert other.tell(b"2")
        assert await other.append(LOG, "a", b"3", "3") > state.seq
        await until(lambda: heard.all == {b"1", b"2", b"3"}, "all that is pushed comes")
        assert [message.data for message in (await other.read(LOG, "a", 0))[0]] == [b"1", b"3"]
        await other.put("record", b"4", 60)
        assert await backplane.get("record") == b"4"
        await other.delete("record")
        await backplane.close()
        await other.close()


async def test_without_permissions_it_says_so(tmp_path: Path) -> None:
    user = '{ user: "ann", password: "secret", permissions: { publish: [], subscribe: ["other"] } }'
    async with nats_server(tmp_path, f"authorization {{ users: [ {user} ] }}") as port:
        assert "permissions violation" in await refusal(NATS(f"nats://ann:secret@127.0.0.1:{port}"))


def lines() -> int:
    """How many threads of this process talk to NATS."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        # Another one may end meanwhile.
        with contextlib.suppress(OSError):
            names.append((task / "comm").read_text().strip())
    return names.count("fanwire-nats")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the names of threads are in /proc")
async def test_whatever_waits_it_ends_when_it_is_closed(tmp_path: Path) -> None:
    async with nats_server(tmp_path, "") as port:
        backplane = NATS(f"nats://127.0.0.1:{port}")
        await backplane.open(Ear())
        # One that has ended is in /proc for a moment longer.
        await until(lambda: lines() == 1, "there is one")
    await until(lambda: not backplane.is_up)
    # More than the client takes while there is no connection.
    heard = await asyncio.gather(*(backplane.hear(str(n)) for n in range(1000)), return_exceptions=True)
    assert all(isinstance(error, Unavailable) for error in heard)
    await backplane.close()
    await until(lambda: lines() == 0, "it has ended")


async def test_one_of_several_servers_is_enough(tmp_path: Path) -> None:
    async with nats_server(tmp_path, "") as port:
        assert await works(NATS(["nats://127.0.0.1:1", f"nats://127.0.0.1:{port}"]))


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("is_closed", [True, False])
def test_it_is_opened_again_in_another_loop(tmp_path: Path, *, is_closed: bool) -> None:
    """As that of a module, whose program runs `asyncio.run` twice; perhaps the first run did not close it."""

    async def carries(name: str) -> None:
        heard = Heard()
        await backplane.open(heard)
        await backplane.declare(LOG)
        await backplane.hear("a")
        await backplane.follow(LOG, "a")
        await backplane.append(LOG, "a", name.encode(), name)
        assert backplane.tell(b"told")
        await until(lambda: heard.all == {name.encode(), b"told"})
        if is_closed or name == "second":
            await backplane.close()

    (tmp_path / "store").mkdir()
    conf = tmp_path / "nats.conf"
    conf.write_text(
        f'listen: "127.0.0.1:-1"\nports_file_dir: "{tmp_path}"\njetstream {{ store_dir: "{tmp_path}/store" }}\n'
    )
    process = subprocess.Popen([program(), "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = until_sync(lambda: port_in(tmp_path), "the server listens", PROCESS)
        backplane = NATS(f"nats://127.0.0.1:{port}")
        for name in ("first", "second"):
            asyncio.run(carries(name))
    finally:
        process.terminate()
        process.wait(PROCESS)
