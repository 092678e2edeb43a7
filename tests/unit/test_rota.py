"""Sources take turns, one in each turn of the loop."""

from __future__ import annotations

import asyncio

from fanwire.rota import Rota


async def test_one_goes_on_in_each_turn() -> None:
    rota = Rota(asyncio.get_running_loop())
    gone: list[int] = []
    for number in range(3):
        rota.put(lambda number=number: gone.append(number))
    assert (gone, len(rota)) == ([], 3)
    for turn in range(1, 4):
        await asyncio.sleep(0)
        assert gone == list(range(turn))
    assert len(rota) == 0
    # And again, when all had gone.
    rota.put(lambda: gone.append(3))
    await asyncio.sleep(0)
    assert gone == [0, 1, 2, 3]


async def test_one_that_stops_again_waits_behind_the_others() -> None:
    rota = Rota(asyncio.get_running_loop())
    gone: list[str] = []

    def again(name: str) -> None:
        gone.append(name)
        if len(gone) < 6:
            rota.put(lambda: again(name))

    for name in "ab":
        rota.put(lambda name=name: again(name))
    for _ in range(10):
        await asyncio.sleep(0)
    assert "".join(gone) == "abababa"[: len(gone)]
    assert len(gone) >= 6
