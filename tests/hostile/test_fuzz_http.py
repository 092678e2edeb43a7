"""Any bytes for HTTP: whole answers in the order of the requests, and how the bytes were cut on their way makes no
difference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.fuzz import SEEDS, fuzz, mutants
from helpers.wire import request
from hostile.heads import PIPELINED, inputs
from hostile.pieces import PIECES, cuts, pieces_of
from hostile.plain import Outcome, Plain
from hypothesis import example, given
from hypothesis import strategies as st

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

RIGHT = [
    b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    CHUNKED + b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n",
    b"GET http://x/a HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 3000 + b"\r\n\r\n",
    b"GET /a HTTP/1.0\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n!",
    request("/fanwire/a"),
    request("/rt/fanwire?a=b"),
    request("/chat"),
]
requests = st.lists(st.sampled_from(RIGHT), min_size=1, max_size=4).map(b"".join)

MORE = [*PIECES, b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"HEAD"]


@pytest.fixture(scope="module")
def plain() -> Iterator[Plain]:
    plain = Plain({"max_head": 4096})
    yield plain
    plain.close()


@fuzz(40)
@example(PIPELINED, [], 0)
@example(PIPELINED, None, 0)
@example(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: gzip\r\n\r\n", [], 0)
@given(inputs | requests, cuts, SEEDS)
def test_any_bytes_in_any_cuts(plain: Plain, data: bytes, places: list[float] | None, seed: int) -> None:
    for mutant in mutants(data, seed, MORE):
        at_once = plain.answer([mutant])
        assert plain.answer(pieces_of(mutant, places)) == at_once, mutant
        check(at_once, mutant)
        plain.answer([mutant], is_patient=False)


@fuzz(20)
@given(st.sampled_from([b"GET / HTTP/1.1\r\n", CHUNKED, CHUNKED + b"0\r\n", b""]),
       st.binary(min_size=1, max_size=3), st.sampled_from([1, 7, 4096, 5000, 100_000]))  # fmt: skip
def test_what_does_not_end_is_ended(plain: Plain, start: bytes, more: bytes, step: int) -> None:
    data = start + more * (40_000 // len(more))
    outcome = plain.answer([data[n : n + step] for n in range(0, len(data), step)], is_patient=False)
    assert all(status in (200, 400, 408, 431) for status, _ in outcome.answers)


def check(outcome: Outcome, data: bytes) -> None:
    statuses = [status for status, _ in outcome.answers]
    assert all(status in (200, 400, 431) for status in statuses)
    # Nothing is answered behind what cannot be read.
    assert all(status == 200 for status in statuses[:-1])
    if statuses and statuses[-1] != 200:
        assert outcome.is_closed
    if outcome.upgrade:
        assert b"upgrade: websocket" in outcome.upgrade.lower()
    for status, body in outcome.answers:
        if status == 200 and body:
            # Trailers are no headers.
            names = body.split(b"|")[3].split(b",")
            assert len(names) <= 100
