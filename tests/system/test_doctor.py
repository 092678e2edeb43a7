"""`fanwire doctor` as a process: a good system, expired certificates, dead NATS, wrong settings, blocked upgrades."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.behind import Before, Behind
from helpers.certificates import Authority, Pair
from helpers.commands import run
from helpers.middlebox import HANG, REFUSE, RESET, Middlebox
from helpers.nats import nats_server
from helpers.program import without_settings
from helpers.serving import Book
from helpers.wait import PROCESS, within

import fanwire
from fanwire.auth import ApiKeys

# The command has a loop of its own.
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

KEY = "0123456789abcdef0123456789abcdef"


Findings = dict[str, dict[str, str]]
"""By their checks."""


def read(code: int | None, out: str) -> tuple[int, Findings]:
    assert code is not None
    return code, {finding["check"]: finding for finding in json.loads(out)["findings"]}


async def beside(*args: str, **env: str) -> tuple[int, Findings]:
    """Runs the command in a thread of this process, which takes less time than a process."""
    loop = asyncio.get_running_loop()
    result = await within(loop.run_in_executor(None, lambda: run("doctor", "--json", *args, env=env)), PROCESS)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return read(result.exit_code, result.stdout)


async def doctor(*args: str, env: dict[str, str] | None = None) -> tuple[int, Findings]:
    """Runs the command as a process; the exit code, and what it has found."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fanwire", "doctor", "--json", *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**without_settings(os.environ), **(env or {})},
    )  # fmt: skip
    out, err = await within(process.communicate(), PROCESS)
    assert out, err.decode()
    return read(process.returncode, out.decode())


def verdicts(findings: Findings, begin: str) -> dict[str, str]:
    return {name: finding["verdict"] for name, finding in findings.items() if name.startswith(begin)}


def problems(findings: Findings) -> list[str]:
    return [name for name, finding in findings.items() if finding["verdict"] == "problem"]


async def test_a_good_system(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    chain, key = authority.sign("localhost", "localhost", "127.0.0.1")
    key.chmod(0o600)
    config = tmp_path / "fanwire.toml"
    async with Book(tls=fanwire.TLS(chain, key)) as server:
        config.write_text(
            f'[server]\napi_keys = ["{KEY}"]\nport = {server.port}\n'
            f'tls_certificate = "{chain}"\ntls_key = "{key}"\n[limits]\nmax_connections = 100\n'
        )
        url = f"https://localhost:{server.port}"
        code, findings = await doctor("--config", str(config), "--ca", str(authority.file), url)
    assert (code, problems(findings)) == (0, [])
    for check in (
        "open files",
        "settings",
        "extension",
        f"certificate {chain}: key",
        f"server wss://localhost:{server.port}/",
    ):
        assert findings[check]["verdict"] == "ok", findings[check]
    assert verdicts(findings, "transport") == dict.fromkeys(
        ["transport websocket", "transport sse", "transport long-poll"], "ok"
    )
    assert findings["clock of the server"]["verdict"] == "ok"
    assert findings["served certificate"]["verdict"] == "ok"
    assert findings["proxy"]["verdict"] == "ok"
    assert all(finding["why"] and finding["found"] for finding in findings.values())


async def test_the_text_says_what_to_do(tmp_path: Path) -> None:
    config = tmp_path / "fanwire.toml"
    config.write_text("[server]\nprot = 1\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fanwire", "doctor", "--config", str(config),
        stdout=asyncio.subprocess.PIPE,
        env=without_settings(os.environ),
    )  # fmt: skip
    out, _ = await within(process.communicate(), PROCESS)
    lines = out.decode().splitlines()
    assert process.returncode == 1
    at = lines.index(f"problem  settings: there is no setting server.prot: did you mean port? ({config}, line 2)")
    assert [line.split(":")[0].strip() for line in lines[at + 1 : at + 3]] == ["why", "do"]
    assert lines[-1].startswith("1 problem, ")


async def test_wrong_settings_of_the_environment() -> None:
    code, findings = await beside(FANWIRE_LIMITS__GRACE="soon")
    assert (code, problems(findings)) == (1, ["settings"])
    assert "FANWIRE_LIMITS__GRACE" in findings["settings"]["found"]


async def test_settings_that_are_valid_and_still_wrong(tmp_path: Path) -> None:
    code, findings = await beside(
        "--workers",
        "2",
        FANWIRE_SERVER__INSECURE="1",
        FANWIRE_SERVER__TRUSTED_PROXIES="0.0.0.0/0",
        FANWIRE_SERVER__TLS_CERTIFICATE="missing.pem",
        FANWIRE_SERVER__TLS_KEY="missing.key",
        FANWIRE_SERVER__TLS_CLIENT_CA=str(Authority(tmp_path).file),
    )
    assert (code, problems(findings)) == (1, ["trusted proxies", "workers", "certificate missing.pem"])
    assert findings[f"authorities {tmp_path}/authority.pem"]["verdict"] == "ok"


@pytest.mark.parametrize("kind", ["expired", "other key", "missing"])
async def test_a_certificate_that_cannot_be_used(tmp_path: Path, kind: str) -> None:
    authority = Authority(tmp_path)
    chain, key = authority.sign("a.example", "a.example", lasts=timedelta(days=-1 if kind == "expired" else 30))
    if kind == "other key":
        _, key = authority.sign("b.example", "b.example")
    elif kind == "missing":
        chain.unlink()
    env = {
        "FANWIRE_SERVER__INSECURE": "1",
        "FANWIRE_SERVER__TLS_CERTIFICATE": str(chain),
        "FANWIRE_SERVER__TLS_KEY": str(key),
    }
    code, findings = await (doctor(env=env) if kind == "expired" else beside(**env))
    wrong = {"expired": f"certificate {chain}: validity", "other key": f"certificate {chain}: key"}
    assert (code, problems(findings)) == (1, [wrong.get(kind, f"certificate {chain}")])


async def test_nats_that_does_not_run() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"nats://user:hush@127.0.0.1:{unused.getsockname()[1]}"
        code, findings = await doctor(env={"FANWIRE_NATS__SERVERS": url})
    place = url.replace("user:hush@", "")
    assert (code, problems(findings)) == (1, [f"NATS {place}"])
    assert "hush" not in str(findings)


async def test_nats_with_jetstream_and_without_the_right_password(tmp_path: Path) -> None:
    settings = 'authorization { user: "me", password: "right" }\nmax_payload: 100000'
    async with nats_server(tmp_path, settings) as port:
        code, findings = await beside(FANWIRE_NATS__SERVERS=f"nats://me:right@127.0.0.1:{port}")
        assert (code, problems(findings)) == (0, [])
        assert findings["JetStream"]["verdict"] == "ok"
        assert findings["NATS max_payload"]["verdict"] == "warning"
        code, findings = await beside(FANWIRE_NATS__SERVERS=f"nats://me:wrong@127.0.0.1:{port}")
        assert (code, problems(findings)) == (1, ["NATS login"])


async def test_no_server_at_the_url() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}"
        code, findings = await beside(url)
    assert (code, problems(findings)) == (1, [f"server {url}/"])
    assert findings[f"server {url}/"]["advice"] == "Start the server, and check the port."


