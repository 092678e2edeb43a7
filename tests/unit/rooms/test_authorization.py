"""What a client may do: rules, the application's answers, and how long those hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from inspect import isawaitable
from typing import Any, cast

import pytest

from fanwire.connection import Connection
from fanwire.errors import Refused
from fanwire.protocol.envelopes import Refusal
from fanwire.rooms import authorization as module
from fanwire.rooms.authorization import ACTIONS, Answers, Rights
from fanwire.rooms.rules import CLOSED, RoomPolicy


class Stub:
    def __init__(self, identity: Any = "ann") -> None:
        self.identity = identity
        self._answers: Answers | None = None


def stub(identity: Any = "ann") -> Connection:
    return cast("Connection", Stub(identity))


class Application:
    """Notes what it is asked, and answers."""

    def __init__(self, answer: Any = True) -> None:
        self.asked: list[tuple[Any, str, str]] = []
        self.answer = answer

    def __call__(self, identity: Any, action: str, room: str) -> Any:
        self.asked.append((identity, action, room))
        if isinstance(self.answer, type) and issubclass(self.answer, Exception):
            raise self.answer
        return self.answer(action) if callable(self.answer) else self.answer


class Later(Application):
    async def __call__(self, identity: Any, action: str, room: str) -> Any:
        await asyncio.sleep(0)
        return super().__call__(identity, action, room)


async def granted(rights: Rights, connection: Connection, policy: RoomPolicy, *actions: str) -> set[str]:
    found: frozenset[str] | Awaitable[frozenset[str]] = rights.granted(connection, policy, "r", actions or ACTIONS)
    return set(await found if isawaitable(found) else found)


OPEN = RoomPolicy("*")


async def test_without_anybody_to_ask_clients_read_and_do_not_write() -> None:
    rights = Rights(None, 1.0)
    assert await granted(rights, stub(), OPEN) == {"join", "presence", "history"}
    assert await granted(rights, stub(), CLOSED) == set()
    assert await granted(rights, stub(), RoomPolicy("*", join=False, publish=True)) == {
        "publish", "presence", "history",
    }  # fmt: skip
    only_ann = RoomPolicy("*", join=lambda connection, room: connection.identity == "ann" and room == "r")
    assert "join" in await granted(rights, stub("ann"), only_ann)
    assert "join" not in await granted(rights, stub("bob"), only_ann)


@pytest.mark.parametrize("kind", [Application, Later])
async def test_both_the_rule_and_the_application_have_to_allow_it(kind: type[Application]) -> None:
    application = kind(lambda action: action != "history")
    rights = Rights(application, 1.0)
    assert await granted(rights, stub(), RoomPolicy("*", publish=False)) == {"join", "presence"}
    # Nobody asks about what the rule has refused.
    assert [action for _, action, _ in application.asked] == ["join", "presence", "history"]
    assert await granted(rights, stub(), CLOSED) == set()
    assert len(application.asked) == 3


@pytest.mark.parametrize("kind", [Application, Later])
@pytest.mark.parametrize("answer", [False, None, 0, "", Refused, Refused(403)])
async def test_what_is_no(kind: type[Application], answer: Any) -> None:
    assert await granted(Rights(kind(answer), 1.0), stub(), OPEN) == set()


@pytest.mark.parametrize("kind", [Application, Later])
@pytest.mark.parametrize("error", [KeyError, asyncio.TimeoutError])
async def test_what_it_raises_comes_out_and_is_not_kept(kind: type[Application], error: type[Exception]) -> None:
    application = kind(error)
    rights, connection = Rights(application, 1.0), stub()
    for _ in range(2):
        with pytest.raises(error):
            await granted(rights, connection, OPEN, "join")
    assert len(application.asked) == 2


@pytest.mark.parametrize("kind", [Application, Later])
async def test_an_answer_holds_for_its_connection_and_a_while(
    kind: type[Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.clock, "monotonic", lambda: now)
    application = kind(lambda action: action == "join")
    rights, connection = Rights(application, 1.0), stub()
    for _ in range(3):
        assert await granted(rights, connection, OPEN, "join", "publish") == {"join"}
    assert len(application.asked) == 2
    assert await granted(rights, stub(), OPEN, "join") == {"join"}
    assert len(application.asked) == 3
    now += module.AGE
    assert await granted(rights, connection, OPEN, "join") == {"join"}
    assert len(application.asked) == 4
    # Withdrawn, see `Revocation.recheck`.
    connection._answers = None
    assert await granted(rights, connection, OPEN, "join") == {"join"}
    assert len(application.asked) == 5


async def test_an_answer_from_before_it_was_withdrawn_does_not_count() -> None:
    gate = asyncio.Event()
    answers = [True, False]

    async def slow(identity: Any, action: str, room: str) -> bool:
        await gate.wait()
        return answers.pop(0)

    connection = stub()
    found = Rights(slow, 5.0).granted(connection, OPEN, "r", ("join",))
    assert isawaitable(found)
    waiting = asyncio.ensure_future(found)
    await asyncio.sleep(0)
    connection._answers = fresh = Answers()
    gate.set()
    # It was asked again.
    assert await waiting == frozenset()
    assert not answers
    assert fresh.find("join", "r", 0.0) is False


async def test_who_takes_too_long_is_not_waited_for() -> None:
    async def hang(identity: Any, action: str, room: str) -> bool:
        await asyncio.Event().wait()
        return True

    with pytest.raises(Refusal, match="too long"):
        await granted(Rights(hang, 0.01), stub(), OPEN, "join")


def test_answers_are_bounded_and_the_oldest_go_first() -> None:
    answers = Answers()
    for number in range(module.MAX_ANSWERS + 10):
        answers.note("join", f"r{number}", True, 0.0)
    assert answers.find("join", "r9", 1.0) is None
    assert answers.find("join", "r10", 1.0) is True
    assert len(answers._answers) == module.MAX_ANSWERS


class Sometimes(Application):
    """Answers some questions at once, and others later."""

    def __call__(self, identity: Any, action: str, room: str) -> Any:
        answer = super().__call__(identity, action, room)
        return Later(answer)(identity, action, room) if action == "presence" else answer


@pytest.mark.parametrize("kind", [Application, Later, Sometimes])
async def test_answers_that_are_forgotten_while_it_asks_still_count(
    kind: type[Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWERS", 2)
    rights, connection = Rights(kind(), 1.0), stub()
    for first in ACTIONS:
        assert await granted(rights, connection, OPEN, first) == {first}
        assert await granted(rights, connection, OPEN) == set(ACTIONS)


async def nobody_awaits(connection: Any, room: str) -> bool:
    return False


def yields(*args: Any) -> Any:
    yield False


@pytest.mark.parametrize("answer", [lambda: False, Refused, ValueError("no"), yields(), NotImplemented, len])
async def test_a_mistake_does_not_pass_for_a_yes(answer: Any) -> None:
    with pytest.raises(TypeError, match="must return True or False"):
        await granted(Rights(None, 1.0), stub(), RoomPolicy("*", join=lambda connection, room: answer), "join")
    with pytest.raises(TypeError, match="authorize must return True or False"):
        await granted(Rights(lambda *asked: answer, 1.0), stub(), OPEN, "join")

    async def later(*asked: Any) -> Any:
        return answer

    with pytest.raises(TypeError, match="authorize must return True or False"):
        await granted(Rights(later, 1.0), stub(), OPEN, "join")


async def test_a_coroutine_of_a_rule_is_no_yes() -> None:
    with pytest.raises(TypeError, match=r"the rule of '\*' for join must return True or False"):
        await granted(Rights(None, 1.0), stub(), RoomPolicy("*", join=nobody_awaits), "join")


@pytest.mark.parametrize("answer", [None, False, 0, "", [], Refused()])
async def test_false_answers_are_a_no(answer: Any) -> None:
    assert not await granted(Rights(None, 1.0), stub(), RoomPolicy("*", join=lambda connection, room: answer), "join")
    assert not await granted(Rights(lambda *asked: answer, 1.0), stub(), OPEN, "join")


async def test_a_rule_may_refuse_by_an_exception() -> None:
    def rule(connection: Any, room: str) -> bool:
        raise Refused(403, "no")

    assert not await granted(Rights(None, 1.0), stub(), RoomPolicy("*", join=rule), "join")
