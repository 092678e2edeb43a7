"""Certificates that are loaded, replaced and expire, with a stand-in for the engine."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from helpers.wait import until

from fanwire._engine import Closed
from fanwire.tls.certificates import AGAIN, LOGGED, NOTICE, Certificates, LoadedCertificate, listed, moment
from fanwire.tls.settings import TLS

NOW = 1_800_000_000
LATER = NOW + 90 * 24 * 3600


class Rig:
    """Certificates whose files a test writes. A file `broken` cannot be used.

    Attributes:
        loads: the content of each chain that the engine was given, a list for each time.
        expires: when each certificate expires.
        now: the time.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.loads: list[list[bytes]] = []
        self.expires = LATER
        self.now = float(NOW)
        self.options: dict[str, Any] = {}
        self.engine = mock.Mock()
        self.engine.set_tls = self._set_tls
        self.write("a.pem", "one")
        self.write("a.key", "one")
        self.tls = TLS(folder / "a.pem", folder / "a.key", **options)
        self.health = mock.Mock()
        self.certificates = Certificates(self.engine, self.tls, self.health, lambda: self.now)

    def write(self, name: str, text: str) -> None:
        """Replaces a file in one step."""
        (self.folder / "new").write_text(text)
        (self.folder / "new").rename(self.folder / name)

    def _set_tls(self, certificates: list[Any], **options: Any) -> list[tuple[list[str], int]]:
        for name, chain, _, key in certificates:
            if chain == b"broken" or chain != key:
                raise ValueError(f"{name}: the key is not that of the certificate")
        self.loads.append([chain for _, chain, _, _ in certificates])
        self.options = options
        return [([f"{chain.decode()}.example"], self.expires) for _, chain, _, _ in certificates]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """What was logged since the last call."""
    caplog.set_level(logging.INFO, "fanwire.tls")
    # Not cleared: another thread may log in between.
    taken = 0

    def take() -> list[tuple[str, str]]:
        nonlocal taken
        found = [record for record in caplog.records if record.name == "fanwire.tls"][taken:]
        taken += len(found)
        return [(record.levelname, record.getMessage()) for record in found]

    return take


Lines = Callable[[], list[tuple[str, str]]]


def test_the_engine_gets_the_settings(tmp_path: Path, lines: Lines) -> None:
    (tmp_path / "ca.pem").write_text("ca")
    rig = Rig(tmp_path, client_ca=tmp_path / "ca.pem", client_certificates="optional", min_version="1.3")
    rig.certificates.load()
    assert rig.options == {
        "client_ca": (str(tmp_path / "ca.pem"), b"ca"), "client_required": False, "min_version": "1.3",
        "handshake_timeout": 5.0,
    }  # fmt: skip
    assert rig.certificates.loaded == [LoadedCertificate(str(tmp_path / "a.pem"), ["one.example"], LATER)]
    assert lines() == [("INFO", f"TLS uses {tmp_path}/a.pem for one.example until 2027-04-15 08:00:00 UTC")]


def test_a_change_is_seen_at_the_next_look(tmp_path: Path, lines: Lines) -> None:
    rig = Rig(tmp_path)
    rig.certificates.load()
    rig.certificates.look()
    assert len(rig.loads) == 1
    # Half of the pair, as between the two steps of a tool.
    rig.write("a.pem", "two")
    lines()
    for _ in range(3):
        rig.certificates.look()
    reason = "a changed file of TLS is not used, and what was loaded before stays"
    assert lines() == [("WARNING", f"{reason}: {tmp_path}/a.pem: the key is not that of the certificate")]
    assert rig.certificates.loaded[0].names == ["one.example"]
    rig.write("a.key", "two")
    rig.certificates.look()
    rig.certificates.look()
    assert rig.loads == [[b"one"], [b"two"]]
    assert [level for level, _ in lines()] == ["INFO"]
    # The next time it is said again.
    rig.write("a.pem", "broken")
    rig.certificates.look()
    assert [level for level, _ in lines()] == ["WARNING"]


def test_a_file_that_is_gone_for_a_moment_changes_nothing(tmp_path: Path, lines: Lines) -> None:
    rig = Rig(tmp_path)
    rig.certificates.load()
    (tmp_path / "a.key").unlink()
    lines()
    for _ in range(2):
        rig.certificates.look()
    ((level, text),) = lines()
    assert level == "WARNING"
    assert "a.key, the TLS private key: No such file" in text
    rig.write("a.key", "one")
    rig.certificates.look()
    # The content is that of before, so tickets stay valid.
    assert len(rig.loads) == 1
    assert lines() == []


