"""Answers of JetStream: which are errors, and what they say."""

from __future__ import annotations

import pytest

from fanwire.backplane.base import Unavailable
from fanwire.backplane.jetstream import result


def test_an_answer_without_an_error_is_returned() -> None:
    assert result({"stream": "s", "error": None}) == {"stream": "s", "error": None}


def test_an_error_is_quoted() -> None:
    with pytest.raises(Unavailable, match=r"^JetStream: stream not found$"):
        result({"error": {"code": 404, "err_code": 10059, "description": "stream not found"}})


def test_too_little_storage_says_what_it_was_needed_for() -> None:
    answer = {"error": {"code": 500, "err_code": 10047, "description": "insufficient storage resources available"}}
    with pytest.raises(Unavailable, match="its streams reserve more than the NATS server may store"):
        result(answer)
