"""The connections of a link that are not counted."""

from __future__ import annotations

from fanwire.transports.link_slots import MOST, LinkSlots


def test_a_link_has_a_few_slots() -> None:
    slots = LinkSlots()
    taken = [slots.take() for _ in range(MOST)]
    assert all(taken)
    assert slots.take() is None
    assert taken[0] is not None
    taken[0].leave()
    taken[0].leave()
    assert slots.take() is not None
    assert slots.take() is None
