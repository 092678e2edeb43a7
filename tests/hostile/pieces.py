"""Heads of requests cut into pieces, and what is put into them, for fuzzing."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

__all__ = ["PIECES", "cuts", "pieces_of"]

PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b":",
    b" ",
    b"\t",
    b"\x00",
    b"\x7f",
    b"\xff",
    b"HTTP/1.1",
    b"chunked",
    b",",
    b"%",
    b"0",
    b"&token=",
]
"""What is put into a head somewhere."""

cuts = st.lists(st.floats(0, 1), max_size=4) | st.none()
"""Where the bytes are cut, as parts of their length; None: byte by byte."""


def pieces_of(data: bytes, places: list[float] | None) -> list[bytes]:
    """The bytes, cut there."""
    if places is None:
        return [data[n : n + 1] for n in range(len(data))]
    edges = [0, *sorted(int(place * len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if end > start]
