"""The tree of errors, and the one that an application raises."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import fanwire
from fanwire import errors
from fanwire.client.errors import ProtocolError

TREE = {
    "FanwireError": "Exception",
    "Closed": "FanwireError",
    "Overloaded": "FanwireError",
    "RoomFull": "Overloaded",
    "Refused": "FanwireError",
    "Reject": "FanwireError",
    "RequestFailed": "FanwireError",
    "RoomEnded": "FanwireError",
    "Unavailable": "FanwireError",
    "ConnectionFailed": "FanwireError",
    "EngineFailed": "FanwireError",
}


def test_the_tree() -> None:
    assert {name: getattr(errors, name).__bases__[0].__name__ for name in TREE} == TREE
    assert sorted([*TREE, "ENGINE_ERRORS"]) == sorted(errors.__all__)
    assert all(len(getattr(errors, name).__bases__) == 1 for name in TREE)
    assert issubclass(ProtocolError, errors.FanwireError)
    with pytest.raises(AttributeError, match="nothing"):
        _ = errors.nothing


def test_the_drawing_has_the_tree() -> None:
    drawn = errors.__doc__ or ""
    assert [name for name in TREE if f" {name} " not in f"{drawn} ".replace("\n", " ")] == []


def test_the_errors_at_the_top_are_the_same() -> None:
    at_the_top = [name for name in TREE if name in fanwire.__all__]
    assert len(at_the_top) == len(TREE) - 2
    assert all(getattr(fanwire, name) is getattr(errors, name) for name in at_the_top)


@pytest.mark.parametrize("name", ["FanwireError", "Closed", "Overloaded", "RoomFull", "Unavailable", "EngineFailed"])
def test_an_error_goes_to_another_process(name: str) -> None:
    error = getattr(errors, name)("why")
    copy: Any = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args) == (type(error), ("why",))


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
def test_refused(status: int) -> None:
    refused = fanwire.Refused(status, "because", retry_after=3)
    assert (refused.status, refused.retry_after, str(refused)) == (status, 3, "because")
    assert str(fanwire.Refused(status)) == refused.status.phrase


@pytest.mark.parametrize("status", [0, 101, 200, 302, 400, 500])
def test_other_statuses_are_an_error_of_the_application(status: int) -> None:
    with pytest.raises(ValueError, match=str(status)):
        fanwire.Refused(status)
