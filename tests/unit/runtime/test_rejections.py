"""A handler says no: without sockets."""

from __future__ import annotations

from typing import Any

from helpers.hosted import Hosted

import fanwire


async def test_a_handler_says_no(host: Hosted) -> None:
    @host.on("order")
    def order(conn: fanwire.Connection, payload: Any) -> None:
        raise fanwire.Reject("out_of_stock", "3 are left", data={"left": 3}, retry_after=2.0, path="$.amount")

    client = await host.connect()
    answer = await client.asks({"type": "order", "id": "c1"})
    assert answer["payload"] == {
        "code": "out_of_stock", "text": "3 are left", "retry": True, "retry_after_ms": 2000, "data": {"left": 3},
        "path": "$.amount",
    }  # fmt: skip


async def test_on_join_may_turn_a_client_out() -> None:
    host = Hosted()
    host.room("r")

    @host.on_join
    def joined(conn: fanwire.Connection, room: str) -> None:
        raise fanwire.Reject("no")

    client = await host.connect()
    joined_, left = await client.says({"type": "join", "id": "c1", "room": "r"})
    assert joined_["type"] == "joined"
    assert (left["type"], left["payload"]) == ("left", {"reason": "forbidden"})
    assert host.engine.members("r") == 0
    await host.end()
