"""Any bytes at the front door: at most one answer, a whole one, with nothing in it that came from the peer; and how
the bytes were cut on their way makes no difference."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import parse_qsl

import pytest
from helpers.fuzz import SEEDS, fuzz, mutants
from hostile.door import House, Outcome
from hostile.heads import PIPELINED, inputs
from hypothesis import example, given
from hypothesis import strategies as st

from fanwire.errors import Refused
from fanwire.gateway.front_door import MAX_HEADERS
from fanwire.request import Request

MAX_HEAD = 4096
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

cuts = st.lists(st.floats(0, 1), max_size=4) | st.none()


def pieces_of(data: bytes, places: list[float] | None) -> list[bytes]:
    """None: byte by byte."""
    if places is None:
        return [data[n : n + 1] for n in range(len(data))]
    edges = [0, *sorted(int(place * len(data)) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if end > start]


def authenticate(request: Request) -> str | None:
    token = request.credential(("header", "subprotocol", "query", "cookie:sid"))
    if token == "bad":
        raise Refused(401, f"{token} is no token", retry_after=7)
    return token


async def authenticate_later(request: Request) -> str | None:
    return authenticate(request)


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"authenticate": authenticate, "hosts": ["example.com"], "origins": ["https://example.com"]},
        {"authenticate": authenticate_later},
    ],
    ids=["open", "strict", "asynchronous"],
)
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    house = House({"max_head": MAX_HEAD}, **request.param)
    yield house
    house.close()


@fuzz(150)
@example(PIPELINED, [], 0)
@example(PIPELINED, [0.35], 0)
@given(inputs, cuts, SEEDS)
def test_any_bytes_in_any_cuts(house: House, data: bytes, places: list[float] | None, seed: int) -> None:
    peer = "198.51.100.1" if seed % 2 else "192.0.2.1"
    for mutant in mutants(data, seed, PIECES):
        check_cuts(house, mutant, places, peer)


def check_cuts(house: House, data: bytes, places: list[float] | None, peer: str) -> None:
    at_once = house.receive([data] if data else [], peer)
    assert house.receive(pieces_of(data, places), peer) == at_once
    check(at_once, data)
    if at_once.kind == "waiting":
        assert house.receive([data], peer, is_patient=False) == Outcome("answer", 408)


def check(outcome: Outcome, data: bytes) -> None:
    if outcome.kind == "http":
        assert outcome.what == data
    elif outcome.kind == "upgrade":
        path, query, _, headers, upgrade, _, rest = outcome.what
        assert data.endswith(rest)
        assert path.startswith("/")
        assert "token" not in dict(parse_qsl(query, keep_blank_values=True))
        assert len(headers) <= MAX_HEADERS
        assert upgrade.key in data


@fuzz(100)
@given(
    st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"GET /", b"GET / HTTP/1.1\r\nX: ", PIPELINED[:-2], b"\r\n"]),
    st.sampled_from([b"x", b"\r\n", b"X: y\r\n", b"/", b" ", b"Content-Length: 0\r\n", b"\x00", b"a=b&"]),
    st.integers(1, 3 * MAX_HEAD),
    st.integers(1, 5000),
)
def test_no_head_is_endless(house: House, start: bytes, more: bytes, size: int, step: int) -> None:
    data = (start + more * (size // len(more) + 1))[:size]
    outcome = house.receive([data[n : n + step] for n in range(0, len(data), step)])
    # Whoever waits has not sent more than a head may have.
    assert outcome.kind != "waiting" or len(data) <= MAX_HEAD
    check(outcome, data)
