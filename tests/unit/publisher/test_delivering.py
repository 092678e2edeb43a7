"""The delivery of a batch: answers, errors and the clock come in, attempts and results come out."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

import fanwire
from fanwire.publisher.delivering import CAP, LONG, LONGEST, BatchDelivery, PublishAnswer
from fanwire.publisher.publication import Publication, encoded


def delivery(count: int = 3, timeout: float = 10.0) -> BatchDelivery:
    """One of messages with the ids "0", "1"..., from the time 0 on."""
    batch = [encoded(Publication("r", number, id=str(number))) for number in range(count)]
    return BatchDelivery(batch, "http://server", timeout, timeout, Random(1))


def answer(*results: Any, status: int = 200, retry_after: str | None = None) -> PublishAnswer:
    """The answer of a server; an int stands for a number, a str for the code of an error that may be retried."""
    found = [
        {"room": "r", "seq": one} if isinstance(one, int) else {"error": {"code": one, "text": "", "retry": True}}
        for one in results
    ]
    return PublishAnswer(status, json.dumps({"results": found}).encode(), retry_after)


def ids(one: BatchDelivery) -> list[str]:
    """The ids of the next attempt."""
    return [entry["id"] for entry in json.loads(one.body())]


def seqs(one: BatchDelivery) -> list[int | None]:
    return [getattr(result, "seq", None) for result in one.results()]


def test_one_attempt_is_enough() -> None:
    one = delivery()
    assert one.waits(0)
    assert ids(one) == ["0", "1", "2"]
    one.answered(answer(7, 8, 9))
    assert not one.waits(0)
    assert seqs(one) == [7, 8, 9]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_succeed_later_is_sent_again(status: int) -> None:
    one = delivery()
    assert ids(one) == ids(one)
    one.answered(PublishAnswer(status, b"<html>", "3"))
    assert one.waits(0)
    assert 3 <= one.pause(0) <= 3.1
    assert ids(one) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("status", "code"), [(400, "http_400"), (401, "http_401"), (404, "http_404"), (302, "http_302")]
)
def test_a_refusal_is_final(status: int, code: str) -> None:
    one = delivery()
    one.body()
    one.answered(PublishAnswer(status, b""))
    assert not one.waits(0)
    assert [result.code for result in one.results() if isinstance(result, fanwire.RequestFailed)] == [code] * 3


def test_only_what_failed_is_sent_again_and_results_keep_their_places() -> None:
    one = delivery()
    one.body()
    one.answered(answer("overloaded", 5, "unavailable", status=207))
    assert one.waits(0)
    assert ids(one) == ["0", "2"]
    one.answered(answer(6, 7))
    assert not one.waits(0)
    assert seqs(one) == [6, 5, 7]


def test_pauses_grow_to_a_limit_and_vary() -> None:
    one = delivery(timeout=1000.0)
    pauses = []
    for _ in range(40):
        one.body()
        one.failed("refused")
        pauses.append(one.pause(0))
    assert all(0 <= pause <= min(CAP, 0.1 * 2**index) for index, pause in enumerate(pauses))
    assert max(pauses) > CAP / 2
    assert len(set(pauses)) == 40


def test_a_pause_ends_with_the_deadline() -> None:
    one = delivery(timeout=5.0)
    one.body()
    one.answered(PublishAnswer(503, b"", "60"))
    assert one.pause(1.0) == 4.0
    assert not one.waits(5.0)
    (error, *_) = one.results()
    assert isinstance(error, fanwire.Unavailable)
    assert "http://server has not confirmed a message within 5 s and 1 attempts" in str(error)
    assert "503" in str(error)


@pytest.mark.parametrize(
    ("header", "seconds"), [("2", 2.0), (" 2 ", 2.0), ("-1", 0.0), ("soon", 0.0), ("9" * 20, 0.0), ("1.5", 0.0)]
)
def test_retry_after_is_read_as_it_is_written(header: str, seconds: float) -> None:
    one = delivery(timeout=100.0)
    one.body()
    one.answered(PublishAnswer(503, b"", header))
    assert seconds <= one.pause(0) <= seconds + 0.1


def test_retry_after_may_be_a_date() -> None:
    one = delivery(timeout=100.0)
    one.body()
    one.answered(PublishAnswer(503, b"", "Wed, 21 Oct 2099 07:28:00 GMT"))
    assert one.pause(0) == 100.0


def test_a_body_that_is_too_large_is_halved_down_to_one_message() -> None:
    one = delivery(4)
    assert len(ids(one)) == 4
    one.answered(PublishAnswer(413, b""))
    assert one.pause(0) == 0
    assert ids(one) == ["0", "1"]
    one.answered(PublishAnswer(413, b""))
    assert ids(one) == ["0"]
    one.answered(answer(1))
    assert one.pause(0) == 0
    assert ids(one) == ["1"]
    one.answered(PublishAnswer(413, b'{"code":"too_large","text":"no","retry":false}'))
    assert one.pause(0) == 0
    assert ids(one) == ["2"]
    one.answered(answer(2))
    assert ids(one) == ["3"]
    one.answered(answer(3))
    assert not one.waits(0)
    assert seqs(one) == [1, None, 2, 3]
    assert not one.is_given_up


def test_only_what_concerns_all_messages_is_given_up() -> None:
    refused = {"results": [{"error": {"code": "bad_room", "text": "no", "retry": False}}] * 3}
    one = delivery()
    one.answered(PublishAnswer(207, json.dumps(refused).encode()))
    assert (one.waits(0), one.is_given_up) == (False, False)
    for status, body in ((401, b""), (200, b"<html>"), (200, b"[" * 100_000), (403, b'{"a":' + b"[" * 100_000)):
        one = delivery()
        one.answered(PublishAnswer(status, body))
        assert (one.waits(0), one.is_given_up) == (False, True)
    one = delivery()
    assert (one.waits(10), one.is_given_up) == (False, True)


@pytest.mark.parametrize("after", [10**400, -(10**400), -1, True])
def test_a_pause_that_no_server_means_is_not_longer_than_the_deadline(after: int) -> None:
    one = delivery(1)
    error = {"code": "overloaded", "text": "", "retry": True, "retry_after_ms": after}
    one.answered(PublishAnswer(207, json.dumps({"results": [{"error": error}]}).encode()))
    assert 0 <= one.pause(0) <= 10


@pytest.mark.parametrize("body", [b"", b"[]", b'{"results":[{"seq":1}]}', b'{"results":[{"seq":"1"},{},{}]}', b"\xff"])
def test_an_answer_of_another_program_is_an_error(body: bytes) -> None:
    one = delivery()
    one.body()
    one.answered(PublishAnswer(200, body))
    assert not one.waits(0)
    assert {type(result) for result in one.results()} == {fanwire.ConnectionFailed}


def test_an_attempt_has_half_of_the_time_that_is_left() -> None:
    one = delivery(timeout=60.0)
    assert one.remaining(0) == LONGEST
    assert one.remaining(50) == 5.0
    assert one.remaining(57) == 3.0
    assert one.remaining(59.5) == 0.5
    assert one.remaining(61) > 0
    assert LONG <= 5


def test_the_fields_of_an_error_are_those_of_the_server() -> None:
    error = {"code": "bad_room", "text": "no", "retry": False, "path": "$.room", "retry_after_ms": 5}
    one = delivery(1)
    one.body()
    one.answered(PublishAnswer(207, json.dumps({"results": [{"error": error}]}).encode()))
    (found,) = one.results()
    assert isinstance(found, fanwire.RequestFailed)
    assert (found.code, found.text, found.path, found.retry_after_ms) == ("bad_room", "no", "$.room", 5)
