"""What happens when a limit is passed."""

from __future__ import annotations

import pytest

from fanwire.config import Config
from fanwire.observability.limits import HeldBytes, Limits


@pytest.mark.parametrize("dry_run", [False, True])
def test_each_is_counted_and_has_a_consequence_unless_it_is_a_dry_run(dry_run: bool) -> None:
    counted: list[str] = []
    limits = Limits(Config(dry_run=dry_run), counted.append)
    assert limits.over("ping_rate") is not dry_run
    assert limits.over("message_rate") is not dry_run
    assert counted == ["ping_rate", "message_rate"]
    assert limits.inbound.limit == Config().inbound_bytes


def test_bytes_that_are_held() -> None:
    held = HeldBytes(100)
    held.bytes += 100
    assert not held.is_full
    held.bytes += 1
    assert held.is_full
    held.bytes -= 1
    assert not held.is_full
