"""`fanwire health` against servers of `fanwire serve`."""

from __future__ import annotations

import signal
from pathlib import Path

from helpers.certificates import Authority
from helpers.commands import run
from helpers.program import Program


def test_a_server_is_ready_and_alive_until_it_ends() -> None:
    with Program("serve", "--insecure", "--port", "0") as program:
        url = program.url()
        assert run("health", "--url", url).output == "ready\n"
        assert run("health", "--url", url, "--live").output == "ok\n"
        program.kill(signal.SIGTERM)
        assert program.exit_code() == 0
        assert run("health", "--url", url).exit_code == 1


def test_a_server_at_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with Program("serve", "--insecure", "--unix", path) as program:
        program.url()
        assert run("health", "--unix", path).output == "ready\n"


def test_a_server_with_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("public", "fanwire.example.com")
    options = ("--tls-certificate", str(certificate), "--tls-key", str(key))
    with Program("serve", "--insecure", "--port", "0", *options) as program:
        url = program.url()
        # The certificate is for another name than that by which it is asked.
        refused = run("health", "--url", url, "--ca", str(authority.file))
        assert refused.exit_code == 1
        assert "certificate verify failed" in refused.stderr
        assert run("health", "--url", url, "--no-verify").output == "ready\n"
