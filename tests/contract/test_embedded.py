"""The NATS server that a node brings with it: it is started again, and says once that it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.nats import embedded as restartable
from helpers.wait import until

from fanwire.backplane import embedded


@pytest.mark.logs_errors
async def test_a_server_that_cannot_be_started_again_makes_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded, "WATCH", 0.01)
    attempts = 0
    program = embedded.program

    def missing() -> str:
        nonlocal attempts
        attempts += 1
        raise FileNotFoundError("the disk is full")

    server = restartable(tmp_path)
    await server.start()
    try:
        monkeypatch.setattr(embedded, "program", missing)
        server.kill()
        await until(lambda: attempts >= 10)
        monkeypatch.setattr(embedded, "program", program)
        await until(lambda: "started again" in caplog.text)
    finally:
        await server.stop()
    lines = [record.getMessage() for record in caplog.records if record.name == "fanwire.backplane"]
    assert [line.partition(" ")[0] for line in lines] == ["nats-server", "the", "nats-server"], lines
