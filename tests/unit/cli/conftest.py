"""What a command is given, and what it would have done with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.commands import FILE

import fanwire.cli.serve as serving
from fanwire.cli.backplane import URL_VARIABLE
from fanwire.cli.settings import Settings
from fanwire.cli.workers import NUMBER_VARIABLE


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "fanwire.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What the command would have served with."""
    monkeypatch.delenv("FANWIRE_API_KEY", raising=False)
    seen: list[Settings] = []
    monkeypatch.setattr(serving, "run", lambda settings, workers, timeout: seen.append(settings))
    return seen


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is no worker of another program."""
    for name in (URL_VARIABLE, NUMBER_VARIABLE):
        monkeypatch.delenv(name, raising=False)
