"""Assertions on what a room received, in words: each waits with a deadline, and says what came and what was missing."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from fanwire.client import Message, Room
from fanwire.errors import FanwireError, RoomEnded
from fanwire.testing.publications import RecordedPublish
from fanwire.testing.waiting import WAIT, within
from fanwire.values.checks import check_number

__all__ = ["Expectation", "expect", "received"]

QUIET = 0.1
"""Seconds in which nothing comes, until it counts as sure that nothing comes."""

SHOWN = 20
"""Values of a text at most, so that a failure of a large test can be read."""


class Readable(Protocol):
    """What can be expected to receive: a `Room`, `Client.messages()`, a `RawClient`, or a `PublishedRoom`."""

    def __anext__(self) -> Awaitable[Any]: ...


def expect(source: Readable, *, within: float = WAIT) -> Expectation:
    """Begins an assertion. It takes messages from the source, as `async for` does: each assertion goes on after the
    last message of the one before.

    Args:
        source: a `Room`, `Client.messages()`, a `RawClient`, or a room of `Publications`.
        within: the most seconds to wait in all, by the system's clock.

    Example::

        async def a_price_arrives(room: fanwire.Room) -> None:
            await expect(room).to_receive({"eur": 1.08})
            await expect(room).to_receive_nothing()
    """
    return Expectation(source, check_number("within", within, least=0))


async def received(source: Readable, *, quiet: float = QUIET) -> list[Any]:
    """Takes the messages that have come, until none has come for `quiet` seconds. Returns their data; an error or the
    end of the source ends the list."""
    return [data_of(message) for message in await _taken(source, check_number("quiet", quiet, least=0))]


class Expectation:
    """The assertions about one source. `expect` makes it.

    All raise `AssertionError` if they do not hold; its text shows what was expected, what came and what is missing.
    Values are compared with `==`, so `pytest.approx` and `unittest.mock.ANY` can stand for a value.
    """

    def __init__(self, source: Readable, seconds: float) -> None:
        self._source = source
        self._seconds = seconds
        self._name = name_of(source)

    async def to_receive(self, *values: Any) -> list[Any]:
        """The next messages have exactly these data, in this order.

        Args:
            values: the data of each message.

        Returns:
            The messages, to look at more of them, such as `seq` or `gap`.
        """
        __tracebackhide__ = True
        messages: list[Any] = []
        end = await self._collect(messages, lambda: len(messages) < len(values) and _matches(messages, values))
        if not _matches(messages, values):
            raise AssertionError(self._text(f"message {len(messages)} is not the expected one", values, messages))
        if len(messages) < len(values):
            what = f"{_count(len(messages))} of {len(values)} {end}"
            raise AssertionError(self._text(what, values, messages, values[len(messages) :]))
        return messages

    async def to_receive_in_any_order(self, *values: Any) -> list[Any]:
        """The next messages have exactly these data, in any order. Arguments and result are those of `to_receive`."""
        __tracebackhide__ = True
        messages: list[Any] = []
        missing = list(values)

        def goes_on() -> bool:
            if messages:
                # The last one; those before were found.
                if (data := data_of(messages[-1])) not in missing:
                    return False
                missing.remove(data)
            return bool(missing)

        end = await self._collect(messages, goes_on)
        if len(messages) + len(missing) > len(values):
            raise AssertionError(
                self._text(f"message {len(messages)} is not the expected one", values, messages, missing)
            )
        if missing:
            what = f"{_count(len(messages))} of {len(values)} {end}"
            raise AssertionError(self._text(what, values, messages, missing))
        return messages

    async def to_reach(self, value: Any) -> Any:
        """A message with this data comes, after any others. For rooms whose values replace each other ("latest"), where
        it depends on the reader's speed which ones it gets.

        Returns:
            The message.
        """
        __tracebackhide__ = True
        messages: list[Any] = []
        end = await self._collect(messages, lambda: not messages or data_of(messages[-1]) != value)
        if not messages or data_of(messages[-1]) != value:
            raise AssertionError(self._text(f"no such message {end}", (value,), messages))
        return messages[-1]

    async def to_receive_nothing(self, *, seconds: float = QUIET) -> None:
        """No message waits, and none comes for some time. A room that ends meanwhile has received nothing.

        Args:
            seconds: how long to wait, by the system's clock.
        """
        __tracebackhide__ = True
        messages = await _taken(self._source, check_number("seconds", seconds, least=0), most=1)
        if messages:
            # It is decided. What else has come is shown.
            messages += await _taken(self._source, 0, most=SHOWN)
            raise AssertionError(self._text("it was to receive nothing", (), messages))

    async def to_end(self, code: str | None = None) -> RoomEnded | None:
        """The room ends, without another message.

        Args:
            code: the reason, `RoomEnded.code`, such as "removed"; None: any.

        Returns:
            The error of a `Room`; None: the source is no room, or the application has ended it.
        """
        __tracebackhide__ = True
        messages: list[Any] = []
        try:
            messages.append(await within(_next(self._source), self._seconds))
        except asyncio.TimeoutError:
            raise AssertionError(f"{self._name} did not end within {self._seconds:g} s") from None
        except (StopAsyncIteration, FanwireError):
            pass
        if messages:
            raise AssertionError(self._text("it was to end", (), messages))
        ended = self._source.ended if isinstance(self._source, Room) else None
        if code is not None and (ended is None or ended.code != code):
            raise AssertionError(f"{self._name} was to end with {code!r}, and ended with {ended and ended.code!r}")
        return ended

    async def _collect(self, messages: list[Any], goes_on: Callable[[], bool]) -> str:
        """Takes messages while the condition holds; returns how it ended otherwise."""
        loop = asyncio.get_running_loop()
        reading = loop.create_task(_read(self._source, messages, goes_on))
        try:
            return await within(reading, self._seconds)
        except asyncio.TimeoutError:
            return f"came within {self._seconds:g} s"

    def _text(self, what: str, values: Sequence[Any], messages: Sequence[Any], missing: Sequence[Any] = ()) -> str:
        lines = [f"{self._name}: {what}"]
        if values:
            lines.append(f"  expected: {_shown(values)}")
        lines.append(f"  received: {_shown([data_of(message) for message in messages])}")
        if missing:
            lines.append(f"  missing:  {_shown(missing)}")
        lines += [
            f"  gap:      before message {number}: {gap}"
            for number, message in enumerate(messages, 1)
            if (gap := getattr(message, "gap", None)) is not None
        ]
        return "\n".join(lines)


def data_of(message: Any) -> Any:
    """The data of a message; a message of a `RawClient` is its data."""
    return message.data if isinstance(message, (Message, RecordedPublish)) else message


def name_of(source: object) -> str:
    """The name of a source, for texts of errors."""
    name = getattr(source, "name", None)
    return f"room {name!r}" if isinstance(name, str) and "://" not in name else str(name or "the messages")


async def _next(source: Readable) -> Any:
    # An awaitable need not be a coroutine, of which a task is made.
    return await source.__anext__()


async def _read(source: Readable, messages: list[Any], goes_on: Callable[[], bool]) -> str:
    try:
        while goes_on():
            messages.append(await source.__anext__())
    except StopAsyncIteration:
        return "came before the end"
    except FanwireError as error:
        return f"came before the end: {error}"
    return "came"


async def _taken(source: Readable, quiet: float, most: float = math.inf) -> list[Any]:
    """Takes messages until none has come for some time, or there are so many."""
    messages: list[Any] = []
    with contextlib.suppress(asyncio.TimeoutError, StopAsyncIteration, FanwireError):
        while len(messages) < most:
            messages.append(await within(_next(source), quiet))
    return messages


def _matches(messages: Sequence[Any], values: Sequence[Any]) -> bool:
    return all(data_of(message) == value for message, value in zip(messages, values, strict=False))


def _count(number: int) -> str:
    return "none" if number == 0 else f"only {number}"


def _shown(values: Sequence[Any]) -> str:
    more = f", ... ({len(values)} in all)" if len(values) > SHOWN else ""
    return ", ".join(repr(value) for value in values[:SHOWN]) + more if values else "nothing"
