"""Connections that are cut at any byte, over and over, while messages flow both ways: nothing is lost, doubled or
reordered. The long form (`make soak`) has 1,000 cuts."""

from __future__ import annotations

import os
import random

import pytest
from helpers.cutting import check, run

from fanwire.client import backoff, chooser, post_queue

CUTS = int(os.environ.get("FANWIRE_CUTS", "80"))


@pytest.fixture(autouse=True)
def _every_loss_is_a_new_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise clients that are cut ten times in ten seconds would wait for minutes, as they should elsewhere."""
    monkeypatch.setattr(backoff, "SETTLED", 0.0)


@pytest.mark.usefixtures("eager_clients")
@pytest.mark.timeout(180 + CUTS)
async def test_random_cuts_lose_double_and_reorder_nothing() -> None:
    _, readers, count, taken = await run(CUTS, {}, random.Random())
    check(readers, count, taken)


@pytest.mark.usefixtures("eager_clients")
@pytest.mark.timeout(180 + CUTS)
async def test_neither_do_they_when_the_servers_limits_are_hit_now_and_then() -> None:
    config = {"connection_bytes": 24 << 10, "replay_bytes": 24 << 10, "unsent_bytes": 4096}
    server, readers, count, taken = await run(CUTS, config, random.Random())
    check(readers, count, taken)
    assert any(conn._session is not None and conn._session.ended == "overflow" for conn in server.closed)


@pytest.mark.usefixtures("eager_clients")
@pytest.mark.timeout(180 + 2 * CUTS)
async def test_neither_do_they_while_the_transport_changes_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chooser, "FIRST_UPGRADE", 0.3)
    monkeypatch.setattr(chooser, "UPGRADE_EVERY", 0.3)
    monkeypatch.setattr(chooser, "LIMITS", dict.fromkeys(chooser.TRANSPORTS, 2.0))
    monkeypatch.setattr(post_queue, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(post_queue, "MAX_PAUSE", 0.1)
    _, readers, count, taken = await run(CUTS, {}, random.Random(), is_boxed=True)
    check(readers, count, taken)
