"""The application's hooks for what clients publish: they change a message, refuse it, or store it before it is
numbered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from inspect import isawaitable
from typing import Any, NamedTuple

import orjson

from fanwire.backplane.base import Unavailable
from fanwire.client.message import Message
from fanwire.connection import Connection
from fanwire.errors import Overloaded
from fanwire.handlers.calls import ApplicationCalls, name_of
from fanwire.handlers.current_message import running
from fanwire.observability.health import Health
from fanwire.protocol.envelopes import Incoming, Refusal
from fanwire.reject import reject_of
from fanwire.rooms.rules import Matcher, matcher
from fanwire.values.encoding import encode

__all__ = ["OnPublish", "PublishHook", "PublishHooks"]

OnPublish = Callable[[Connection, Message], Any]
"""Gets what a client publishes. Returns None or the changed value, or an awaitable of it."""

Payload = tuple["bytes | str", bool]
"""What is published, and whether it is JSON."""


class PublishHook(NamedTuple):
    """A hook and the rooms that it is for, as `Server.on_publish` declares it."""

    pattern: str
    handler: OnPublish


class PublishHooks:
    """Calls the hook of a room. On the loop's thread only.

    Args:
        hooks: in their order; the first whose pattern matches counts.
        calls: runs coroutines of the application.
        health: logs and counts errors of hooks.
        max_nesting: levels of lists and maps that a changed value may have.
    """

    def __init__(self, hooks: Sequence[PublishHook], calls: ApplicationCalls, health: Health, max_nesting: int) -> None:
        self._hooks: list[tuple[Matcher, OnPublish]] = [(matcher(hook.pattern), hook.handler) for hook in hooks]
        self._calls = calls
        self._health = health
        self._max_nesting = max_nesting
        # Bounded: the names of rooms come from clients.
        self.of = lru_cache(maxsize=4096)(self._find)

    def _find(self, room: str) -> OnPublish | None:
        return next((handler for matches, handler in self._hooks if matches(room)), None)

    def apply(
        self,
        hook: OnPublish,
        connection: Connection,
        incoming: Incoming,
        room: str,
        payload: Payload,
        value: Any,
    ) -> Payload | Awaitable[Payload]:
        """Calls a hook, and returns what is to be published.

        Args:
            hook: what `of` has returned.
            connection: the client's.
            incoming: the client's message.
            room: the name of the room.
            payload: what the client publishes.
            value: the value of the room's schema; None: the room has none.

        Raises:
            Reject: the hook has refused the message.
            Refusal: the hook has failed.
            Overloaded, Unavailable: what the hook has tried has failed for now.
        """
        data, json = payload
        if value is None:
            value = orjson.loads(data) if json else data
        message = Message(value, room, id=incoming.id, key=incoming.key)
        try:
            with running(connection, incoming.id):
                result = hook(connection, message)
            if isawaitable(result):
                return self._later(hook, connection, incoming, payload, result)
            return self._changed(payload, result)
        except BaseException as error:
            raise self._failure(hook, connection, error) from error

    async def _later(
        self,
        hook: OnPublish,
        connection: Connection,
        incoming: Incoming,
        payload: Payload,
        result: Awaitable[Any],
    ) -> Payload:
        # The awaitable is a part of the hook, so it sees the same `Connection.message_id`.
        with running(connection, incoming.id):
            try:
                return self._changed(payload, await self._calls.wait(result, name_of(hook), connection))
            except Exception as error:
                raise self._failure(hook, connection, error) from error

    def _changed(self, payload: Payload, result: Any) -> Payload:
        return payload if result is None else encode(result, self._max_nesting)

    def _failure(self, hook: OnPublish, connection: Connection, error: BaseException) -> BaseException:
        if isinstance(error, (Overloaded, Unavailable)) or reject_of(error) is not None:
            return error
        self._health.handler_error(name_of(hook), connection, error)
        return Refusal("internal", "the server failed to do this")
