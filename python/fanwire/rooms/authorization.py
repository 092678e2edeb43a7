"""What a client may do in which room: the room's own rules, and what the application answers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any

from fanwire.connection import Connection
from fanwire.errors import Refused
from fanwire.handlers.calls import ApplicationError, Calls, TooSlow, name_of
from fanwire.protocol.envelopes import Refusal
from fanwire.reject import Reject
from fanwire.rooms.rules import RoomPolicy
from fanwire.values.checks import check_answer

__all__ = ["ACTIONS", "Authorize", "Rights"]

Authorize = Callable[[Any, str, str], bool | Refused | Awaitable[bool | Refused]]
"""Takes an identity, an action and a room; returns, perhaps after a while, whether that is allowed."""

ACTIONS = ("join", "publish", "presence", "history")
"""What is asked for: to be a member; to publish; to be told who is there; to get messages from before one joined."""

ALONE = {action: frozenset((action,)) for action in ACTIONS}
"""Each of them by itself."""


class Rights:
    """Decides. Both the room's rule and the application have to allow it.

    Args:
        authorize: the application; None: the rules alone decide.
        timeout: seconds that it may take.
        calls: awaits its answers.
    """

    def __init__(self, authorize: Authorize | None, timeout: float, calls: Calls | None = None) -> None:
        self._authorize = authorize
        self._timeout = timeout
        self._calls = calls or Calls()

    def granted(
        self,
        connection: Connection,
        policy: RoomPolicy,
        room: str,
        actions: Sequence[str],
        required: Sequence[str] | None = None,
    ) -> frozenset[str] | Awaitable[frozenset[str]]:
        """Which of the actions are allowed; an awaitable only if the application has to be waited for.

        Args:
            connection: whose rights.
            policy: of the room.
            room: its name.
            actions: what is asked for.
            required: those without which nothing is done; None: all. A `Reject` of one of these is raised, that of
                another is a no.

        Raises:
            Refusal: `overloaded`, it took too long.
            Exception: whatever the application raises, but `Refused`, which is a no.
        """
        if (
            self._authorize is None
            and len(actions) == 1
            and actions[0] != "publish"
            and policy.rule(actions[0]) is None
        ):
            # Without anybody to ask, and the same for all: a flood of joins costs the less.
            return ALONE[actions[0]]
        required = actions if required is None else required
        open_actions = [action for action in actions if self._rule_allows(connection, policy, room, action, required)]
        if self._authorize is None:
            return frozenset(open_actions)
        known = connection._answers
        if known is None:
            known = connection._answers = Answers()
        now = time.monotonic()
        unknown = [action for action in open_actions if known.find(action, room, now) is None]
        for place, action in enumerate(unknown):
            answer = self._ask(self._authorize, connection.identity, action, room, required)
            if isawaitable(answer):
                return self._wait(connection, policy, room, open_actions, unknown[place:], answer, required)
            if not isinstance(answer, Reject):
                known.note(action, room, _allows("authorize", answer), now)
        return frozenset(action for action in open_actions if known.find(action, room, now))

    async def _wait(
        self,
        connection: Connection,
        policy: RoomPolicy,
        room: str,
        open_actions: Sequence[str],
        unknown: Sequence[str],
        answer: Awaitable[Any],
        required: Sequence[str],
    ) -> frozenset[str]:
        assert self._authorize is not None  # noqa: S101 - the caller has asked it
        # Those known already are looked up now: they may be too old when the others are here.
        known = connection._answers or Answers()
        now = time.monotonic()
        granted = {action for action in open_actions if known.find(action, room, now)}
        identity = connection.identity
        for place, action in enumerate(unknown):
            if place:
                found = self._ask(self._authorize, identity, action, room, required)
                answer = found if isawaitable(found) else _ready(found)
            try:
                asked = _answered(answer, action in required)
                allowed = await self._calls.wait(asked, name_of(self._authorize), connection, self._timeout)
            except TooSlow:
                raise Refusal("overloaded", "authorize took too long", retry=True, retry_after=1.0) from None
            if connection._answers is not known:
                # It is about another identity, or from before `reauthorize`: what was asked, is asked again.
                again = self.granted(connection, policy, room, open_actions, required)
                return await again if isawaitable(again) else again
            if allowed is None:
                continue
            known.note(action, room, allowed, time.monotonic())
            if allowed:
                granted.add(action)
        return frozenset(granted)

    def _rule_allows(
        self, connection: Connection, policy: RoomPolicy, room: str, action: str, required: Sequence[str]
    ) -> bool:
        rule = policy.rule(action)
        if rule is None:
            # Without anybody to ask, clients read where they may, and do not write.
            return self._authorize is not None or action != "publish"
        if not callable(rule):
            return rule
        answer: Any
        try:
            answer = rule(connection, room)
        except (Refused, Reject) as no:
            answer = no
        except Exception:
            raise
        except BaseException as error:
            raise ApplicationError(name_of(rule), error) from error
        if isinstance(answer, Reject) and action in required:
            raise answer
        return _allows(f"the rule of {policy.pattern!r} for {action}", answer)

    def _ask(self, authorize: Authorize, identity: Any, action: str, room: str, required: Sequence[str]) -> Any:
        answer: Any
        try:
            answer = authorize(identity, action, room)
        except (Refused, Reject) as no:
            answer = no
        except Exception:
            raise
        except BaseException as error:
            raise ApplicationError(name_of(authorize), error) from error
        if isinstance(answer, Reject) and action in required:
            raise answer
        return answer


async def _answered(answer: Awaitable[Any], is_required: bool) -> bool | None:
    # None: a `Reject`, which is a no for now, and not one to be kept.
    try:
        found = await answer
    except (Refused, Reject) as no:
        found = no
    if not isinstance(found, Reject):
        return _allows("authorize", found)
    if is_required:
        raise found
    return None


def _allows(who: str, answer: Any) -> bool:
    """Whether an answer is a yes. A refusal may be returned as well as raised.

    Raises:
        TypeError: it is a mistake that would pass for one.
    """
    if isinstance(answer, (Refused, Reject)):
        return False
    return bool(check_answer(f"{who} must return True or False", answer))


async def _ready(answer: Any) -> Any:
    return answer


class Answers:
    """What the application has answered for one connection: bounded, and for a while."""

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[bool, float]] = {}

    def find(self, action: str, room: str, now: float) -> bool | None:
        """Whether it was allowed; None: that is not known, or not any more."""
        answer = self._answers.get((action, room))
        return None if answer is None or now >= answer[1] else answer[0]

    def note(self, action: str, room: str, allowed: bool, now: float) -> None:
        """Keeps an answer."""
        if len(self._answers) >= MAX_ANSWERS:
            # The oldest: rooms come from clients.
            self._answers.pop(next(iter(self._answers)))
        self._answers[action, room] = (allowed, now + AGE)


MAX_ANSWERS = 256
"""Answers kept of one connection: two for each room that it may be in; 128 KB if its client makes the most of it."""

AGE = 300.0
"""Seconds for which an answer holds, if nobody withdraws it by `Server.reauthorize`."""
