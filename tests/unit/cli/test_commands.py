"""The commands' help, and a command that lacks a package."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from helpers.commands import run

HELP = [
    [],
    ["serve"],
    ["publish"],
    ["subscribe"],
    ["demo"],
    ["config"],
    ["config", "check"],
    ["config", "reference"],
    ["doctor"],
    ["health"],
    ["recording", "info"],
    ["recording", "cat"],
    ["replay"],
]


@pytest.mark.parametrize("command", HELP)
def test_help_is_there(command: list[str]) -> None:
    assert run(*command, "--help").exit_code == 0


def test_help_says_that_the_limit_of_open_files_is_raised() -> None:
    assert "open files" in run("serve", "--help").output


def test_the_demo_without_psutil_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("fanwire.demo")]:
        monkeypatch.delitem(sys.modules, name)
    missing: Any = None
    monkeypatch.setitem(sys.modules, "psutil", missing)
    result = run("demo", "--port", "0")
    assert (result.exit_code, result.stderr) == (1, "Error: the demo needs psutil: pip install 'fanwire[demo]'\n")
