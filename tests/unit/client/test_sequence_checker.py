"""The checker of numbers: against a naive model, and the vectors that it shares with other languages."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwire.client.message import Gap, Message, Position, Skipped
from fanwire.client.sequence_checker import MOST, Completeness, SequenceChecker

VECTORS = Path(__file__).parents[2] / "vectors" / "checker" / "streams.json"


class Stream:
    """A stream with drops, resumes and rejoins, and what is true of it."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        self.steps: list[list[Any]] = []
        self.received = self.absent = self.silent = self.restored = self.duplicates = 0
        self.skipped: dict[str, int] = {}
        self.lost: dict[str, int] = {}
        start = number = random.choice([0, 7])
        self.start = start
        self.steps.append(["joined", "e", start, {}])
        came: list[list[Any]] = []
        dropped: dict[str, list[int]] = {}
        before = number
        for _ in range(random.randrange(1, 12)):
            for _ in range(random.randrange(1, 9)):
                hole = random.choice([0, 0, 0, 2])
                number += 1 + hole
                self.absent += hole
                fate = random.random()
                if fate < 0.6:
                    came.append(["number", number, before if hole else None])
                    self.received += 1
                else:
                    # The next message says what is before it, so holes before a dropped one are numbers, too.
                    self.absent -= hole
                    reason = random.choice(["replaced", "excluded"])
                    if fate < 0.85:
                        dropped.setdefault(reason, []).append(number)
                        dropped.setdefault("budget", []).extend(range(number - hole, number))
                    else:
                        self.silent += 1 + hole
                before = number
            if came and random.random() < 0.3:
                came.append(random.choice([step for step in came if step[0] == "number"]))
                self.duplicates += 1
            if random.random() < 0.3:
                random.shuffle(came)
            if random.random() < 0.5:
                self._tell(dropped, came, random)
            self.steps += came
            came = []
            if random.random() < 0.2:
                self._tell(dropped, self.steps, random)
                self._rejoin(random, number)
                number = before = self.steps[-1][2] if self.steps[-1][0] == "joined" else number
        self._tell(dropped, self.steps, random)
        self.steps.append(["number", number + 1, before])
        self.received += 1
        self.highest = number + 1

    def _tell(self, dropped: dict[str, list[int]], steps: list[list[Any]], random: Random) -> None:
        for reason, numbers in dropped.items():
            if numbers:
                step = ["told", reason, min(numbers), max(numbers), len(numbers)]
                steps.insert(random.randrange(len(steps) + 1) if steps is not self.steps else len(steps), step)
                self.skipped[reason] = self.skipped.get(reason, 0) + len(numbers)
        dropped.clear()

    def _rejoin(self, random: Random, number: int) -> None:
        """The reader joins again, and some messages are not kept any more."""
        missed = random.randrange(0, 5)
        has_snapshot = random.random() < 0.5
        gone = missed + self.silent
        self.silent = 0
        if has_snapshot:
            self.restored += gone
        elif gone:
            self.lost["history"] = self.lost.get("history", 0) + gone
        self.steps.append(["joined", "e", number + missed, {"reason": "history", "has_snapshot": has_snapshot}])


def play(steps: list[list[Any]], *, is_filtered: bool = False) -> Completeness:
    checker = SequenceChecker(is_filtered=is_filtered)
    for name, *rest in steps:
        options = rest.pop() if rest and isinstance(rest[-1], dict) else {}
        getattr(checker, name)(*rest, **options)
    return checker.report()


def document(found: Completeness) -> dict[str, Any]:
    fields = {name: getattr(found, name) for name in Completeness.__dataclass_fields__}
    return {**json.loads(json.dumps(fields)), "is_complete": found.is_complete, "is_explained": found.is_explained}


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 1 << 40))
def test_everything_adds_up(seed: int) -> None:
    stream = Stream(seed)
    found = play(stream.steps)
    assert (found.received, found.absent, found.missing) == (stream.received, stream.absent, stream.silent), (
        stream.steps
    )
    assert (found.skipped, found.lost, found.restored) == (stream.skipped, stream.lost, stream.restored)
    assert (found.start, found.highest, found.surplus) == (stream.start, stream.highest, 0)
    told = sum(found.skipped.values()) + sum(found.lost.values())
    assert found.received + found.absent + told + found.restored + found.missing == found.highest - found.start
    assert sum(last - first + 1 for first, last in found.ranges) == found.missing
    assert found.is_explained is (stream.silent == 0)
    filtered = play(stream.steps, is_filtered=True)
    assert (filtered.missing, filtered.unverified, filtered.ranges) == (0, stream.silent, ())


