"""UTF-8 by trial, with no decoder that keeps a state."""

from __future__ import annotations


def is_utf8(data: bytes) -> bool:
    """Whether it is."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_beginning(data: bytes) -> bool:
    """Whether it is, or can become such with more bytes."""
    if len(data) > 1 and data[-2] == 0xED and 0xA0 <= data[-1] < 0xC0:
        # A surrogate: CPython's decoder knows it by the third byte only, whatever that is.
        data = data[:-1]
    return any(is_utf8(data + end) for end in ENDS)


ENDS = [bytes([first] * (length > 0)) + b"\x80" * (length - 1) for length in range(4) for first in (0x80, 0x90, 0xA0)]
"""A character has at most three bytes behind its first; where any are possible, these are."""
