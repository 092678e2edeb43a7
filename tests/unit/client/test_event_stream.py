"""Events from bytes, however they are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.client.event_stream import EventStream, StreamEvent, TooLong

STREAM = (
    b"\xef\xbb\xbf:\n\n"
    b'data: {"a":1}\n\n'
    b"event: binary\ndata: AAEC\n\n"
    b"id: 7-1\ndata: first\ndata:second\ndata\n\n"
    b"retry: 100\nunknown: x\n\n"
    b"event: close\n\n"
    b": a comment\rdata: with cr\r\rdata: with both\r\n\r\n"
    b"data: not ended\n"
)
EVENTS = [
    StreamEvent(b'{"a":1}'),
    StreamEvent(b"AAEC", "binary"),
    StreamEvent(b"first\nsecond\n"),
    StreamEvent(b"with cr"),
    StreamEvent(b"with both"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_a_stream_that_is_cut_anywhere_has_the_same_events(cuts: list[int]) -> None:
    stream = EventStream(1000)
    places = [0, *sorted(cuts), len(STREAM)]
    events = [event for start, end in itertools.pairwise(places) for event in stream.feed(STREAM[start:end])]
    assert events == EVENTS


def test_byte_by_byte() -> None:
    stream = EventStream(1000)
    assert [event for byte in STREAM for event in stream.feed(bytes([byte]))] == EVENTS


@pytest.mark.parametrize("line", [b"data: ", b"", b"event: "])
def test_an_event_has_a_limit(line: bytes) -> None:
    stream = EventStream(100)
    stream.feed(b"data: " + b"x" * 90 + b"\n\n")
    with pytest.raises(TooLong):
        stream.feed(line + b"x" * 101)


def test_an_event_counts_once_however_it_is_cut() -> None:
    stream, event = EventStream(100), b"data: " + b"x" * 90 + b"\n\n"
    for place in range(len(event)):
        assert stream.feed(event[:place]) + stream.feed(event[place:]) == [StreamEvent(b"x" * 90)]


def test_many_lines_have_the_same_limit() -> None:
    stream = EventStream(100)
    with pytest.raises(TooLong):
        stream.feed(b"data: x\n" * 60)


def test_heartbeats_need_no_room() -> None:
    stream = EventStream(100)
    for _ in range(1000):
        assert stream.feed(b":\n\n") == []
