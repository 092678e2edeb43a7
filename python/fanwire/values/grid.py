"""Cells of a plane or a space: interest in what is near."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fanwire.values.checks import check_number, check_text

__all__ = ["Grid"]


class Grid:
    """Square cells of a plane, or cubes of a space, for `Connection.set_attributes` and `where` (docs/interest.md).

    A cell has a name, such as "3,-2". A member near a border does not change its cell with each step: it keeps the cell
    that it has until it is `hysteresis` away from it.

    Args:
        cell: the length of a cell's edge, in the units of the positions; 0.000001 to 1e12.
        hysteresis: how far outside of its cell a member still keeps it, at least 0 and less than `cell`.

    Raises:
        TypeError, ValueError: an argument is no number, or out of range.

    Example::

        grid = fanwire.Grid(cell=50.0, hysteresis=5.0)
        conn.set_attributes("zone", cell=grid.cell(120.0, 80.0))
        server.publish("zone", {"event": "explosion"}, where=fanwire.where(cell=grid.around(100.0, 100.0, radius=60.0)))
    """

    __slots__ = ("_edge", "_hysteresis")

    def __init__(self, cell: float, hysteresis: float = 0.0) -> None:
        check_number("cell", cell, least=LEAST, most=MOST)
        check_number("hysteresis", hysteresis, least=0, most=MOST)
        if hysteresis >= cell:
            raise ValueError(f"hysteresis must be less than cell ({cell}), got {hysteresis}")
        self._edge = cell
        self._hysteresis = hysteresis

    def cell(self, x: float, y: float, z: float | None = None, *, before: str | None = None) -> str:
        """The cell of a position.

        Args:
            x: the position.
            y: the position.
            z: the position in a space; None: in a plane.
            before: the cell that the member has: it stays while the position is in it or at most `hysteresis` away from
                it. None: it has none.

        Raises:
            TypeError: `before` is no text.
            ValueError: a coordinate is not finite, or `before` is no cell of this sort.
        """
        point = (x, y) if z is None else (x, y, z)
        if before is not None and self._is_near(check_text("before", before, empty=True), point):
            return before
        return _name([math.floor(self._finite(at) / self._edge) for at in point])

    def around(self, x: float, y: float, radius: float, z: float | None = None) -> list[str]:
        """The cells that a circle, or in a space a ball, touches. With a hysteresis the members within it may have a
        cell next to their own, so the circle is larger by that.

        Args:
            x: the centre.
            y: the centre.
            radius: the radius, at least 0. It may touch at most 1,024 cells.
            z: the centre in a space; None: in a plane.

        Raises:
            ValueError: a coordinate is not finite, or there are too many cells.
        """
        check_number("radius", radius, least=0, most=MOST)
        point = (x, y) if z is None else (x, y, z)
        reach = radius + self._hysteresis
        spans = []
        count = 1
        for at in point:
            low, high = math.floor((self._finite(at) - reach) / self._edge), math.floor((at + reach) / self._edge)
            spans.append(range(low, high + 1))
            count *= high + 1 - low
        if count > MOST_CELLS:
            raise ValueError(f"a radius of {radius} touches {count} cells; at most {MOST_CELLS} are allowed")
        found: list[list[int]] = [[]]
        for span in spans:
            found = [[*cells, cell] for cells in found for cell in span]
        return [_name(cells) for cells in found if self._distance(cells, point) <= reach]

    def _distance(self, cells: Sequence[int], point: Sequence[float]) -> float:
        """How far a position is from a cell; 0: it is in it."""
        edge = self._edge
        return math.hypot(
            *(max(cell * edge - at, at - (cell + 1) * edge, 0.0) for cell, at in zip(cells, point, strict=True))
        )

    def _is_near(self, cell: str, point: Sequence[float]) -> bool:
        try:
            cells = [int(part) for part in cell.split(",")]
        except ValueError:
            cells = []
        if len(cells) != len(point) or any(abs(own) > MOST_NUMBER for own in cells):
            raise ValueError(
                f"before must be a cell of {len(point)} numbers, such as one that `cell` returned, got {cell!r}"
            )
        edge, more = self._edge, self._hysteresis
        # The upper border belongs to the next cell.
        return all(
            own * edge - more <= self._finite(at)
            and (at < (own + 1) * edge or (at <= (own + 1) * edge + more and more > 0))
            for own, at in zip(cells, point, strict=True)
        )

    def _finite(self, at: float) -> float:
        if not -MOST <= at <= MOST:
            raise ValueError(f"a coordinate must be a number between -{MOST:g} and {MOST:g}, got {at!r}")
        return at

    def __repr__(self) -> str:
        return f"Grid(cell={self._edge}, hysteresis={self._hysteresis})"


def _name(cells: Sequence[int]) -> str:
    return ",".join(map(str, cells))


MOST = 1e12
"""The largest coordinate, far below where doubles have no fractions."""

LEAST = 1e-6
"""The shortest edge of a cell."""

MOST_NUMBER = int(MOST / LEAST) + 1
"""The largest number in the name of a cell, and the smallest with a minus."""

MOST_CELLS = 1024
"""The most cells that `around` looks at: as many as a condition may name values."""
