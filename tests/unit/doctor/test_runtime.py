"""Versions and features of the program."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fanwire.doctor.finding import Verdict
from fanwire.doctor.runtime import RuntimeReadings, check_runtime, installed, read_runtime

GOOD = RuntimeReadings(
    python="3.12.1",
    implementation="CPython",
    fanwire="0.1.0",
    uvloop="0.22.1",
    extension_error="",
    has_nats=True,
    openssl="OpenSSL 3.0",
    is_dev_mode=False,
)


def verdicts(**changes: Any) -> dict[str, Verdict]:
    return {finding.check: finding.verdict for finding in check_runtime(msgspec.structs.replace(GOOD, **changes))}


def test_a_good_program() -> None:
    assert verdicts() == {"python": "ok", "uvloop": "ok", "extension": "ok"}


@pytest.mark.parametrize(
    ("changes", "check", "verdict"),
    [
        ({"is_dev_mode": True}, "python", "warning"),
        ({"uvloop": None}, "uvloop", "problem"),
        ({"extension_error": "no such file"}, "extension", "problem"),
        ({"has_nats": False}, "extension", "ok"),
    ],
)
def test_each_value_has_its_verdict(changes: dict[str, Any], check: str, verdict: Verdict) -> None:
    assert verdicts(**changes)[check] == verdict


def test_this_program() -> None:
    found = read_runtime()
    assert (found.extension_error, found.has_nats, found.uvloop is not None) == ("", True, True)
    assert installed("no-such-package-as-this") is None
