"""The tree of errors, and the one that an application raises."""

from __future__ import annotations

import pytest

import fanwire


def test_the_tree() -> None:
    assert fanwire.EngineError.__mro__[1] is RuntimeError
    assert fanwire.EngineClosed.__mro__[1] is fanwire.EngineError
    assert fanwire.Overloaded.__mro__[1] is fanwire.EngineError
    assert not issubclass(fanwire.Refused, fanwire.EngineError)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
def test_refused(status: int) -> None:
    refused = fanwire.Refused(status, "because", retry_after=3)
    assert (refused.status, refused.retry_after, str(refused)) == (status, 3, "because")
    assert str(fanwire.Refused(status)) == refused.status.phrase


@pytest.mark.parametrize("status", [0, 101, 200, 302, 400, 500])
def test_other_statuses_are_an_error_of_the_application(status: int) -> None:
    with pytest.raises(ValueError, match=str(status)):
        fanwire.Refused(status)
