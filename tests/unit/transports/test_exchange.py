"""Requests and replies cross between nodes as they are."""

from __future__ import annotations

import msgspec
import pytest

from fanwire.protocol.table import HttpErrorCode
from fanwire.transports import exchange
from fanwire.transports.exchange import LinkReply, LinkRequest

REPLIES = [value for value in vars(exchange).values() if isinstance(value, LinkReply)]


@pytest.mark.parametrize("request_", [LinkRequest("t"), LinkRequest("t", 7, body=b"\xff"), LinkRequest("t", None, 9)])
def test_requests(request_: LinkRequest) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(request_), type=LinkRequest) == request_


@pytest.mark.parametrize("reply", [*REPLIES, LinkReply(200, b"data: \xc3\xa4\n\n")])
def test_replies(reply: LinkReply) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(reply), type=LinkReply) == reply


def test_errors_have_a_code_that_clients_know() -> None:
    codes = {reply.code for reply in REPLIES if reply.status >= 400}
    assert codes <= set(HttpErrorCode.__args__)  # type: ignore[attr-defined]  # of a Literal
    assert None not in codes
