"""An error in one connection stays there."""

from __future__ import annotations

import pytest

from fanwire.errors import Closed
from fanwire.observability.health import Counters, Health
from fanwire.runtime.containment import contained


class Noted(Counters):
    def __init__(self) -> None:
        self.parts: list[str] = []

    def internal_error(self, where: str) -> None:
        self.parts.append(where)


@pytest.mark.logs_errors
def test_an_error_is_counted_and_not_raised() -> None:
    noted = Noted()
    with contained(Health(noted), "here"):
        raise ZeroDivisionError
    assert noted.parts == ["here"]


def test_an_engine_that_has_ended_is_no_error() -> None:
    noted = Noted()
    with contained(Health(noted), "here"):
        raise Closed("the engine is closed")
    assert noted.parts == []
