"""Errors of listening: an `OSError` whose text names the address and says what to do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

__all__ = ["cannot_listen"]


@contextlib.contextmanager
def cannot_listen(where: object, advice: Mapping[int, str]) -> Iterator[None]:
    """Adds the address and advice to an `OSError` of the code inside.

    Args:
        where: the address.
        advice: a sentence of advice for some values of `errno`.

    Raises:
        OSError: with the same `errno`, and so of the same class.
    """
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        reason = error.strerror or os.strerror(number)
        hint = f". {advice[number]}" if number in advice else ""
        raise OSError(number, f"cannot listen at {where}: {reason}{hint}") from error
