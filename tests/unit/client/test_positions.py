"""Numbers of a room, with holes and without: what is new, what is missing, and where it goes on."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.client.message import Position
from fanwire.client.positions import GRACE, MAX_RANGES, Missing, Positions


def missing(positions: Positions) -> list[tuple[int, int]]:
    return [(gap.first, gap.last) for gap in positions._missing]


def after(*arrivals: tuple[int, int | None], seq: int = 5, is_complete: bool = True) -> tuple[Positions, list[bool]]:
    """A room joined at a number, and whether each of the messages since, with what they say came before, was new."""
    positions = Positions("e", seq, is_complete=is_complete)
    return positions, [positions.arrived(number, 0.0, prev) for number, prev in arrivals]


def chain(numbers: Iterable[int], prev: int) -> list[tuple[int, int]]:
    """Messages with these numbers, each of which says which came before it."""
    found = []
    for number in numbers:
        found.append((number, prev))
        prev = number
    return found


@pytest.mark.parametrize(
    ("arrivals", "new", "gaps", "since"),
    [
        # Without holes.
        ([(6, None), (7, None)], [True, True], [], 7),
        ([(6, None), (9, None)], [True, True], [(7, 8)], 6),
        ([(6, 5), (7, 6)], [True, True], [], 7),
        # With.
        ([(9, 5), (20, 9)], [True, True], [], 20),
        ([(9, 5), (9, 5), (20, 9), (9, 5)], [True, False, True, False], [], 20),
        # One among them is missed: it is one of those up to the one before.
        ([(9, 5), (30, 20)], [True, True], [(10, 20)], 9),
        ([(9, 5), (30, 20), (40, 30)], [True, True, True], [(10, 20)], 9),
        ([(9, 5), (30, 20), (50, 40)], [True, True, True], [(10, 20), (31, 40)], 9),
        # It comes, and there was none between.
        ([(9, 5), (30, 20), (20, 9)], [True, True, True], [], 30),
        ([(9, 5), (30, 20), (20, 9), (20, 9)], [True, True, True, False], [], 30),
        # There was another one before it.
        ([(9, 5), (30, 20), (20, 15)], [True, True, True], [(10, 15)], 9),
        ([(9, 5), (30, 20), (20, 15), (15, 9)], [True, True, True, True], [], 30),
        # The other one first.
        ([(9, 5), (30, 20), (15, 9)], [True, True, True], [(16, 20)], 15),
        ([(9, 5), (30, 20), (15, 9), (20, 15)], [True, True, True, True], [], 30),
        # Already the first after the join.
        ([(20, 9)], [True], [(6, 9)], 5),
        ([(20, None)], [True], [(6, 19)], 5),
        ([(6, None), (20, 9)], [True, True], [(7, 9)], 6),
        # Of what is long gone nobody need know.
        ([(9, 0), (20, 3)], [True, True], [], 20),
        ([(5, 4), (1, 0)], [False, False], [], 5),
    ],
)
def test_arrivals(
    arrivals: list[tuple[int, int | None]], new: list[bool], gaps: list[tuple[int, int]], since: int
) -> None:
    positions, was_new = after(*arrivals)
    assert was_new == new
    assert missing(positions) == gaps
    assert positions.since == Position("e", since)
    assert (positions.deadline is None) == (not gaps)


def test_what_is_asked_for_again_fills_its_holes() -> None:
    positions, _ = after((9, 5), (30, 20))
    assert positions.due(GRACE) == (True, [])
    positions.asked(GRACE, 30)
    # The server begins after 9, and says it of each.
    again = [positions.arrived(seq, GRACE, prev) for seq, prev in chain([14, 20, 30, 40], 9)]
    assert again == [True, True, False, True]
    assert (missing(positions), positions.since) == ([], Position("e", 40))
    assert positions.due(1000.0) == (False, [])


@pytest.mark.parametrize("prev", [None, 30])
def test_what_the_server_has_vouched_for_is_not_missing_before_the_next_message(prev: int | None) -> None:
    # The numbers 6 to 30 belong to other rooms, and the next message of this room is the very next number.
    positions, _ = after()
    positions.asked(0.0, 30)
    assert positions.arrived(31, 0.0, prev)
    assert (missing(positions), positions.deadline, positions.since.seq) == ([], None, 31)
    # Behind it each number counts again.
    assert positions.arrived(33, 0.0)
    assert missing(positions) == [(32, 32)]


def test_a_hole_in_what_was_vouched_for_is_missing_unless_the_message_explains_it() -> None:
    positions, _ = after()
    positions.asked(0.0, 30)
    assert [positions.arrived(8, 0.0), positions.arrived(20, 0.0, 8)] == [True, True]
    assert missing(positions) == [(6, 7)]


def test_what_is_asked_for_in_vain_is_given_up() -> None:
    positions, _ = after((9, 5), (30, 20))
    positions.asked(GRACE, 30)
    positions.arrived(14, GRACE, 9)
    assert positions.due(GRACE) == (False, [])
    assert positions.due(2 * GRACE) == (False, [Missing(15, 20, 2 * GRACE, True)])
    assert positions.since == Position("e", 30)


@pytest.mark.parametrize(
    ("upto", "arrivals", "gaps"),
    [
        # The server has said that nothing is missing up to there, but for what it sends now.
        (20, [(30, 20)], []),
        (20, [(30, 9)], []),
        (20, [(15, 9), (20, 15), (30, 20)], []),
        # What it sends now has its own numbers.
        (20, [(20, 15)], []),
        (20, [(20, 15), (30, 20)], []),
        # What came later is another matter.
        (20, [(30, 25)], [(21, 25)]),
        (20, [(30, 20), (40, 35)], [(31, 35)]),
        # The answer is no newer than what had come.
        (9, [(30, 20)], [(10, 20)]),
        (4, [(30, 20)], [(10, 20)]),
        # Without holes each counts.
        (20, [(13, None)], [(10, 12)]),
    ],
)
def test_a_join_is_answered_with_where_the_room_stands(
    upto: int, arrivals: list[tuple[int, int | None]], gaps: list[tuple[int, int]]
) -> None:
    positions, _ = after((9, 5))
    positions.asked(0.0, upto)
    for seq, prev in arrivals:
        assert positions.arrived(seq, 0.0, prev)
    assert missing(positions) == gaps
    assert positions.highest == arrivals[-1][0]


@pytest.mark.parametrize(
    ("excused", "arrival", "gaps"),
    [
        ((10, 20), (30, 20), []),
        ((10, 12), (30, 20), [(13, 20)]),
        ((15, 20), (30, 20), [(10, 14)]),
        ((12, 15), (30, 20), [(10, 11), (16, 20)]),
        # What will not come, and what does not exist, are no different.
        ((12, 15), (30, 9), []),
        ((12, 40), (30, 25), [(10, 11)]),
    ],
)
def test_what_is_excused_is_not_missing(
    excused: tuple[int, int], arrival: tuple[int, int], gaps: list[tuple[int, int]]
) -> None:
    positions, _ = after((9, 5))
    positions.excuse(*excused)
    assert positions.arrived(arrival[0], 0.0, arrival[1])
    assert missing(positions) == gaps


def test_what_was_missing_can_be_excused() -> None:
    positions, _ = after((9, 5), (30, 20))
    positions.excuse(15, 20)
    assert missing(positions) == [(10, 14)]
    assert positions.arrived(14, 0.0, 9)
    assert (missing(positions), positions.since) == ([], Position("e", 30))


def test_ranges_are_bounded_with_holes_too() -> None:
    positions, _ = after((9, 5))
    for n in range(1, MAX_RANGES + 3):
        assert positions.arrived(n * 10 + 9, 0.0, n * 10 + 5)
    assert len(missing(positions)) == MAX_RANGES
    _, (lost,) = positions.due(GRACE)
    assert (lost.first, lost.last) == (10, 25)


def test_where_not_all_come_only_the_highest_counts() -> None:
    positions, new = after((9, 5), (30, 20), (7, 6), (30, 20), is_complete=False)
    assert new == [True] * 4
    assert (missing(positions), positions.since) == ([], Position("e", 30))


SEQS = st.lists(st.integers(6, 60), min_size=1, unique=True).map(sorted)


@given(SEQS, st.data())
def test_whatever_is_lost_among_holes_is_noticed_and_had_again(seqs: list[int], data: st.DataObject) -> None:
    """The first and the last arrive; the rest is in the missing ranges, or has come, and each comes once."""
    lost = data.draw(st.sets(st.sampled_from(seqs))) - {seqs[0], seqs[-1]}
    messages = chain(seqs, 5)
    positions = Positions("e", 5)
    for seq, prev in messages:
        if seq not in lost:
            assert positions.arrived(seq, 0.0, prev)
    gaps = missing(positions)
    assert {seq for seq in seqs if any(first <= seq <= last for first, last in gaps)} == lost
    assert bool(gaps) == bool(lost)
    before = max(seq for seq in [5, *seqs] if all(seq < gone for gone in lost))
    since = positions.since.seq
    assert since == (before if lost else seqs[-1])
    # The server sends all after that again, and then a new one.
    positions.asked(0.0, seqs[-1])
    again = [positions.arrived(seq, 0.0, prev) for seq, prev in messages if seq > since]
    assert again == [seq in lost for seq in seqs if seq > since]
    assert positions.arrived(100, 0.0, seqs[-1])
    assert (missing(positions), positions.since) == ([], Position("e", 100))


@given(SEQS, st.data())
def test_in_any_order_each_comes_once(seqs: list[int], data: st.DataObject) -> None:
    messages = chain(seqs, 5)
    positions = Positions("e", 5)
    assert positions.arrived(*messages[0][:1], 0.0, 5)
    rest = data.draw(st.permutations(messages[1:]))
    for seq, prev in rest:
        assert positions.arrived(seq, 0.0, prev)
        assert not positions.arrived(seq, 0.0, prev)
    assert (missing(positions), positions.since.seq) == ([], seqs[-1])
