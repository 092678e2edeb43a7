"""Authorization: what a client may do in a room, by the room's rules and the application's `authorize`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any

from fanwire.connection import Connection
from fanwire.errors import Refused
from fanwire.handlers.calls import ApplicationCalls, ApplicationError, TooSlow, name_of
from fanwire.identity.operator import is_operator
from fanwire.protocol.envelopes import Refusal
from fanwire.reject import Reject
from fanwire.rooms.readings_room import READINGS
from fanwire.rooms.rules import RoomPolicy
from fanwire.timing import clock
from fanwire.values.checks import check_answer

__all__ = ["ACTIONS", "Authorize", "Rights"]

Authorize = Callable[[Any, str, str], bool | Refused | Awaitable[bool | Refused]]
"""Gets an identity, an action and a room; returns whether it is allowed, or an awaitable of that."""

ACTIONS = ("join", "publish", "presence", "history")
"""The actions: be a member; publish; see the members; get messages from before the join."""

ALONE = {action: frozenset((action,)) for action in ACTIONS}
"""Each of them by itself."""

OF_OPERATORS = frozenset({"join", "history"})
"""What an operator may do in the room of readings."""

NONE: frozenset[str] = frozenset()


class Rights:
    """Decides what connections may do. Both the room's rule and the application have to allow it.

    Args:
        authorize: the application's function; None: the rules decide alone.
        timeout: seconds that `authorize` may take.
        calls: awaits its answers; None: a new one.
    """

    def __init__(self, authorize: Authorize | None, timeout: float, calls: ApplicationCalls | None = None) -> None:
        self._authorize = authorize
        self._timeout = timeout
        self._calls = calls or ApplicationCalls()

    def granted(
        self,
        connection: Connection,
        policy: RoomPolicy,
        room: str,
        actions: Sequence[str],
        required: Sequence[str] | None = None,
    ) -> frozenset[str] | Awaitable[frozenset[str]]:
        """Returns those of the actions that are allowed; an awaitable of them if the application's answer is one.

        Args:
            connection: of the client.
            policy: of the room.
            room: its name.
            actions: the actions that the client asks for.
            required: the actions without which nothing is done; None: all. A `Reject` of one of these is raised;
                that of another counts as not allowed.

        Raises:
            Refusal: `overloaded`: the application took too long.
            Exception: any error of the application, except `Refused`, which counts as not allowed.
        """
        if is_operator(connection.identity) or room == READINGS:
            # Neither rules nor `authorize` of the application decide about these.
            return frozenset(actions) & OF_OPERATORS if is_operator(connection.identity) and room == READINGS else NONE
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
        # Known answers are read now: they may be forgotten or have expired when the others are here.
        now = clock.monotonic()
        answers = {action: known.find(action, room, now) for action in open_actions}
        unknown = [action for action, allowed in answers.items() if allowed is None]
        for place, action in enumerate(unknown):
            answer = self._ask(self._authorize, connection.identity, action, room, required)
            if isawaitable(answer):
                granted = {action for action, allowed in answers.items() if allowed}
                return self._wait(connection, policy, room, open_actions, granted, unknown[place:], answer, required)
            if not isinstance(answer, Reject):
                answers[action] = allowed = _allows("authorize", answer)
                known.note(action, room, allowed, now)
        return frozenset(action for action, allowed in answers.items() if allowed)

    async def _wait(
        self,
        connection: Connection,
        policy: RoomPolicy,
        room: str,
        open_actions: Sequence[str],
        granted: set[str],
        unknown: Sequence[str],
        answer: Awaitable[Any],
        required: Sequence[str],
    ) -> frozenset[str]:
        assert self._authorize is not None  # noqa: S101 - the caller has called it
        known = connection._answers or Answers()
        identity = connection.identity
        for place, action in enumerate(unknown):
            if place:
                found = self._ask(self._authorize, identity, action, room, required)
                answer = found if isawaitable(found) else _ready(found)
            try:
                asked = _answered(answer, action in required)
                allowed = await self._calls.wait(asked, name_of(self._authorize), connection, self._timeout)
            except TooSlow:
                raise Refusal(
                    "overloaded", "authorize took too long, try again later", retry=True, retry_after=1.0
                ) from None
            if connection._answers is not known:
                # The identity has changed, or `reauthorize` was called: everything is asked again.
                again = self.granted(connection, policy, room, open_actions, required)
                return await again if isawaitable(again) else again
            if allowed is None:
                continue
            known.note(action, room, allowed, clock.monotonic())
            if allowed:
                granted.add(action)
        return frozenset(granted)

    def _rule_allows(
        self, connection: Connection, policy: RoomPolicy, room: str, action: str, required: Sequence[str]
    ) -> bool:
        rule = policy.rule(action)
        if rule is None:
            # Without `authorize`, clients may do all but publish.
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
    # None: a `Reject` of an action that is not required: not allowed now, and the answer is not kept.
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
    """Whether an answer allows an action. A `Refused` or `Reject` may be returned as well as raised.

    Raises:
        TypeError: the answer is a mistake that would count as True, such as a coroutine function.
    """
    if isinstance(answer, (Refused, Reject)):
        return False
    return bool(check_answer(f"{who} must return True or False", answer))


async def _ready(answer: Any) -> Any:
    return answer


class Answers:
    """The application's answers for one connection: 256 at most, each for 300 s."""

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[bool, float]] = {}

    def find(self, action: str, room: str, now: float) -> bool | None:
        """Whether an action was allowed; None: there is no answer, or it has expired."""
        answer = self._answers.get((action, room))
        return None if answer is None or now >= answer[1] else answer[0]

    def note(self, action: str, room: str, allowed: bool, now: float) -> None:
        """Keeps an answer."""
        if len(self._answers) >= MAX_ANSWERS:
            # The oldest answer is forgotten: the names of rooms come from clients.
            self._answers.pop(next(iter(self._answers)))
        self._answers[action, room] = (allowed, now + AGE)


MAX_ANSWERS = 256
"""Answers of one connection: two for each room that it may be in by default; 128 KB at most."""

AGE = 300.0
"""Seconds for which an answer holds, unless `Server.reauthorize` is called."""
