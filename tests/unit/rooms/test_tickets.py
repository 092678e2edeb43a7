"""Who waits for the number of a message that waits for its tick."""

from __future__ import annotations

import asyncio

import pytest
from helpers.wait import within

from fanwire.errors import Closed
from fanwire.rooms.tickets import Tickets


async def test_each_ticket_gets_its_number_and_those_that_nobody_has_are_ignored() -> None:
    tickets = Tickets()
    one, other = tickets.new(), tickets.new()
    first, second = tickets.wait(one), tickets.wait(other)
    tickets.numbered([(other, 7), (99, 1), (one, 7)])
    assert (await within(first), await within(second)) == (7, 7)


async def test_who_no_longer_waits_is_passed_over() -> None:
    tickets = Tickets()
    ticket = tickets.new()
    waiting = asyncio.ensure_future(tickets.wait(ticket))
    waiting.cancel()
    tickets.numbered([(ticket, 1)])
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_the_end_of_the_engine_is_told() -> None:
    tickets = Tickets()
    waiting = tickets.wait(tickets.new())
    tickets.close()
    with pytest.raises(Closed, match="before the tick"):
        await within(waiting)
