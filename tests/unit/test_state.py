"""The states of a connection: the tables are the machines, so the tables are what is tested."""

from __future__ import annotations

import itertools

import pytest

from fanwire.state import CLIENT, SERVER, ConnectionState

BOTH = {
    (ConnectionState.CONNECTING, ConnectionState.OPEN),
    (ConnectionState.CONNECTING, ConnectionState.CLOSED),
    (ConnectionState.OPEN, ConnectionState.RECONNECTING),
    (ConnectionState.OPEN, ConnectionState.CLOSING),
    (ConnectionState.OPEN, ConnectionState.CLOSED),
    (ConnectionState.RECONNECTING, ConnectionState.OPEN),
    (ConnectionState.RECONNECTING, ConnectionState.CLOSING),
    (ConnectionState.RECONNECTING, ConnectionState.CLOSED),
    (ConnectionState.CLOSING, ConnectionState.CLOSED),
}
CLIENT_ONLY = {(ConnectionState.CONNECTING, ConnectionState.CLOSING)}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(ConnectionState, ConnectionState)))
def test_ways(before: ConnectionState, after: ConnectionState) -> None:
    assert (after in SERVER[before]) == ((before, after) in BOTH)
    assert (after in CLIENT[before]) == ((before, after) in BOTH | CLIENT_ONLY)


@pytest.mark.parametrize("table", [SERVER, CLIENT])
def test_every_state_has_its_line_and_all_ways_end(table: dict[ConnectionState, frozenset[ConnectionState]]) -> None:
    assert set(table) == set(ConnectionState)
    assert [state for state in ConnectionState if not table[state]] == [ConnectionState.CLOSED]


def test_the_values_are_the_names() -> None:
    assert [state.value for state in ConnectionState] == ["connecting", "open", "reconnecting", "closing", "closed"]
