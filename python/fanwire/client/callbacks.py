"""Callbacks of the application. Whatever they raise, the client goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["tell"]

logger = logging.getLogger("fanwire.client")

T = TypeVar("T")


def tell(callbacks: Iterable[Callable[[T], object]], value: T) -> None:
    """Calls all of them with a value. What one raises is logged, except for KeyboardInterrupt and SystemExit."""
    for callback in list(callbacks):
        _call(callback, value)


def _call(callback: Callable[[T], object], value: T) -> None:
    try:
        callback(value)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        # CancelledError, too: no exception of a callback may stop the client's remaining work.
        logger.exception("a callback of the application failed; the client goes on")