def test_files_that_were_only_touched_are_not_loaded_again_but_by_a_call(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.certificates.load()
    os.utime(tmp_path / "a.pem", (0, 0))
    rig.certificates.look()
    assert len(rig.loads) == 1
    rig.certificates.load()
    assert len(rig.loads) == 2


def test_without_an_interval_files_are_not_watched(tmp_path: Path) -> None:
    rig = Rig(tmp_path, watch_interval=0)
    rig.certificates.load()
    rig.write("a.pem", "two")
    rig.write("a.key", "two")
    rig.certificates.look()
    assert len(rig.loads) == 1


def test_a_call_that_fails_changes_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.certificates.load()
    rig.write("a.pem", "broken")
    for _ in range(2):
        with pytest.raises(ValueError, match="the key is not that of the certificate"):
            rig.certificates.load()
    assert rig.certificates.loaded[0].names == ["one.example"]
    (tmp_path / "a.pem").unlink()
    with pytest.raises(FileNotFoundError):
        rig.certificates.load()


def test_one_that_expires_soon_is_told_once_a_day(tmp_path: Path, lines: Lines) -> None:
    rig = Rig(tmp_path, watch_interval=0)
    rig.expires = NOW + int(NOTICE)
    rig.certificates.load()
    rig.certificates.look()
    assert [level for level, _ in lines()] == ["INFO"]
    rig.now += 1
    for _ in range(3):
        rig.certificates.look()
    about = f"the certificate {tmp_path}/a.pem for one.example"
    assert lines() == [("WARNING", f"{about} expires at {moment(rig.expires)}: renew it")]
    rig.now += AGAIN
    rig.certificates.look()
    assert [level for level, _ in lines()] == ["WARNING"]
    rig.now = rig.expires + 1.0
    rig.certificates.look()
    said = f"{about} has expired at {moment(rig.expires)}, so that clients refuse it: renew it"
    assert lines() == [("WARNING", said)]


def test_one_that_has_expired_is_told_at_the_start(tmp_path: Path, lines: Lines) -> None:
    rig = Rig(tmp_path)
    rig.expires = NOW - 1
    rig.certificates.load()
    assert [level for level, _ in lines()] == ["INFO", "WARNING"]


def test_many_certificates_have_some_lines(tmp_path: Path, lines: Lines) -> None:
    names = [tmp_path / f"{number}.pem" for number in range(LOGGED + 9)]
    for path in names:
        path.write_text("one")
    rig = Rig(tmp_path, others=[(path, path) for path in names])
    rig.certificates.load()
    said = lines()
    assert len(said) == LOGGED + 1
    assert said[-1] == ("INFO", "TLS uses 10 more certificates")


async def test_the_files_are_watched_until_the_end(tmp_path: Path) -> None:
    rig = Rig(tmp_path, watch_interval=0.01)
    rig.certificates.load()
    rig.certificates.begin()
    rig.write("a.pem", "two")
    rig.write("a.key", "two")
    await until(lambda: rig.loads == [[b"one"], [b"two"]])
    rig.certificates.end()
    rig.certificates.end()
    looks = mock.Mock()
    rig.certificates.look = looks  # type: ignore[method-assign]  # a stand-in
    rig.certificates.begin()
    looks.side_effect = ZeroDivisionError
    await until(lambda: rig.health.internal_error.call_count > 1)
    rig.certificates.end()


@pytest.mark.logs_errors
async def test_a_reload_by_a_signal_is_logged(tmp_path: Path, lines: Lines) -> None:
    rig = Rig(tmp_path, watch_interval=0)
    rig.certificates.load()
    rig.write("a.pem", "broken")
    lines()
    said: list[tuple[str, str]] = []

    def heard() -> bool:
        said.extend(lines())
        return bool(said)

    rig.certificates.load_later()
    await until(heard)
    assert said == [
        (
            "ERROR",
            "the files of TLS are not used, and what was loaded before stays: "
            f"{tmp_path}/a.pem: the key is not that of the certificate",
        )
    ]
    rig.write("a.pem", "one")
    rig.certificates.load_later()
    await until(lambda: len(rig.loads) == 2)


async def test_an_engine_that_has_ended_is_no_error(tmp_path: Path, lines: Lines) -> None:
    rig = Rig(tmp_path)
    rig.certificates.load()
    rig.write("a.pem", "two")
    rig.engine.set_tls = mock.Mock(side_effect=Closed)
    lines()
    rig.certificates.look()
    rig.certificates.load_later()
    await until(lambda: rig.engine.set_tls.call_count == 2)
    assert lines() == []
    with pytest.raises(Closed):
        rig.certificates.load()


def test_names_and_times_are_short() -> None:
    assert listed([]) == "no name"
    assert listed(["a", "b"]) == "a, b"
    assert listed([*"abcdefg"]) == "a, b, c, d, e and 2 more"
    assert moment(0) == "1970-01-01 00:00:00 UTC"
    assert moment(1 << 62) == "the end of time"
