"""The HTTP connections of one link, which do not count for the limit on HTTP connections. Pure."""

from __future__ import annotations

__all__ = ["LinkSlot", "LinkSlots"]


class LinkSlots:
    """Counts them. A client has one poll and one POST at a time, and each may have been repeated."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken = 0

    def take(self) -> LinkSlot | None:
        """Takes the slot of one connection; None: all `MOST` are taken."""
        if self.taken >= MOST:
            return None
        self.taken += 1
        return LinkSlot(self)


class LinkSlot:
    """The slot of one connection."""

    __slots__ = ("_slots",)

    def __init__(self, slots: LinkSlots) -> None:
        self._slots: LinkSlots | None = slots

    def leave(self) -> None:
        """Frees the slot. Later calls do nothing."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.taken -= 1


MOST = 4
"""The connections of a link that are not counted."""
