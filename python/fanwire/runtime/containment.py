"""Keeps an error in one connection from the others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fanwire.errors import ENGINE_ERRORS
from fanwire.observability.health import Health

__all__ = ["contained"]


@contextlib.contextmanager
def contained(health: Health, where: str) -> Iterator[None]:
    """Logs and counts an error instead of raising it. An error that says that the engine has ended is dropped.

    Args:
        health: gets the error.
        where: names the part of the server, for the log and the metric.
    """
    try:
        yield
    except ENGINE_ERRORS:
        pass
    except BaseException as error:  # noqa: BLE001 - attributes of identities may run code of the application
        health.internal_error(where, error)
