"""Connection ids: a place, and how often that was used. An id that was given back is stale for ever."""

from __future__ import annotations


class Ids:
    """The ids of one shard.

    Args:
        shard: its number; newcomers have one of their own.
    """

    def __init__(self, shard: int) -> None:
        self._shard = shard
        self._generations: list[int] = []
        self._free: list[int] = []

    def take(self) -> int:
        """An id that was never given out."""
        if self._free:
            place = self._free.pop()
        else:
            place = len(self._generations)
            self._generations.append(1)
        return self._generations[place] << 32 | self._shard << PLACE_BITS | place

    def release(self, id: int) -> None:
        """Its place may be used again, by another id."""
        place = id & (1 << PLACE_BITS) - 1
        if self._generations[place] == id >> 32:
            self._generations[place] += 1
            self._free.append(place)


def shard_of(id: int) -> int:
    """Whose id it is."""
    return (id & 0xFFFF_FFFF) >> PLACE_BITS


def written(id: int) -> str:
    """An id as errors write it: shard, place and generation."""
    return f"{shard_of(id)}.{id & (1 << PLACE_BITS) - 1}.{id >> 32}"


PLACE_BITS = 22
NEWCOMERS = 1023
"""The shard of connections that are not let in yet."""
