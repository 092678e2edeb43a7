"""Payloads, from what an application has to what a frame carries."""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["encode"]


def encode(data: Any) -> tuple[bytes | str, bool]:
    """Returns the payload for `data`, and whether it is a JSON document.

    `bytes`, `bytearray` and `memoryview` become a binary message and `str` a text message, unchanged; everything
    else becomes a text message of JSON by orjson.

    Raises:
        TypeError: orjson cannot encode the value; the text says which type.
    """
    if isinstance(data, (bytes, str)):
        return data, False
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data), False
    return orjson.dumps(data), True