@pytest.mark.parametrize("upgrades", [REFUSE, RESET, HANG])
async def test_a_proxy_that_blocks_upgrades(upgrades: str) -> None:
    async with Book() as server, Middlebox(server.port, upgrades=upgrades) as box:
        code, findings = await (doctor if upgrades == REFUSE else beside)(box.url)
    assert (code, problems(findings)) == (1, ["transport websocket"])
    assert "Upgrade" in findings["transport websocket"]["advice"]


async def test_a_proxy_that_holds_answers_back() -> None:
    async with Book() as server, Middlebox(server.port, holds=True) as box:
        code, findings = await beside(box.url)
    assert (code, problems(findings)) == (1, ["transport sse"])
    assert "buffering" in findings["transport sse"]["advice"]


async def test_a_server_that_wants_a_key() -> None:
    keys = ApiKeys({"feed": (KEY, ("publish",))})
    async with Book(authenticate=keys) as server:
        code, findings = await beside(server.url)
        assert (code, findings["access"]["verdict"]) == (0, "warning")
        assert set(verdicts(findings, "transport").values()) == {"skipped"}
        code, findings = await beside(server.url, "--api-key", "wrong-wrong-wrong-wrong")
        assert (code, problems(findings)) == (1, ["access"])
        code, findings = await beside(server.url, "--api-key", KEY)
        assert (code, set(verdicts(findings, "transport").values())) == (0, {"ok"})


async def test_the_proxies_of_the_documents(before: Before, pem: Pair, tmp_path: Path) -> None:
    config = tmp_path / "fanwire.toml"
    config.write_text('[server]\ninsecure = true\ntrusted_proxies = ["127.0.0.1"]\n')
    async with Behind() as server:
        edge = await before(server).start()
        code, findings = await beside("--config", str(config), "--ca", str(pem[0]), edge.url)
    assert (code, problems(findings)) == (0, [])
    assert set(verdicts(findings, "transport").values()) == {"ok"}
    assert findings["proxy"]["verdict"] == "ok"
    assert ("nginx" in findings["proxy"]["found"]) is (edge.name == "nginx")


async def test_a_server_that_does_not_know_its_proxy() -> None:
    async with Book() as server, Middlebox(server.port, headers=b"Via: 1.1 box\r\n") as box:
        code, findings = await beside(box.url, FANWIRE_SERVER__INSECURE="1", FANWIRE_CONFIG="/dev/null")
    assert (code, findings["proxy"]["verdict"]) == (0, "warning")
    assert findings["proxy"]["found"] == "Via: 1.1 box, and server.trusted_proxies is empty"