@pytest.mark.parametrize("place", range(48))
def test_the_shared_vectors(place: int) -> None:
    vector = json.loads(VECTORS.read_text())[place]
    assert document(play(vector["steps"])) == vector["report"]


def test_messages_of_a_room() -> None:
    checker = SequenceChecker(Position("e", 5))
    checker.message(Message(1, "r", 6))
    checker.skipped(Skipped("excluded", 1, 7, 7))
    checker.message(Message(1, "r", 8))
    checker.message(Message(1, "r", 12, prev=8))
    found = checker.report()
    assert (found.received, found.absent, found.skipped, found.complete_upto) == (3, 3, {"excluded": 1}, 6)
    assert found.is_explained
    assert not found.is_complete
    checker.message(Message(1, "r", 20, gap=Gap("slow", 12, 19)))
    assert checker.report().lost == {"slow": 7}
    checker.message(Message(1, "r", 31, gap=Gap("snapshot", 20, 30, {"all": 1})))
    assert checker.report().restored == 10
    checker.message(Message(1, "r", 3, gap=Gap("epoch", 31, 2)))
    found = checker.report()
    assert (found.start, found.highest, found.complete_upto, found.breaks) == (2, 3, 3, 1)
    with pytest.raises(ValueError, match="no number"):
        checker.message(Message(1))


@pytest.mark.parametrize("reason", ["epoch", "position"])
def test_numbers_that_go_on_elsewhere_are_a_break(reason: str) -> None:
    checker = SequenceChecker(Position("e", 1000))
    assert checker.report().is_complete
    checker.message(Message(1, "r", 5, gap=Gap(reason, 1000, 4)))
    found = checker.report()
    assert (found.breaks, found.start, found.complete_upto, found.received) == (1, 4, 5, 1)
    assert not found.is_complete
    assert found.is_explained
    # Holes are found among the numbers that come, and those of before are not looked for.
    checker.number(8)
    assert checker.report().ranges == ((6, 7),)


@pytest.mark.parametrize("reason", ["epoch", "position"])
def test_a_snapshot_in_place_of_other_numbers_is_no_break(reason: str) -> None:
    checker = SequenceChecker(Position("e", 1000))
    checker.message(Message(1, "r", 5, gap=Gap(reason, 1000, 4, {"all": 1})))
    assert checker.report().breaks == 0
    assert checker.report().is_complete


def test_a_reader_without_a_client_has_a_position_that_is_ahead() -> None:
    checker = SequenceChecker(Position("e", 1000))
    checker.joined("e", 3, reason="position")
    found = checker.report()
    assert (found.epoch, found.start, found.breaks, found.is_complete) == ("e", 3, 1, False)


def test_a_feed_with_numbers_of_its_own() -> None:
    checker = SequenceChecker()
    assert [checker.number(seq) for seq in (1001, 1002, 1005, 1002)] == [True, True, True, False]
    found = checker.report()
    assert (found.ranges, found.missing, found.duplicates, found.complete_upto) == (((1003, 1004),), 2, 1, 1002)
    assert checker.number(1003)
    assert checker.number(1004)
    assert checker.report().is_complete


def test_what_is_told_twice_is_a_surplus() -> None:
    checker = SequenceChecker(0)
    checker.number(5)
    checker.told("lost", 1, 4)
    checker.told("lost", 2, 3)
    found = checker.report()
    assert (found.skipped, found.surplus, found.is_explained) == ({"lost": 4}, 2, False)


def test_it_is_bounded() -> None:
    checker = SequenceChecker(0)
    for seq in range(2, 10 * MOST, 2):
        checker.number(seq)
    found = checker.report()
    assert len(found.ranges) == 64
    assert found.missing + sum(found.lost.values()) == 5 * MOST - 1
    assert found.missing == MOST
