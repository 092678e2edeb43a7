"""Queries, bodies and paths of requests: what they become, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from fanwire.admin.connection_endpoints import DisconnectBody
from fanwire.admin.endpoints import NoQuery, PageQuery, body_of, query_of, text_of_path
from fanwire.admin.problems import Problem


def test_a_query_is_read() -> None:
    assert query_of("limit=7&node=this", PageQuery) == PageQuery(limit=7, node="this")
    assert query_of("", PageQuery) == PageQuery(limit=100, cursor=None, node=None)
    assert query_of("", NoQuery) == NoQuery()


@pytest.mark.parametrize(
    ("text", "error", "parameter"),
    [
        ("limit=x", "limit: Expected `int`, got `str`", "?limit"),
        ("limit=0", "limit: Expected `int` >= 1", "?limit"),
        ("limit=1001", "limit: Expected `int` <= 1000", "?limit"),
        ("cursor=" + "x" * 2001, "cursor: Expected `str` of length <= 2000", "?cursor"),
        ("limit=1&limit=1", "limit must be given once", "?limit"),
        ("more=1", "unknown parameter; the parameters are: limit, cursor, node", "?more"),
        ("%00=1", "unknown parameter", "?..."),
        ("a=%ff", "must be percent-encoded UTF-8", "?"),
        ("&".join("limit=1" for _ in range(30)), "at most 20 parameters", "?"),
    ],
)
def test_what_is_wrong_with_a_query(text: str, error: str, parameter: str) -> None:
    with pytest.raises(Problem) as raised:
        query_of(text, PageQuery)
    assert error in str(raised.value)
    assert (raised.value.status, raised.value.parameter) == (400, parameter)


def test_a_body_is_read() -> None:
    for kind in ("application/json", "application/json; charset=utf-8", "", "application/x-www-form-urlencoded"):
        assert body_of(kind, b'{"code": 4001}', DisconnectBody) == DisconnectBody(code=4001)
    assert body_of("application/octet-stream", b"", DisconnectBody) == DisconnectBody(code=1000, reason="")


@pytest.mark.parametrize(
    ("kind", "data", "status", "parameter"),
    [
        ("text/plain", b"{}", 415, None),
        ("", b"{", 400, "$"),
        ("", b"\xff", 400, "$"),
        ("", b"[]", 400, "$"),
        ("", b'{"code":"x"}', 400, "$.code"),
        ("", b'{"more":1}', 400, "$"),
        ("", b"[" * 100_000, 400, "$"),
    ],
)
def test_what_is_wrong_with_a_body(kind: str, data: bytes, status: int, parameter: Any) -> None:
    with pytest.raises(Problem) as raised:
        body_of(kind, data, DisconnectBody)
    assert (raised.value.status, raised.value.parameter) == (status, parameter)


def test_a_part_of_a_path_is_decoded_once() -> None:
    assert text_of_path("room", "a%2Fb%2525") == "a/b%25"
    with pytest.raises(Problem, match="room must be percent-encoded UTF-8"):
        text_of_path("room", "%ff")
