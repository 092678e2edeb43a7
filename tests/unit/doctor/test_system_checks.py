"""The limits of a machine against those of a server: one verdict for each value."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fanwire.config import Config
from fanwire.doctor.finding import Verdict
from fanwire.doctor.system_checks import check_system, is_reserved, size
from fanwire.doctor.system_readings import NO_LIMIT, SystemReadings

GOOD = SystemReadings(
    soft_files=1024,
    hard_files=1 << 20,
    somaxconn=4096,
    port_range=(32768, 60999),
    reserved_ports="",
    tcp_rmem=(4096, 131072, 6 << 20),
    tcp_wmem=(4096, 16384, 4 << 20),
    tcp_memory=1 << 30,
    conntrack_max=262144,
    overcommit=0,
    memory=8 << 30,
    memory_limit=None,
    swap_used=0,
    processors=4,
    cores=(0, 1, 2, 3),
    processor_quota=None,
)


def verdict(check: str, readings: SystemReadings, config: Config | None = None, **options: Any) -> Verdict | None:
    found = {finding.check: finding for finding in check_system(readings, config or Config(), **options)}
    if check not in found:
        return None
    finding = found[check]
    assert finding.why
    assert finding.found
    assert bool(finding.advice) is (finding.verdict in ("warning", "problem"))
    return finding.verdict


def test_a_good_machine_has_nothing_to_do() -> None:
    assert {finding.verdict for finding in check_system(GOOD, Config(), port=8000)} == {"ok"}


def test_a_machine_that_shows_nothing_is_skipped() -> None:
    assert {finding.verdict for finding in check_system(SystemReadings(), Config())} == {"skipped"}


@pytest.mark.parametrize(
    ("check", "changes", "expected"),
    [
        ("open files", {"hard_files": 102_000}, "ok"),
        ("open files", {"hard_files": 101_999}, "warning"),
        ("open files", {"hard_files": 256, "soft_files": 256}, "problem"),
        ("open files", {"hard_files": NO_LIMIT}, "ok"),
        ("backlog", {"somaxconn": 128}, "warning"),
        ("local ports", {"port_range": (50_000, 60_999)}, "warning"),
        ("socket buffers", {"tcp_wmem": (4096, 16384, 32768)}, "warning"),
        ("socket buffers", {"tcp_rmem": (4096, 16384, 32768)}, "warning"),
        ("socket memory", {"tcp_memory": 100 << 20}, "warning"),
        ("connection tracking", {"conntrack_max": 65536}, "warning"),
        ("connection tracking", {"conntrack_max": None}, None),
        ("processors", {"processor_quota": 0.5}, "warning"),
        ("processors", {"processor_quota": 2.0}, "ok"),
        ("processors", {"processor_quota": 8.0}, "ok"),
        ("memory", {"memory_limit": 1 << 30}, "warning"),
        ("memory", {"memory_limit": 512 << 20}, "problem"),
        ("memory", {"memory": 512 << 20}, "problem"),
        ("memory", {"memory_limit": 16 << 30}, "ok"),
        ("swap", {"swap_used": 1 << 30}, "warning"),
        ("swap", {"swap_used": None}, None),
        ("overcommit", {"overcommit": 2}, "warning"),
        ("overcommit", {"overcommit": 1}, None),
    ],
)
def test_each_value_has_its_verdict(check: str, changes: dict[str, Any], expected: Verdict | None) -> None:
    # Without a number of shards it would be that of this machine.
    assert verdict(check, msgspec.structs.replace(GOOD, **changes), Config(shards=1)) == expected


def test_more_threads_than_the_quota_are_stopped() -> None:
    limited = msgspec.structs.replace(GOOD, processor_quota=2.0)
    assert verdict("processors", limited, Config(shards=3)) == "warning"
    assert verdict("processors", limited, Config(shards=1), workers=2) == "warning"


@pytest.mark.parametrize(
    ("check", "config", "options", "expected"),
    [
        ("open files", {"max_connections": 0}, {}, "ok"),
        ("open files", {"max_connections": 2_000_000}, {}, "warning"),
        ("open files", {"max_connections": (1 << 20) - 2000}, {}, "ok"),
        ("open files", {"max_connections": (1 << 20) - 2000}, {"has_tls": True}, "warning"),
        ("backlog", {"backlog": 8192}, {}, "warning"),
        ("local ports", {}, {"port": 40_000}, "warning"),
        ("socket buffers", {"unsent_bytes": 8 << 20}, {}, "warning"),
        ("socket memory", {}, {"workers": 4}, "warning"),
        ("processors", {"shards": 8}, {}, "warning"),
        ("processors", {}, {"workers": 5}, "warning"),
        ("spinning threads", {"shards": 3, "shard_spin": 0.001}, {}, "ok"),
        ("spinning threads", {"shards": 4, "shard_spin": 0.001}, {}, "warning"),
        ("spinning threads", {"shards": 1, "shard_spin": 0.001}, {"workers": 4}, "warning"),
        ("spinning threads", {"shard_cores": "2-3"}, {}, "ok"),
        ("spinning threads", {"shard_cores": "2-3"}, {"workers": 2}, "warning"),
        ("spinning threads", {"shard_cores": "4"}, {}, "problem"),
        ("memory", {"engine_bytes": 8 << 30}, {}, "problem"),
    ],
)
def test_the_servers_limits_count(
    check: str, config: dict[str, Any], options: dict[str, Any], expected: Verdict
) -> None:
    assert verdict(check, GOOD, Config(**config), **options) == expected


def test_a_port_may_be_reserved() -> None:
    reserved = msgspec.structs.replace(GOOD, reserved_ports="8080,40000-40010")
    assert verdict("local ports", reserved, port=40_005) == "ok"
    assert not is_reserved(40_011, "8080,40000-40010")
    assert is_reserved(8080, "8080,40000-40010")
    assert not is_reserved(1, "")


def test_the_soft_limit_is_raised_by_the_start() -> None:
    (found,) = (finding for finding in check_system(GOOD, Config()) if finding.check == "open files")
    assert "raises the soft limit" in found.why


def test_words_for_numbers() -> None:
    assert [size(value) for value in (512, 2048, 3 << 20, 250 << 20, 1.5 * 2**30)] == [
        "512 bytes", "2 KB", "3 MB", "250 MB", "1.5 GB",
    ]  # fmt: skip
