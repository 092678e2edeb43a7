"""Prediction, for a client in Python: the player moves at once, and is corrected when the server says otherwise.
`page/prediction.js` is the same for the page."""

from __future__ import annotations

import math
from collections import deque

from world import Place, step

KEPT = 120
"""Inputs that the server has not done yet, at most: four seconds."""
WRONG = 0.5
"""Pixels from which a difference counts as a correction: places are rounded on the wire."""


class Prediction:
    """Where a player will be when the server has done all of its inputs.

    Attributes:
        place: None until the server has told one.
        corrections: how often the server has come to another place.
    """

    def __init__(self) -> None:
        self.place: Place | None = None
        self.corrections = 0
        self._number = 0
        self._pending: deque[tuple[int, int, int]] = deque(maxlen=KEPT)

    @property
    def pending(self) -> int:
        """Inputs that the server has not done yet."""
        return len(self._pending)

    def input(self, dx: int, dy: int) -> int:
        """Moves at once; returns the number to be sent with the input."""
        self._number += 1
        self._pending.append((self._number, dx, dy))
        if self.place is not None:
            self.place = step(self.place, dx, dy)
        return self._number

    def reconcile(self, place: Place, done: int) -> None:
        """The server's place after the input `done`: from there all later inputs are done again."""
        while self._pending and self._pending[0][0] <= done:
            self._pending.popleft()
        for _, dx, dy in self._pending:
            place = step(place, dx, dy)
        if self.place is not None and math.dist(self.place, place) > WRONG:
            self.corrections += 1
        self.place = place
