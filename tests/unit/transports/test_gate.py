"""Where the requests of links enter: this node, or another one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from unittest import mock

import pytest
from helpers.wait import within

from fanwire.transports import gate as module
from fanwire.transports.exchange import TAKEN, UNAVAILABLE, UNKNOWN, LinkReply, LinkRequest
from fanwire.transports.fallback_link import LONG_POLL, FallbackLink
from fanwire.transports.fallback_links import FallbackLinks
from fanwire.transports.gate import LinkGate
from fanwire.transports.link_slots import MOST
from fanwire.transports.link_tokens import LinkTokens

THERE = "b." + "x" * 32


class Others:
    """The other nodes, which give these replies."""

    def __init__(self, *replies: LinkReply | None) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, LinkRequest]] = []

    def ask(self, tag: str, request: LinkRequest) -> Awaitable[LinkReply] | None:
        self.asked.append((tag, request))
        if not self.replies:
            return asyncio.get_running_loop().create_future()
        reply = self.replies.pop(0)
        return None if reply is None else self._give(reply)

    async def _give(self, reply: LinkReply) -> LinkReply:
        return reply


def gate_of(others: Others) -> tuple[LinkGate, FallbackLinks]:
    links = FallbackLinks(LinkTokens("a."))
    return LinkGate(links, others.ask), links


async def test_a_link_of_this_node() -> None:
    gate, links = gate_of(Others())
    token = links.tokens.new()
    assert await within(gate.answer(LinkRequest(token))) is UNKNOWN
    assert gate.slot(token) is None
    links.add(
        FallbackLink(
            mock.Mock(), token, LONG_POLL, is_binary=False, poll_timeout=0.001, patience=60.0, names=lambda: (1, 1),
            removed=links.removed,
        )
    )  # fmt: skip
    assert (await within(gate.answer(LinkRequest(token)))).status == 204
    slots = [gate.slot(token) for _ in range(MOST)]
    assert None not in slots
    assert gate.slot(token) is None


@pytest.mark.parametrize("token", ["", "b.x", "link"])
async def test_what_is_no_token(token: str) -> None:
    others = Others()
    assert await within(gate_of(others)[0].answer(LinkRequest(token))) is UNKNOWN
    assert others.asked == []


async def test_a_link_of_another_node_is_known_after_its_first_answer() -> None:
    others = Others(TAKEN, LinkReply(200, b"data: 1\n\n"), UNKNOWN)
    gate, _ = gate_of(others)
    request = LinkRequest(THERE, number=1, body=b"{}")
    assert gate.slot(THERE) is None
    assert await within(gate.answer(request)) is TAKEN
    assert others.asked == [("b.", request)]
    assert gate.slot(THERE) is not None
    assert (await within(gate.answer(LinkRequest(THERE)))).status == 200
    assert await within(gate.answer(request)) is UNKNOWN
    assert gate.slot(THERE) is None


async def test_an_error_does_not_make_it_known() -> None:
    gate, _ = gate_of(Others(UNAVAILABLE, None))
    assert await within(gate.answer(LinkRequest(THERE))) is UNAVAILABLE
    assert await within(gate.answer(LinkRequest(THERE))) is UNKNOWN
    assert gate.slot(THERE) is None


async def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ELSEWHERE", 2)
    gate, _ = gate_of(Others(*[TAKEN] * 4))
    tokens = [f"b.{number:032}" for number in range(3)]
    for token in (tokens[0], tokens[1], tokens[0], tokens[2]):
        await within(gate.answer(LinkRequest(token)))
    assert [gate.slot(token) is not None for token in tokens] == [True, False, True]


async def test_a_server_that_stops_keeps_no_client_of_another_node() -> None:
    others = Others()
    gate, _ = gate_of(others)
    waits = asyncio.ensure_future(gate.answer(LinkRequest(THERE)))
    await asyncio.sleep(0)
    gate.close()
    gate.close()
    assert await within(waits) is UNAVAILABLE
    assert await within(gate.answer(LinkRequest(THERE))) is UNAVAILABLE
    assert len(others.asked) == 1
