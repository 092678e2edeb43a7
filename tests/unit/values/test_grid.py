"""Cells: which one a position is in, when it stays, and which ones a circle touches."""

from __future__ import annotations

import math
import random

import pytest

from fanwire import Grid


def test_a_position_is_in_one_cell() -> None:
    grid = Grid(cell=50.0)
    assert grid.cell(0, 0) == "0,0"
    assert grid.cell(49.9, 50) == "0,1"
    assert grid.cell(-0.1, -50) == "-1,-1"
    assert grid.cell(10, 60, 110) == "0,1,2"


def test_a_cell_stays_until_the_position_is_farther_away_than_the_hysteresis() -> None:
    grid = Grid(cell=50.0, hysteresis=5.0)
    assert grid.cell(54, 10, before="0,0") == "0,0"
    assert grid.cell(55, 10, before="0,0") == "0,0"
    assert grid.cell(55.1, 10, before="0,0") == "1,0"
    assert grid.cell(-5, 10, before="0,0") == "0,0"
    assert grid.cell(-5.1, 10, before="0,0") == "-1,0"
    assert grid.cell(300, 10, before="0,0") == "6,0"
    assert Grid(cell=50.0).cell(50, 10, before="0,0") == "1,0"


def test_a_circle_touches_the_cells_that_are_near() -> None:
    grid = Grid(cell=50.0)
    assert grid.around(25, 25, 10) == ["0,0"]
    assert set(grid.around(25, 25, 30)) == {"0,0", "1,0", "-1,0", "0,1", "0,-1"}
    assert len(grid.around(25, 25, 40)) == 9
    assert len(grid.around(25, 25, 50, z=25)) == 27


def test_every_member_within_the_radius_has_one_of_the_cells() -> None:
    grid = Grid(cell=10.0, hysteresis=4.0)
    dice = random.Random(7)
    for _ in range(500):
        x, y = dice.uniform(-50, 50), dice.uniform(-50, 50)
        cell = grid.cell(x, y)
        # It walks, and keeps its cell as long as it may.
        x, y = x + dice.uniform(-8, 8), y + dice.uniform(-8, 8)
        cell = grid.cell(x, y, before=cell)
        center = dice.uniform(-50, 50), dice.uniform(-50, 50)
        radius = dice.uniform(0, 40)
        if math.dist((x, y), center) <= radius:
            assert cell in grid.around(*center, radius)


def test_what_is_out_of_range_is_refused() -> None:
    for cell, hysteresis in ((0, 0), (10, 10), (10, -1), (math.inf, 0), (math.nan, 0)):
        with pytest.raises(ValueError, match="must be"):
            Grid(cell, hysteresis)
    grid = Grid(1.0)
    for at in (math.nan, math.inf, 1e13):
        with pytest.raises(ValueError, match="coordinate"):
            grid.cell(at, 0)
        with pytest.raises(ValueError, match="coordinate"):
            grid.around(at, 0, 1)
    with pytest.raises(ValueError, match="at most 1024"):
        grid.around(0, 0, 100)
    for before in ("x", "1", "1,2,3", ""):
        with pytest.raises(ValueError, match="before must be"):
            grid.cell(1, 1, before=before)
    for big in ("9" * 400 + ",0", f"0,-{10**18 + 2}"):
        with pytest.raises(ValueError, match="before must be"):
            grid.cell(1, 1, before=big)
    with pytest.raises(TypeError, match="before must be"):
        grid.cell(0, 0, before=5)  # type: ignore[arg-type]  # what is wrong is the test
    with pytest.raises(ValueError, match="cell must be"):
        Grid(cell=1e-320)
    small = Grid(cell=1e-6)
    assert small.cell(1e12, 0, before=small.cell(1e12, 0)) == f"{10**18},0"
    assert repr(grid) == "Grid(cell=1.0, hysteresis=0.0)"
