"""The answers to finished requests are found again, within bounds of bytes."""

from __future__ import annotations

from fanwire.deduplication.answered_requests import ANSWER_OVERHEAD, AnsweredRequests


def test_an_answer_belongs_to_its_owner_and_its_name() -> None:
    answers = AnsweredRequests()
    answers.keep("alice", "a", b"1")
    answers.keep("bob", "a", b"2")
    assert [answers.find(owner, "a") for owner in ("alice", "bob", "carol")] == [b"1", b"2", None]
    assert answers.find("alice", "b") is None
    answers.keep("alice", "a", b"33")
    assert answers.find("alice", "a") == b"33"
    assert answers.size == 3 + 2 * ANSWER_OVERHEAD


def test_the_oldest_answers_of_an_owner_are_forgotten_first() -> None:
    size = 100 + ANSWER_OVERHEAD
    answers = AnsweredRequests(owner_bytes=2 * size)
    for name in ("a", "b", "c"):
        answers.keep("alice", name, bytes(100))
    assert [answers.find("alice", name) is not None for name in ("a", "b", "c")] == [False, True, True]
    assert answers.size == 2 * size
    # What is longer than all that may be kept pushes out nothing.
    answers.keep("alice", "long", bytes(2 * size))
    assert answers.find("alice", "long") is None
    assert answers.size == 2 * size


def test_the_owner_that_was_not_answered_for_the_longest_time_is_forgotten_first() -> None:
    size = 100 + ANSWER_OVERHEAD
    answers = AnsweredRequests(total_bytes=3 * size)
    for owner, name in (("alice", "a"), ("bob", "a"), ("alice", "b"), ("carol", "a")):
        answers.keep(owner, name, bytes(100))
    found = [answers.find(owner, "a") is not None for owner in ("alice", "bob", "carol")]
    assert found == [True, False, True]
    assert answers.size == 3 * size
