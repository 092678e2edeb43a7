"""A line of the log that consists of named fields: text in logfmt, and the same fields for handlers that write JSON."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["logfmt", "write"]


def write(logger: logging.Logger, level: int, fields: Mapping[str, Any]) -> None:
    """Writes a record whose text is a line of `name=value` pairs, and whose attribute `connection` has the fields.

    Args:
        logger: writes it.
        level: of the `logging` module.
        fields: str, int, float or bool, by name. They must not change later.
    """
    logger.log(level, "%s", _Line(fields), extra={"connection": fields})


class _Line:
    """The text of a record, made only if a handler of the log formats it."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __str__(self) -> str:
        return logfmt(self._fields)


def logfmt(fields: Mapping[str, Any]) -> str:
    """Fields as `name=value` pairs with spaces between. All values but plain words are quoted as in JSON, so that
    clients cannot add lines or fields to the log.

    Example::

        logfmt({"id": "0x100000000", "why": "too slow"})  # id=0x100000000 why="too slow"
    """
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")
"""Printable ASCII without space, quote, equals sign and backslash."""
