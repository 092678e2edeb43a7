"""Sources take turns, one in each turn of the loop: those first that have had little."""

from __future__ import annotations

import asyncio

from fanwire.rota import MOST, STEP, Rota


class Row:
    """A rota, and the names of those that went on."""

    def __init__(self) -> None:
        self.rota = Rota(asyncio.get_running_loop())
        self.gone: list[str] = []

    def put(self, name: str, debt: float) -> None:
        self.rota.put(lambda: self.gone.append(name), debt)

    async def turns(self, count: int) -> str:
        for _ in range(count):
            await asyncio.sleep(0)
        return "".join(self.gone)


async def test_one_goes_on_in_each_turn() -> None:
    row = Row()
    for name in "abc":
        row.put(name, 0.0)
    assert (row.gone, len(row.rota)) == ([], 3)
    for count, gone in enumerate(("a", "ab", "abc"), 1):
        assert await row.turns(1) == gone
        assert len(row.rota) == 3 - count
    # And again, when all had gone.
    row.put("d", 0.0)
    assert await row.turns(1) == "abcd"


async def test_those_with_less_debt_go_first_and_some_of_the_others_too() -> None:
    row = Row()
    for name in "ABCD":
        row.put(name, 100 * STEP)
    for name in "abcdefgh":
        row.put(name, STEP / 2)
    for name in "xy":
        row.put(name, -1.0)
    gone = await row.turns(20)
    first = gone[: MOST - 1]
    assert first == "xya"
    # Each fourth is one of those with the most, so that these go on, however many others come.
    assert gone[MOST - 1 :: MOST].startswith("AB")
    assert sorted(gone) == sorted("ABCDabcdefghxy")
    assert [name for name in gone if name in "ABCD"] == list("ABCD")


async def test_one_that_stops_again_waits_behind_its_equals() -> None:
    rota = Rota(asyncio.get_running_loop())
    gone: list[str] = []

    def again(name: str) -> None:
        gone.append(name)
        if len(gone) < 6:
            rota.put(lambda: again(name), 0.0)

    for name in "ab":
        rota.put(lambda name=name: again(name), 0.0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert "".join(gone) == "abababa"[: len(gone)]
    assert len(gone) >= 6


async def test_a_debt_of_any_size_has_a_row() -> None:
    row = Row()
    for name, debt in zip("abcdef", (-5.0, 0.0, STEP, 1e3, 1e9, 1e-9), strict=True):
        row.put(name, debt)
    assert sorted(await row.turns(10)) == list("abcdef")
