"""What becomes of a transport, whatever is said of it and in whatever order."""

from __future__ import annotations

from itertools import permutations

import pytest

from fanwire.carriage import OVER, Phase, Step, Word, step

ENDS = {Step.BEGIN, Step.PARK, Step.CLOSE, Step.FORGET}


def told(*words: Word, begin: Phase = Phase.DECIDING) -> tuple[Phase, list[Step]]:
    phase, steps = begin, []
    for word in words:
        phase, todo = step(phase, word)
        if todo is not Step.NOTHING:
            steps.append(todo)
    return phase, steps


def test_a_transport_that_is_lost_while_the_engine_decides_is_parked_once_whichever_comes_first() -> None:
    assert told(Word.LOST, Word.RESUMED) == (Phase.GONE, [Step.UNLINK, Step.PARK])
    assert told(Word.RESUMED, Word.LOST) == (Phase.GONE, [Step.BEGIN, Step.PARK])


@pytest.mark.parametrize("answer", [Word.RESUMED, Word.REFUSED])
@pytest.mark.parametrize("begin", [Phase.DECIDING, Phase.CARRYING])
def test_every_order_of_words_ends_in_nothing_and_does_nothing_twice(begin: Phase, answer: Word) -> None:
    words = [Word.LOST, Word.RETIRED, *([answer] if begin is Phase.DECIDING else [])]
    for order in permutations(words):
        phase, steps = told(*order, begin=begin)
        assert phase is Phase.GONE, order
        assert len(steps) == len(set(steps)), order
        # A connection that has gone on without it is not parked by its end.
        if order.index(Word.RETIRED) < order.index(Word.LOST):
            assert Step.PARK not in steps, order
        # What the engine has opened as a connection of its own never stays behind.
        if answer is Word.REFUSED and begin is Phase.DECIDING:
            assert {Step.BEGIN, Step.CLOSE, Step.FORGET} & set(steps), order


def test_a_transport_of_which_nothing_counts_never_counts_again() -> None:
    for phase in OVER:
        for word in Word:
            assert step(phase, word)[0] in OVER


def test_a_retired_transport_stays_until_it_is_lost() -> None:
    assert told(Word.RETIRED, begin=Phase.CARRYING) == (Phase.RETIRED, [Step.RETIRE])
    assert told(Word.RETIRED, Word.RETIRED, begin=Phase.CARRYING) == (Phase.RETIRED, [Step.RETIRE])
    assert told(Word.RETIRED, Word.LOST, begin=Phase.CARRYING) == (Phase.GONE, [Step.RETIRE])
