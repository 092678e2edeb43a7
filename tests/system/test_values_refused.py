"""What cannot be carried exactly is refused by every call."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from helpers.party import CODECS, ENCODINGS, NOON, Data, party, same
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import within

import fanwire

REFUSED: list[tuple[Any, str]] = [
    ({"a": [1, math.nan]}, "$.a[1]"), ({"a": 2**64}, "$.a"), ({"a": {"b": b"x"}}, "$.a.b"), ({"a": {1: 2}}, "$.a"),
    ({"a": "\ud800"}, "$.a"), ({"a": 1j}, "$.a"), ({"a": Data(Decimal("NaN"))}, "$.a.price"),
    (json.loads("[" * 201 + "]" * 201), "$" + "[0]" * 200),
]  # fmt: skip


async def test_what_cannot_be_carried_is_refused_with_its_path_by_every_call() -> None:
    async with party() as all_of:
        server, conn = all_of.server, all_of.server.opened[0]
        for value, path in REFUSED:
            calls: list[Callable[[], Any]] = [
                lambda value=value: server.publish("a", value),
                lambda value=value: server.broadcast(value),
                lambda value=value: server.send_to_user("alice", value),
                lambda value=value: conn.send(value),
            ]
            calls = calls if len(path) < 100 else calls[:0]
            for call in calls:
                with pytest.raises((TypeError, ValueError)) as refused:
                    call()
                assert str(refused.value).startswith(f"{path} must")
            for client in all_of.clients.values():
                for wait in (
                    client.publish("a", value),
                    client.request("echo", value),
                    server.publish_acked("a", value),
                ):
                    with pytest.raises((TypeError, ValueError)) as refused:
                        await within(wait)
                    assert str(refused.value).startswith(path[:30])
        # Nothing was sent, and everything goes on.
        server.publish("a", 1)
        assert await all_of.arrived() == 1


@pytest.mark.logs_errors
@CODECS
async def test_a_handler_whose_reply_cannot_be_carried_is_an_internal_error_that_names_the_path(
    codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = Book()
    server.on("ask")(lambda conn, payload: {"orders": [{"price": math.nan}]})
    async with server, fanwire.connect(server.url, encoding=codec) as client:
        with pytest.raises(fanwire.RequestFailed) as failed:
            await within(client.request("ask"))
        assert failed.value.code == "internal"
    assert "$.orders[0].price must be a finite number, got nan" in caplog.text


JSON_DOCUMENTS = [
    ('{"a":18446744073709551616}', "$.a"), ('{"a":[-9223372036854775809]}', "$.a[0]"), ('{"a":1e400}', "$.a"),
    ('{"a":' + "9" * 400 + "}", "$.a"), ('{"a":{"b":1,"b":2}}', "$.a.b"),
    ('{"a":"\\ud800"}', "$.a"), ('{"a":[1,NaN]}', "$.a[1]"), ("[Infinity]", "$[0]"), ('"\\udc00"', "$"),
    ("[" * 65 + "]" * 65, "$" + "[0]" * 64), ("[" * 250 + "]" * 250, "$" + "[0]" * 64),
]  # fmt: skip


async def test_json_of_a_client_that_others_could_not_read_alike_is_refused_with_its_path() -> None:
    async with party() as all_of, await Talk.open(all_of.server) as talk:
        for document, path in JSON_DOCUMENTS:
            for kind, rest in (("publish", '"room":"a",'), ("echo", "")):
                await within(talk.socket.send(f'{{"type":"{kind}","id":"x",{rest}"payload":{document}}}'))
                while (answer := await talk.hear())["type"] == "received":
                    pass
                assert (answer["payload"]["code"], answer["payload"]["path"]) == ("invalid_payload", path), document
                assert answer["re"] == "x"
            status, text = await all_of.post(document.encode())
            assert status == 400
            assert path in text
        for document, value in (
            ("-0", 0),
            ("1.0", 1.0),
            ("1E2", 100.0),
            ("-0.0", -0.0),
            ("5e-324", 5e-324),
            ("1e-400", 0.0),
        ):
            await within(talk.socket.send(f'{{"type":"publish","room":"a","payload":{document}}}'))
            assert same(await all_of.arrived(), value)


MSGPACK_VALUES = [
    ({"a": NOON}, "$.a"), ({"a": [b"x"]}, "$.a[0]"), ({"a": msgspec.msgpack.Ext(5, b"x")}, "$.a"), ({"a": {1: 2}},
    "$.a"), ([math.nan], "$[0]"), ([-math.inf], "$[0]"), (json.loads("[" * 65 + "]" * 65), "$" + "[0]" * 64),
]  # fmt: skip


async def test_msgpack_of_a_client_that_others_could_not_read_alike_is_refused_with_its_path() -> None:
    async with party() as all_of, await Talk.open(all_of.server, codec="msgpack") as talk:
        for value, path in MSGPACK_VALUES:
            for kind, rest in (("publish", {"room": "a"}), ("echo", {})):
                answer = await talk.ask(kind, payload=value, **rest)
                assert (answer["payload"]["code"], answer["payload"]["path"]) == ("invalid_payload", path), value
        head = msgspec.msgpack.encode({"type": "publish", "room": "a", "payload": 0})[:-1]
        for packed, expected in ((b"\xca\x3d\xcc\xcc\xcd", 0.10000000149011612), (b"\xcf" + b"\xff" * 8, 2**64 - 1)):
            await within(talk.socket.send(head + packed))
            assert same(await all_of.arrived(), expected)


@pytest.mark.logs_errors
async def test_levels_are_those_that_the_server_is_told_by_every_call() -> None:
    server = Book({"max_nesting": 3}, api_keys=["k"])
    server.room("a", publish=True, presence=True, history=9, snapshot=lambda room: fanwire.Snapshot([[[[1]]]], 0))
    server.room("b", publish=True)
    server.on("deep")(lambda conn, payload: [[[[1]]]])
    async with server:
        server.publish("b", [[[1]]])
        with pytest.raises(ValueError, match=r"^\$\[0\]\[0\]\[0\] must not be nested deeper than 3 levels"):
            server.publish("b", [[[[1]]]])
        for codec in ENCODINGS:
            async with fanwire.connect(server.url, encoding=codec) as client:
                with pytest.raises(fanwire.RequestFailed) as failed:
                    await within(client.publish("b", [[[[1]]]]))
                assert (failed.value.code, failed.value.path) == ("invalid_payload", "$[0][0][0]")
                for call in (client.request("deep"), client.join("a")):
                    with pytest.raises(fanwire.RequestFailed) as failed:
                        await within(call)
                    assert failed.value.code == "internal"
                conn = server.opened[-1]
                conn.info = [[[[1]]]]
                with pytest.raises(ValueError, match="must not be nested deeper than 3 levels"):
                    conn.join("a")


def test_a_limit_of_levels_is_checked_when_it_is_given() -> None:
    for value in (0, 201):
        with pytest.raises(ValueError, match="max_nesting"):
            fanwire.Config(max_nesting=value)
