"""How links begin, by each transport."""

from __future__ import annotations

import json

import pytest
from helpers.newcomer_host import NewcomerHost, welcome_of

from fanwire.handshake.opening import last_event

JSON = "fanwire.v1.json"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("5d1f-7", ("5d1f", 7)), ("0-0", ("0", 0)), ("f" * 16 + "-9223372036854775807", ("f" * 16, (1 << 63) - 1)),
        ("", None), ("5d1f", None), ("-1", None), ("5d1f-", None), ("5D1F-7", None), ("f" * 17 + "-1", None),
        ("1-9223372036854775808", None), ("1--1", None), ("1-7\n", None), ("1-\u0661", None),
    ],
)  # fmt: skip
def test_last_events(text: str, place: tuple[str, int] | None) -> None:
    assert last_event(text) == place


@pytest.mark.parametrize("transport", ["sse", "long-poll"])
async def test_a_session_of_a_fallback_transport_is_told_its_link(transport: str) -> None:
    host = NewcomerHost()
    asked = host.ask("/", JSON, transport=transport)
    token = welcome_of(host.engine.accepted[asked][1])["link"]
    link = host.host.fallbacks.find(token)
    assert link is not None
    assert (link.transport, host.connections[0].transport) == (transport, transport)
    assert host.registry.kinds[transport, "json"] == 1


async def test_a_websocket_and_a_raw_stream_have_no_token() -> None:
    host = NewcomerHost()
    websocket = host.ask("/", JSON)
    host.ask("/rooms/a", None, b"Last-Event-ID: 5d1f-7\r\n", "sse")
    assert "link" not in welcome_of(host.engine.accepted[websocket][1])
    assert [connection._since for connection in host.connections] == [None, ("5d1f", 7)]
    assert len(host.host.fallbacks) == 0


async def test_each_welcome_of_a_resume_names_the_new_link() -> None:
    host = NewcomerHost()
    first = host.ask("/", JSON, transport="sse")
    told = welcome_of(host.engine.accepted[first][1])
    again = host.ask(f"/?session={told['session']}&received=0&must_resume=1", JSON, transport="long-poll")
    _, _, _, _, accepted, refused, *_ = host.engine.resumed[again]
    tokens = {json.loads(welcome)["payload"]["link"] for welcome in (accepted, *refused.values())}
    assert len(tokens) == 1
    assert told["link"] not in tokens


@pytest.mark.parametrize("transport", ["websocket", "sse", "long-poll"])
async def test_who_asks_for_batches_gets_them_over_this_link_and_is_told(transport: str) -> None:
    host = NewcomerHost()
    for query, batch in (("?batch=1", True), ("?batch=0", False), ("?batch=", False), ("", False), ("?a=batch", False)):
        asked = host.ask(f"/{query}", JSON, transport=transport)
        told = welcome_of(host.engine.accepted[asked][1])
        assert (host.engine.batched[asked], told.get("batch", False)) == (batch, batch), query
        for next_query, next_batch in (("&batch=1", True), ("", False)):
            again = host.ask(f"/?session={told['session']}&received=0{next_query}", JSON, transport=transport)
            _, _, _, _, accepted, refused, *_, resumed_batch, _ = host.engine.resumed[again]
            welcomes = [json.loads(welcome)["payload"] for welcome in (accepted, *refused.values())]
            assert {welcome.get("batch", False) for welcome in welcomes} == {next_batch} == {resumed_batch}


async def test_a_client_without_a_session_gets_no_batches() -> None:
    host = NewcomerHost()
    assert host.engine.batched[host.ask("/?batch=1", None)] is False


async def test_a_client_that_wants_this_session_or_nothing() -> None:
    host = NewcomerHost()
    asked = host.ask("/?session=x&received=0&must_resume=1", JSON, transport="sse")
    assert host.engine.refused[asked][0] == 409
    for query in ("session=x&received=0", "session=x&received=0&must_resume=0", "must_resume=1"):
        assert host.ask(f"/?{query}", JSON) in host.engine.accepted


@pytest.mark.parametrize("transport", ["websocket", "sse", "long-poll"])
async def test_who_asks_for_deltas_gets_them_over_this_link_and_is_told(transport: str) -> None:
    host = NewcomerHost()
    for query, delta in (("?delta=1", True), ("?delta=0", False), ("?delta=", False), ("", False), ("?a=delta", False)):
        asked = host.ask(f"/{query}", JSON, transport=transport)
        told = welcome_of(host.engine.accepted[asked][1])
        assert (host.engine.deltas[asked], told.get("delta", False)) == (delta, delta), query
        for next_query, next_delta in (("&delta=1", True), ("", False)):
            again = host.ask(f"/?session={told['session']}&received=0{next_query}", JSON, transport=transport)
            _, _, _, _, accepted, refused, *_, resumed_delta = host.engine.resumed[again]
            welcomes = [json.loads(welcome)["payload"] for welcome in (accepted, *refused.values())]
            assert {welcome.get("delta", False) for welcome in welcomes} == {next_delta} == {resumed_delta}
    assert host.engine.deltas[host.ask("/?delta=1", None)] is False
