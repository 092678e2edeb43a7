"""Any sequence of frames, against the obvious model: a list of fragments, joined and decoded at the end."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from helpers.fuzz import fuzz
from helpers.utf8 import is_beginning, is_utf8
from hypothesis import given
from hypothesis import strategies as st

from fanwire.client.assembly import BINARY, CONTINUATION, TEXT, MessageAssembly, Violation

MAX_MESSAGE = 24
MAX_FRAGMENTS = 6


class Frame(NamedTuple):
    opcode: int
    fin: bool
    payload: bytes


class Model:
    """What RFC 6455 says, without a thought for memory or for failing early."""

    def __init__(self) -> None:
        self.opcode: int | None = None
        self.fragments: list[bytes] = []

    def add(self, frame: Frame) -> bytes | str | int | None:
        """A message, a close code, or None."""
        if (frame.opcode == CONTINUATION) is not (self.opcode is not None):
            return 1002
        if self.opcode is None:
            self.opcode = frame.opcode
        self.fragments.append(frame.payload)
        data = b"".join(self.fragments)
        is_single = frame.fin and len(self.fragments) == 1
        if len(data) > MAX_MESSAGE or (len(self.fragments) > MAX_FRAGMENTS and not is_single):
            return 1009
        if self.opcode == TEXT and not (is_utf8(data) if frame.fin else is_beginning(data)):
            return 1007
        if not frame.fin:
            return None
        opcode, self.opcode, self.fragments = self.opcode, None, []
        return data.decode() if opcode == TEXT else data


payloads = st.one_of(
    st.binary(max_size=8),
    st.text(max_size=3).map(str.encode),
    st.text(min_size=1, max_size=2).map(lambda text: text.encode()[:-1]),
    st.text(min_size=1, max_size=2).map(lambda text: text.encode()[1:]),
    st.sampled_from([b"", b"\xed", b"\xa0\x80", b"\xf4", b"\x90", b"\xf0", b"\x80", b"\xe2\x82", b"\xac", b"\xc0"]),
)
frames = st.lists(
    st.builds(Frame, st.sampled_from([CONTINUATION, CONTINUATION, TEXT, BINARY]), st.booleans(), payloads), max_size=30
)


@fuzz(500)
@given(frames)
def test_any_frames(frames: list[Frame]) -> None:
    assembly, model = MessageAssembly(MAX_MESSAGE, MAX_FRAGMENTS), Model()
    for frame in frames:
        expected = model.add(frame)
        if isinstance(expected, int):
            with pytest.raises(Violation) as violation:
                assembly.add(*frame)
            assert violation.value.code == expected
            return
        got = assembly.add(*frame)
        assert (got, type(got)) == (expected, type(expected))
        assert assembly.is_open == (model.opcode is not None)
        assert assembly.size == sum(map(len, model.fragments)) <= MAX_MESSAGE
