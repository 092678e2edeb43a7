"""Answers to requests, however their bytes come."""

from __future__ import annotations

import pytest

from fanwire.client.failures import Failure
from fanwire.client.http_answer import MAX_HEAD, AnswerParser, HttpAnswer
from fanwire.client.link import Unreachable

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(("data", "body"), [(LENGTH, b"hello"), (CHUNKS, b"hello"), (EMPTY, b"")])
@pytest.mark.parametrize("before", [b"", HINT])
def test_an_answer_with_a_length(data: bytes, body: bytes, size: int, before: bytes) -> None:
    answer = AnswerParser()
    stream = before + data
    for start in range(0, len(stream), size):
        assert not answer.is_whole
        answer.take(stream[start : start + size])
    assert (answer.is_whole, answer.is_kept, answer.taken()) == (True, True, body)
    assert "link" not in answer.headers


def test_without_a_length_the_body_ends_with_the_connection() -> None:
    answer = AnswerParser()
    answer.take(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nab")
    assert (answer.has_head, answer.is_whole, answer.taken()) == (True, False, b"ab")
    answer.take(b"c")
    answer.take(b"")
    assert (answer.is_whole, answer.is_kept, answer.taken()) == (True, False, b"c")


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\n", LENGTH[:-1], CHUNKS[:-5]])
def test_an_answer_that_is_cut(data: bytes) -> None:
    answer = AnswerParser()
    if data:
        answer.take(data)
    with pytest.raises(ConnectionError):
        answer.take(b"")


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 two hundred\r\n\r\n", b"\x16\x03\x01"])
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(Unreachable) as error:
        AnswerParser().take(data)
    assert error.value.failure is Failure.NO_HTTP


def test_a_head_has_a_limit() -> None:
    answer = AnswerParser()
    with pytest.raises(Unreachable, match="too large"):
        answer.take(b"HTTP/1.1 200 OK\r\nA: " + b"x" * MAX_HEAD)


def test_an_answer_that_refuses() -> None:
    error = HttpAnswer(503, {"retry-after": "7"}).refusal()
    assert (error.status, error.retry_after, error.failure) == (503, 7.0, Failure.BUSY)


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "",
        "-1",
        "1.5",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2020 00:00:00 +99999999999999",
    ],
)
def test_a_time_to_come_back_that_is_none_is_left_out_and_the_status_counts(text: str) -> None:
    error = HttpAnswer(403, {"retry-after": text}).refusal()
    assert (error.status, error.retry_after) == (403, None)
