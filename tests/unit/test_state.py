"""The states of a connection: the table is the machine, so the table is what is tested."""

from __future__ import annotations

import itertools

import pytest

from fanwire.state import TRANSITIONS, State

ALLOWED = {
    (State.CONNECTING, State.OPEN),
    (State.CONNECTING, State.CLOSED),
    (State.OPEN, State.PARKED),
    (State.OPEN, State.CLOSING),
    (State.OPEN, State.CLOSED),
    (State.PARKED, State.OPEN),
    (State.PARKED, State.CLOSING),
    (State.PARKED, State.CLOSED),
    (State.CLOSING, State.CLOSED),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_ways(before: State, after: State) -> None:
    assert (after in TRANSITIONS[before]) == ((before, after) in ALLOWED)


def test_every_state_has_its_line_and_all_ways_end() -> None:
    assert set(TRANSITIONS) == set(State)
    assert [state for state in State if not TRANSITIONS[state]] == [State.CLOSED]
    assert [state.value for state in State] == ["connecting", "open", "parked", "closing", "closed"]
