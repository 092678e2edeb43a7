"""What becomes of a link, whatever is said of it and in whatever order."""

from __future__ import annotations

from itertools import permutations

import pytest

from fanwire.runtime.link_phases import OVER, LinkEvent, LinkPhase, Step, step


def told(*words: LinkEvent, begin: LinkPhase = LinkPhase.DECIDING) -> tuple[LinkPhase, list[Step]]:
    phase, steps = begin, []
    for event in words:
        phase, todo = step(phase, event)
        if todo is not Step.NOTHING:
            steps.append(todo)
    return phase, steps


@pytest.mark.parametrize("answer", [LinkEvent.RESUMED, LinkEvent.REFUSED, None])
def test_every_order_of_words_ends_in_nothing_and_does_nothing_twice(answer: LinkEvent | None) -> None:
    said = [LinkEvent.RETIRED, *([] if answer is None else [answer])]
    for order in permutations(said):
        phase, steps = told(*order, LinkEvent.LOST, begin=LinkPhase.CARRYING if answer is None else LinkPhase.DECIDING)
        assert phase is LinkPhase.GONE, order
        assert len(steps) == len(set(steps)), order
        # A connection that has gone on without it is not parked by its end.
        assert Step.PARK not in steps, order
        # What the engine has opened as a connection of its own never stays behind.
        if answer is LinkEvent.REFUSED:
            assert {Step.BEGIN, Step.CLOSE} & set(steps), order


def test_a_link_that_is_lost_after_it_has_begun_is_parked() -> None:
    assert told(LinkEvent.RESUMED, LinkEvent.LOST) == (LinkPhase.GONE, [Step.BEGIN, Step.PARK])
    assert told(LinkEvent.LOST, LinkEvent.RETIRED, begin=LinkPhase.CARRYING) == (LinkPhase.GONE, [Step.PARK])


def test_a_link_of_which_nothing_counts_never_counts_again() -> None:
    for phase in OVER:
        for event in LinkEvent:
            assert step(phase, event)[0] in OVER


def test_a_retired_link_stays_until_it_is_lost() -> None:
    assert told(LinkEvent.RETIRED, LinkEvent.RETIRED, begin=LinkPhase.CARRYING) == (LinkPhase.RETIRED, [])
    assert told(LinkEvent.RETIRED, LinkEvent.LOST, begin=LinkPhase.CARRYING) == (LinkPhase.GONE, [])
