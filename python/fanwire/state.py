"""The states of a connection and the ways between them. The table is the state machine."""

from __future__ import annotations

from enum import Enum

__all__ = ["TRANSITIONS", "State"]


class State(Enum):
    """Where a connection stands; the names are those of a browser's `readyState`."""

    # By identity, and in C: that of `Enum` hashes the name, in Python, and each event looks a state up.
    __hash__ = object.__hash__

    CONNECTING = "connecting"
    """The request is accepted, the 101 has not left yet."""
    OPEN = "open"
    """Messages flow."""
    PARKED = "parked"
    """The transport was lost; the session waits for its client to come back."""
    CLOSING = "closing"
    """A close frame was queued or received; no message is accepted any more."""
    CLOSED = "closed"
    """The connection is gone."""


TRANSITIONS: dict[State, frozenset[State]] = {
    State.CONNECTING: frozenset({State.OPEN, State.CLOSED}),
    State.OPEN: frozenset({State.PARKED, State.CLOSING, State.CLOSED}),
    State.PARKED: frozenset({State.OPEN, State.CLOSING, State.CLOSED}),
    State.CLOSING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}
