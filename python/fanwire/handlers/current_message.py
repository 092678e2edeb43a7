"""The message whose handler runs now. Tasks and threads that a handler starts inherit it (`contextvars`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["id_of_running", "running"]

_RUNNING: ContextVar[tuple[object, str | None] | None] = ContextVar("fanwire_message", default=None)


@contextmanager
def running(connection: object, message_id: str | None) -> Iterator[None]:
    """Marks the code inside, and the tasks that it starts, as handling a message of a connection."""
    token = _RUNNING.set((connection, message_id))
    try:
        yield
    finally:
        _RUNNING.reset(token)


def id_of_running(connection: object) -> str | None:
    """The id of the connection's message that is being handled; None: there is none, or it has no id."""
    message = _RUNNING.get()
    return message[1] if message is not None and message[0] is connection else None
