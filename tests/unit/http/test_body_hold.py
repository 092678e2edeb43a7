"""What the bodies of all requests hold together."""

from __future__ import annotations

import pytest

from fanwire.config import Config
from fanwire.http.body import HttpError
from fanwire.http.body_hold import SMALL, BodyHold
from fanwire.observability.limits import Limits


def limits(exceeded: list[str], **config: object) -> Limits:
    return Limits(Config(inbound_bytes=10 * SMALL, **config), exceeded.append)  # type: ignore[arg-type]  # any field


def test_bodies_are_refused_above_the_limit() -> None:
    exceeded: list[str] = []
    all_of_them = limits(exceeded)
    first, second = BodyHold(all_of_them), BodyHold(all_of_them)
    first.add(8 * SMALL)
    second.add(2 * SMALL)
    with pytest.raises(HttpError) as refused:
        second.add(1)
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (503, "overloaded", 1)
    assert exceeded == ["inbound_bytes"]
    second.leave()
    second.leave()
    assert all_of_them.inbound.bytes == 8 * SMALL
    first.add(2 * SMALL)
    first.leave()
    assert all_of_them.inbound.bytes == 0


def test_small_bodies_always_come_through() -> None:
    exceeded: list[str] = []
    all_of_them = limits(exceeded)
    BodyHold(all_of_them).add(10 * SMALL)
    BodyHold(all_of_them).add(SMALL)
    assert not exceeded


def test_a_dry_run_counts_only() -> None:
    exceeded: list[str] = []
    BodyHold(limits(exceeded, dry_run=True)).add(20 * SMALL)
    assert exceeded == ["inbound_bytes"]
