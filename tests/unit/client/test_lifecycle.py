"""The state of a client, and what a call is told when it is over."""

from __future__ import annotations

import pytest

from fanwire.client.actions import Action, StateChanged
from fanwire.client.lifecycle import ClientLifecycle
from fanwire.errors import Closed, ConnectionFailed
from fanwire.state import ConnectionState


def test_a_change_is_told_once_and_only_where_there_is_a_way() -> None:
    actions: list[Action] = []
    life = ClientLifecycle(actions)
    assert life.become(ConnectionState.OPEN)
    assert not life.become(ConnectionState.OPEN)
    assert not life.become(ConnectionState.CONNECTING)
    assert life.become(ConnectionState.CLOSING)
    assert not life.become(ConnectionState.OPEN)
    assert life.state is ConnectionState.CLOSING
    assert actions == [StateChanged(ConnectionState.OPEN), StateChanged(ConnectionState.CLOSING)]


@pytest.mark.parametrize("state", ConnectionState)
def test_calls_fail_once_a_client_is_closing(state: ConnectionState) -> None:
    life = ClientLifecycle([])
    life.state = state
    if state in (ConnectionState.CLOSING, ConnectionState.CLOSED):
        with pytest.raises(Closed, match="the client is closed"):
            life.check()
    else:
        life.check()


def test_calls_fail_with_the_reason_for_which_the_client_has_given_up() -> None:
    life = ClientLifecycle([])
    life.error = ConnectionFailed("no more", code=4500)
    life.become(ConnectionState.CLOSED)
    with pytest.raises(ConnectionFailed, match="4500 no more"):
        life.check()
    assert life.error.__traceback__ is not None
    with pytest.raises(ConnectionFailed) as again:
        life.check()
    assert len(again.traceback) == 2
