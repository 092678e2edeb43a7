"""Errors as problem details."""

from __future__ import annotations

import json

import pytest

from fanwire.admin.problems import Problem, problem_of
from fanwire.backplane.base import Unavailable
from fanwire.errors import Closed, Overloaded, Refused
from fanwire.http.body import HttpError


def test_the_answer_has_the_form_of_rfc_9457() -> None:
    answer = Problem(503, "busy", "later", "?limit", retry_after=3, nodes=["a"]).answer()
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert (answer.headers["Retry-After"], answer.headers["Cache-Control"]) == ("3", "no-store")
    assert json.loads(bytes(answer.body)) == {
        "title": "Service Unavailable", "status": 503, "detail": "later", "code": "busy", "parameter": "?limit",
        "nodes": ["a"],
    }  # fmt: skip
    assert Problem(401, "x", "y").answer().headers["WWW-Authenticate"] == "Bearer"
    assert Problem(408, "x", "y").answer().headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (HttpError(413, "too_large", "x"), 413, "too_large"),  # type: ignore[arg-type]  # a number is as good
        (Refused(401, "x"), 401, "unauthorized"),
        (Refused(403, "x"), 403, "forbidden"),
        (Refused(429, "x", retry_after=2), 429, "rate_limited"),
        (Unavailable("x"), 503, "unavailable"),
        (Overloaded("x"), 503, "overloaded"),
        (Closed("x"), 503, "unavailable"),
        (Problem(409, "ambiguous", "x"), 409, "ambiguous"),
    ],
)
def test_errors_of_other_parts_are_problems(error: Exception, status: int, code: str) -> None:
    problem = problem_of(error)
    assert problem is not None
    assert (problem.status, problem.code) == (status, code)


def test_an_error_of_the_server_is_none() -> None:
    assert problem_of(RuntimeError("x")) is None
