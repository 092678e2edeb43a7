"""Settings in whole processes: of the environment, and where Python keeps no docstrings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers.program import Program
from helpers.wait import PROCESS

KEY = "secret"


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n")
    env = {
        "FANWIRE_SERVER__PORT": "0",
        "FANWIRE_SERVER__INSECURE": "true",
        "FANWIRE_SERVER__API_KEYS_FILE": str(keys),
        "FANWIRE_ROOMS": '[{pattern = "r", history = 0}]',
        "FANWIRE_LIMITS__DRAIN_TIMEOUT": "0.5",
    }
    with Program("serve", env=env) as server:
        url = server.url()
        with Program("subscribe", "r", "--url", url, "--count", "1") as reader:
            assert reader.err.next() == f"subscribed to r at {url}"
            with Program("publish", "r", "--url", url, env={"FANWIRE_API_KEY": KEY}) as writer:
                writer.feed(b"line\n", end=True)
                assert (writer.exit_code(), reader.exit_code()) == (0, 0)
            assert reader.out.rest() == ["line"]


def test_settings_are_checked_where_python_keeps_no_docstrings() -> None:
    command = [sys.executable, "-OO", "-m", "fanwire", "config", "check"]
    env = {"FANWIRE_LIMITS__GRACE": "-1", "FANWIRE_JWT__KEY": "k"}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PROCESS, check=False)
    assert ran.returncode == 2
    assert sorted(ran.stderr.splitlines()) == [
        "Error: jwt.algorithms is missing (FANWIRE_JWT__KEY)",
        "limits.grace must be at least 0, got -1 (FANWIRE_LIMITS__GRACE)",
    ]


def test_an_unknown_variable_keeps_the_server_from_starting() -> None:
    with Program("serve", "--insecure", "--port", "0", env={"FANWIRE_LIMITS__GRACES": "1"}) as server:
        assert server.exit_code() == 2
        assert "did you mean FANWIRE_LIMITS__GRACE?" in server.err.next()
