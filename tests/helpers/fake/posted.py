"""The messages in the body of a request, as `Engine.post` takes them."""

from __future__ import annotations

import base64
import binascii

from helpers.fake.message import Frame, header

MASK = 4
"""Bytes of the mask in the frame that a message stands for."""


def messages_in(lines: bytes, is_binary: bool) -> list[Frame]:
    """The messages.

    Raises:
        ValueError: a line is not valid.
    """
    try:
        text = lines.decode()
    except UnicodeDecodeError:
        raise ValueError("the body is not UTF-8") from None
    found: list[Frame] = []
    for number, line in enumerate(text.split("\n"), 1):
        message = line.removesuffix("\r")
        if message and is_binary:
            try:
                found.append(base64.b64decode(message, validate=True))
            except binascii.Error:
                raise ValueError(f"line {number} is not base64") from None
        elif message:
            found.append(message)
    return found


def posted_size(frame: Frame) -> int:
    """The bytes that a message counts for in events "read"."""
    size = len(frame.encode() if isinstance(frame, str) else frame)
    return header(size) + MASK + size
