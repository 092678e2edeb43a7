"""Each test of the engine's contract runs with the real engine and with the fake one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers.fake.rig import FakeRig
from helpers.real_rig import RealRig
from helpers.rig import Rig
from helpers.wait import DEADLINE

from fanwire.backplane import nats_client

RIGS: dict[str, Callable[..., Rig]] = {"fake": FakeRig, "real": RealRig}


@pytest.fixture(params=RIGS)
def rigged(request: pytest.FixtureRequest) -> Iterator[Callable[..., Rig]]:
    """Makes rigs, whose engines have the settings that it is given."""
    rigs: list[Rig] = []

    def make(**settings: Any) -> Rig:
        rigs.append(RIGS[request.param](**settings))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.end()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A NATS server may stand still for some time without being lost."""
    monkeypatch.setattr(nats_client, "TIMEOUT", DEADLINE)
    monkeypatch.setattr(nats_client, "PING", DEADLINE)


@pytest.fixture
def rig(rigged: Callable[..., Rig]) -> Rig:
    """One with the usual settings."""
    return rigged()
