"""Inputs of players and their answers, with every client and over every transport, through a cut and a lost session."""

from __future__ import annotations

from typing import Any

from helpers.features.cases import CUT, RENEW, STEADY, over
from helpers.features.ports import eventually
from helpers.features.stage import Stage

import fanwire

RATE = 100


def declare(server: fanwire.Server) -> None:
    """The state of a room is all that its players have sent."""
    server.room("arena.*", delivery="latest", tick=RATE)
    inputs = server.inputs("arena.*")
    states: dict[str, list[Any]] = {}

    @server.tick(RATE)
    def step(tick: fanwire.Tick) -> None:
        for room in server.rooms():
            taken = inputs.take(room)
            if taken:
                state = states.setdefault(room, [])
                state += [[one.number, one.data] for one in taken]
                server.publish(room, state, key="state")


# The players of a room are at the node where its loop runs.
@over(nodes=(1,), links=(STEADY, CUT))
async def test_what_was_sent_is_processed_once_and_in_order(stage: Stage) -> None:
    room = await stage.join("arena")
    assert await room.get("pending_inputs") == []
    assert [await room.call("send_input", {"n": number}) for number in range(3)] == [1, 2, 3]
    async with stage.away():
        pass
    assert [await room.call("send_input", {"n": number}) for number in range(3, 6)] == [4, 5, 6]
    all_inputs = [[number + 1, {"n": number}] for number in range(6)]
    messages = await room.until(lambda message: len(message.data) == 6)
    assert messages[-1].data == all_inputs
    assert await eventually(lambda: room.get("pending_inputs"), lambda pending: not pending) == []


@over(nodes=(1,), links=(RENEW,))
async def test_after_a_lost_session_numbers_go_on(stage: Stage) -> None:
    room = await stage.join("arena")
    assert await room.call("send_input", "before") == 1
    await room.until(lambda message: message.data == [[1, "before"]])
    session = await stage.client.get("session")
    async with stage.away():
        pass
    # An input that is sent before the client knows is lost with the session.
    await eventually(lambda: stage.client.get("session"), lambda found: found not in (None, session))
    assert await room.call("send_input", "after") == 2
    await room.until(lambda message: message.data[-1] == [2, "after"])
    assert await eventually(lambda: room.get("pending_inputs"), lambda pending: not pending) == []


@over(nodes=(1,), links=(STEADY,))
async def test_the_clock_of_the_client_is_that_of_the_server(stage: Stage) -> None:
    async def known() -> tuple[float | None, float | None]:
        clock = await stage.client.get("clock")
        if isinstance(clock, dict):
            # TypeScript counts milliseconds.
            return clock["offset"], clock["error"]
        return clock.offset, clock.error

    offset, error = await eventually(known, lambda found: found[1] is not None)
    assert offset is not None
    assert error is not None
    # Both run on this machine.
    assert abs(offset) < error + 10_000
