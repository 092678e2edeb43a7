"""Players are told which inputs were processed: with a tick, or at once without one."""

from __future__ import annotations

import asyncio
from typing import Any

from helpers.hosted import Hosted

from fanwire.rooms.inputs import Inputs
from fanwire.runtime.input_echoes import InputEchoes, LoopRun


async def stage(host: Hosted) -> tuple[Inputs, InputEchoes, Any]:
    host.room("zone", delivery="latest", tick=10)
    inputs = host.inputs("zone")
    client = await host.connect("/ann")
    await client.joins("zone")
    echoes = InputEchoes(host.host.engine, host.host.messages, [inputs])
    for number in (1, 2):
        await client.says({"type": "input", "room": "zone", "payload": {"number": number, "data": 0}})
    return inputs, echoes, client


async def test_what_a_loop_takes_is_told_with_its_tick_and_names_its_first_message(host: Hosted) -> None:
    inputs, echoes, client = await stage(host)
    run = LoopRun()
    assert len(run.call(lambda: inputs.take("zone"))) == 2
    host.publish("zone", "state", key="k")
    await asyncio.sleep(0)
    assert await client.hears() == []
    # At an edge before the loop is done, its room stays.
    assert host.engine.flush_tick(10) == 0
    echoes.over(run)
    echoes.flush(10)
    echo, state = await client.hears()
    assert (echo["type"], echo["room"], echo["seq"], echo["payload"]) == ("inputs", "zone", 1, {"number": 2})
    assert (state["seq"], state["payload"]) == (1, "state")
    host.publish("zone", "state", key="k")
    assert host.engine.flush_tick(10) == 1
    assert [message["type"] for message in await client.hears()] == ["message"]


async def test_another_loop_that_ends_first_tells_nothing(host: Hosted) -> None:
    inputs, echoes, client = await stage(host)
    slow, fast = LoopRun(), LoopRun()
    slow.call(lambda: inputs.take("zone"))
    echoes.over(fast)
    echoes.flush(20)
    echoes.send()
    assert await client.hears() == []
    host.publish("zone", "state", key="k")
    assert host.engine.flush_tick(10) == 0
    echoes.over(slow)
    echoes.flush(10)
    echo, state = await client.hears()
    assert (echo["type"], echo["seq"], state["seq"], state["payload"]) == ("inputs", 1, 1, "state")


async def test_a_room_that_two_loops_have_taken_from_waits_for_both(host: Hosted) -> None:
    inputs, echoes, client = await stage(host)
    first, second = LoopRun(), LoopRun()
    first.call(lambda: inputs.take("zone"))
    await client.says({"type": "input", "room": "zone", "payload": {"number": 3, "data": 0}})
    for _ in range(2):
        second.call(lambda: inputs.take("zone"))
    echoes.over(second)
    echoes.flush(10)
    assert await client.hears() == []
    echoes.over(first)
    echoes.flush(10)
    (echo,) = await client.hears()
    assert echo["payload"] == {"number": 3}
    # A task that outlives its run takes as if there were none.
    await client.says({"type": "input", "room": "zone", "payload": {"number": 4, "data": 0}})
    first.call(lambda: inputs.take("zone"))
    (echo,) = await client.hears()
    assert echo["payload"] == {"number": 4}


async def test_outside_of_a_loop_it_is_told_at_once(host: Hosted) -> None:
    inputs, _, client = await stage(host)
    inputs.take("zone")
    (echo,) = await client.hears()
    assert (echo["type"], echo["seq"], echo["payload"]) == ("inputs", 0, {"number": 2})
    host.publish("zone", "state", key="k")
    assert host.engine.flush_tick(10) == 1


async def test_outside_of_a_loop_it_goes_before_what_was_published_with_it(host: Hosted) -> None:
    inputs, _, client = await stage(host)
    inputs.take("zone")
    host.publish("zone", "state", key="k")
    assert host.engine.flush_tick(10) == 0
    (echo,) = await client.hears()
    assert (echo["type"], echo["seq"]) == ("inputs", 1)
    assert host.engine.flush_tick(10) == 1
    (state,) = await client.hears()
    assert (state["type"], state["seq"]) == ("message", 1)


async def test_an_engine_that_has_ended_is_told_nothing(host: Hosted) -> None:
    inputs, _, _ = await stage(host)
    inputs.take("zone")
    host.engine.shutdown(0)
    await asyncio.sleep(0)


async def test_a_start_forgets_the_players_of_a_run_whose_loop_was_closed(host: Hosted) -> None:
    inputs, _, client = await stage(host)
    InputEchoes(host.host.engine, host.host.messages, [inputs])
    assert inputs.take("zone") == []
    await client.says({"type": "input", "room": "zone", "payload": {"number": 1, "data": 0}})
    assert [one.number for one in inputs.take("zone")] == [1]
