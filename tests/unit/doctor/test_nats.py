"""What the answers of NATS servers say. Servers are in `system/test_doctor.py`."""

from __future__ import annotations

from typing import Any

import pytest

from fanwire.doctor.finding import Verdict
from fanwire.doctor.nats import NatsReadings, check_embedded, check_nats, no_nats, release

GOOD: dict[str, Any] = {"servers": ["nats://a", "nats://b"], "version": "2.12.1", "max_payload": 8 << 20}


def verdicts(**changes: Any) -> dict[str, Verdict]:
    found = check_nats(NatsReadings(**{**GOOD, **changes}), max_message=1 << 20)
    return {finding.check: finding.verdict for finding in found}


def test_good_servers() -> None:
    assert set(verdicts().values()) == {"ok"}
    assert {"NATS nats://a", "NATS nats://b", "NATS login", "JetStream", "NATS max_payload"} == set(verdicts())


@pytest.mark.parametrize(
    ("changes", "check", "verdict"),
    [
        ({"unreachable": {"nats://a": "refused"}}, "NATS nats://a", "warning"),
        ({"refusal": "authorization violation"}, "NATS login", "problem"),
        ({"version": "2.10.9"}, "NATS version", "problem"),
        ({"jetstream": "not enabled"}, "JetStream", "problem"),
        ({"max_payload": 1 << 20}, "NATS max_payload", "warning"),
    ],
)
def test_each_value_has_its_verdict(changes: dict[str, Any], check: str, verdict: Verdict) -> None:
    assert verdicts(**changes)[check] == verdict


def test_no_server_is_one_problem_for_each() -> None:
    found = verdicts(unreachable={"nats://a": "refused", "nats://b": "refused"}, refusal="no server can be reached")
    assert found == {"NATS nats://a": "problem", "NATS nats://b": "problem"}


def test_an_embedded_server() -> None:
    assert (check_embedded(None).verdict, check_embedded("/usr/bin/nats-server").verdict) == ("problem", "ok")
    assert no_nats().verdict == "skipped"


def test_versions() -> None:
    assert release("2.11.0-beta.1") == (2, 11)
    assert release("v2.9") < (2, 11)
