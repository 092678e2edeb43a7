"""The state of a client, and the reason for its end. `fanwire.state.CLIENT` has the transitions. Pure."""

from __future__ import annotations

from fanwire.client.actions import Action, StateChanged
from fanwire.client.errors import CLOSED
from fanwire.errors import Closed, FanwireError
from fanwire.state import CLIENT, ConnectionState

__all__ = ["ClientLifecycle"]


class ClientLifecycle:
    """The life of a client, across all its connections.

    Args:
        actions: the list to which changes of the state are added.

    Attributes:
        state: the state of the client.
        error: why the client is CLOSED; None: it is not, or the application has closed it.
    """

    __slots__ = ("_actions", "error", "state")

    def __init__(self, actions: list[Action]) -> None:
        self._actions = actions
        self.state = ConnectionState.CONNECTING
        self.error: FanwireError | None = None

    @property
    def is_over(self) -> bool:
        """Whether the client is closed, or closing."""
        return self.state in (ConnectionState.CLOSING, ConnectionState.CLOSED)

    def check(self) -> None:
        """Checks that a call can still be answered.

        Raises:
            ConnectionFailed: the client has given up.
            Closed: the application has closed the client.
        """
        if self.error is not None:
            # One error for all calls: it must not grow by the traceback of each.
            raise self.error.with_traceback(None)
        if self.is_over:
            raise Closed(CLOSED)

    def become(self, state: ConnectionState) -> bool:
        """Changes the state if the transition is allowed. Returns whether it has changed."""
        if state is self.state or state not in CLIENT[self.state]:
            return False
        self.state = state
        self._actions.append(StateChanged(state, self.error))
        return True
