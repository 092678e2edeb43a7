"""What becomes of a link, whatever is said of it and in whatever order."""

from __future__ import annotations

from itertools import permutations

import pytest

from fanwire.runtime.link_phases import OVER, Phase, Step, Word, step


def told(*words: Word, begin: Phase = Phase.DECIDING) -> tuple[Phase, list[Step]]:
    phase, steps = begin, []
    for word in words:
        phase, todo = step(phase, word)
        if todo is not Step.NOTHING:
            steps.append(todo)
    return phase, steps


@pytest.mark.parametrize("answer", [Word.RESUMED, Word.REFUSED, None])
def test_every_order_of_words_ends_in_nothing_and_does_nothing_twice(answer: Word | None) -> None:
    said = [Word.RETIRED, *([] if answer is None else [answer])]
    for order in permutations(said):
        phase, steps = told(*order, Word.LOST, begin=Phase.CARRYING if answer is None else Phase.DECIDING)
        assert phase is Phase.GONE, order
        assert len(steps) == len(set(steps)), order
        # A connection that has gone on without it is not parked by its end.
        assert Step.PARK not in steps, order
        # What the engine has opened as a connection of its own never stays behind.
        if answer is Word.REFUSED:
            assert {Step.BEGIN, Step.CLOSE} & set(steps), order


def test_a_link_that_is_lost_after_it_has_begun_is_parked() -> None:
    assert told(Word.RESUMED, Word.LOST) == (Phase.GONE, [Step.BEGIN, Step.PARK])
    assert told(Word.LOST, Word.RETIRED, begin=Phase.CARRYING) == (Phase.GONE, [Step.PARK])


def test_a_link_of_which_nothing_counts_never_counts_again() -> None:
    for phase in OVER:
        for word in Word:
            assert step(phase, word)[0] in OVER


def test_a_retired_link_stays_until_it_is_lost() -> None:
    assert told(Word.RETIRED, Word.RETIRED, begin=Phase.CARRYING) == (Phase.RETIRED, [])
    assert told(Word.RETIRED, Word.LOST, begin=Phase.CARRYING) == (Phase.GONE, [])
