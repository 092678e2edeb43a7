"""Rejections with fields that no client could read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers.rejecting import no
from helpers.serving import Book
from helpers.wait import within

import fanwire
from fanwire import Reject

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


class Numbered(Reject):
    code = 409  # what a beginner writes

    def __init__(self) -> None:
        Exception.__init__(self)


class Broken(Numbered):
    @property
    def code(self) -> str:
        raise RuntimeError("no code today")


class Late(Reject):
    retry = 1

    def __init__(self) -> None:
        Exception.__init__(self)


def with_path() -> Reject:
    reject = no()
    reject.path = 7
    return reject


@CODECS
@pytest.mark.logs_errors
@pytest.mark.parametrize("make", [Numbered, Broken, Late, with_path])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_rejection_that_no_client_could_read_is_a_failure_of_its_handler(
    make: Callable[[], Reject], is_async: bool, codec: str
) -> None:
    def refuse(*args: Any) -> Any:
        raise make()

    async def refuse_later(*args: Any) -> Any:
        raise make()

    server = Book()
    server.on("order")(refuse_later if is_async else refuse)
    server.on("ping-pong")(lambda conn, payload: payload)
    server.room("closed", join=refuse)
    async with server, fanwire.connect(server.url, encoding=codec, max_attempts=1) as client:
        for call in (client.request("order"), client.join("closed")):
            with pytest.raises(fanwire.RequestFailed) as failed:
                await within(call)
            assert failed.value.code == "internal"
        # The connection is the same one, and goes on.
        assert await within(client.request("ping-pong", 1)) == 1
        assert len(server.opened) == 1


@CODECS
async def test_a_time_to_try_again_that_is_far_away_is_one_that_clients_can_read(codec: str) -> None:
    def refuse(conn: fanwire.Connection, payload: Any) -> None:
        raise Reject("busy", retry_after=1e300)

    server = Book()
    server.on("order")(refuse)
    async with server, fanwire.connect(server.url, encoding=codec, max_attempts=1) as client:
        with pytest.raises(fanwire.RequestFailed) as failed:
            await within(client.request("order"))
        assert failed.value.code == "busy"
        assert failed.value.retry
        assert len(server.opened) == 1
