"""Runs the machine: its timers, one link at a time, and the tasks that connect. Actions that are not about the link go
to the owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from fanwire.client.actions import Action, Close, Connect, Drop, Renew, Send, Vouch
from fanwire.client.chooser import Chooser
from fanwire.client.dialer import dial_round
from fanwire.client.link import ClientLink, LinkTarget, Unreachable
from fanwire.client.machine import Machine
from fanwire.client.token_source import Token, fetch_token
from fanwire.client.upgrades import Upgrades
from fanwire.codes import CloseCode
from fanwire.state import ConnectionState

__all__ = ["Driver", "DriverOwner", "Token"]

logger = logging.getLogger("fanwire.client")


class DriverOwner(Protocol):
    """The object that the machine works for: the client's runtime."""

    def act(self, action: Action) -> None:
        """Does an action that is not about the connection."""

    def performed(self) -> None:
        """All pending actions are done."""


class Driver:
    """Tells the machine what happens, and does its actions.

    Args:
        machine: the machine, not started.
        target: the server.
        chooser: which transport is tried.
        owner: does the actions that are not about the connection.
        loop: the running loop.
        token: see `fanwire.client.connect`.
        open_timeout: seconds for a call of the token's function.
    """

    def __init__(
        self,
        machine: Machine,
        target: LinkTarget,
        chooser: Chooser,
        owner: DriverOwner,
        loop: asyncio.AbstractEventLoop,
        *,
        token: Token | None,
        open_timeout: float,
    ) -> None:
        self._machine = machine
        self._target = target
        self._chooser = chooser
        self._owner = owner
        self._loop = loop
        # The log shows no query, which may hold a secret.
        self._place = urlunsplit(urlsplit(target.url)._replace(query=""))
        self._token = token
        # A refresh token is often valid for one call, so the function is called once at a time.
        self._token_turn = asyncio.Lock()
        self._is_warned = False
        self._open_timeout = open_timeout
        self._link: ClientLink | None = None
        # The attempt that counts: those before it were given up.
        self._attempt: object = None
        self._upgrades = Upgrades(chooser, machine, self, loop)
        self._is_performing = False
        self._dial: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        # A timer of uvloop that is due at once does not know its time.
        self._alarm_at = 0.0
        # One for each connection: the current one, and some before it that have not yet come to their end. And those
        # that call for a new token.
        self._tasks: set[asyncio.Task[None]] = set()

    def perform(self) -> None:
        """Does all pending actions of the machine."""
        if self._is_performing:
            # Called from within a callback: the loop below does these actions, too.
            return
        self._is_performing = True
        try:
            while actions := self._machine.take():
                for action in actions:
                    self._act(action)
        finally:
            self._is_performing = False
        self._owner.performed()
        self._set_alarm()

    async def finish(self) -> None:
        """Closes everything: timers, the connection and all tasks."""
        for timer in (self._dial, self._alarm):
            if timer is not None:
                timer.cancel()
        self._give_up()
        link, self._link = self._link, None
        if link is not None:
            link.abort()
        if self._machine.state is not ConnectionState.CLOSED:
            self._machine.close()
            self._machine.lost(CloseCode.ABNORMAL, "", self._loop.time())
            self.perform()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def transport(self) -> str | None:
        """The transport of the present link; None: there is no link."""
        return None if self._link is None else self._link.transport

    @property
    def is_compressed(self) -> bool:
        """Whether the server of the present link has agreed to compression."""
        return self._link is not None and self._link.is_compressed

    # What the link calls.

    def link_received(self, link: ClientLink, message: bytes | str) -> None:
        """The link has received a whole message."""
        if link is self._link:
            self._machine.received(message, self._loop.time(), self.perform)
            self.perform()

    def link_violated(self, link: ClientLink, code: int, reason: str) -> None:
        """The server has broken a rule of the transport."""
        if link is self._link:
            self._machine.violated(code, reason, self._loop.time())
            self.perform()

    def link_lost(self, link: ClientLink) -> None:
        """The link has lost its connection."""
        if link is self._link and not self._upgrades.takes_over(link):
            self._link = None
            now = self._loop.time()
            if self._upgrades.is_own(link.close_code):
                self._machine.overtaken(now)
            else:
                self._machine.lost(link.close_code, link.close_reason, now)
            self.perform()

    async def link_count(self, link: ClientLink) -> int:
        """The count that the next poll tells."""
        await self._upgrades.settled()
        return self._machine.session.polled()

    # What the upgrades call.

    async def authorized(self) -> LinkTarget:
        """The server, with a new token if there is a function for it."""
        token = await self._fetch(self._token) if callable(self._token) else self._token
        if token is None:
            return self._target
        return replace(self._target, headers={**self._target.headers, "Authorization": f"Bearer {token}"})

    def adopt(self, link: ClientLink, *, is_switch: bool = False) -> None:
        """The session goes on over this link, which has brought a first message."""
        old, self._link = self._link, link
        now = self._loop.time()
        if is_switch:
            self._machine.switched(now)
        else:
            self._machine.opened(now)
        if old is not None:
            old.abort()
        self._chooser.opened(link.transport, now)
        link.adopt(self)
        self.perform()
        self._upgrades.plan()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs some work in a task, which ends with the driver."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # The actions of the machine.

    def _act(self, action: Action) -> None:
        if isinstance(action, Send):
            if self._link is not None:
                self._link.send(action.frame)
        elif isinstance(action, Connect):
            self._give_up()
            self._link = None
            self._dial = self._loop.call_later(action.delay, self._dials, action.query)
        elif isinstance(action, Drop):
            self._give_up()
            if self._link is not None:
                level = logging.INFO if action.is_asked else logging.WARNING
                logger.log(level, "connection to %s dropped: %s", self._place, action.reason)
                self._link.drop(action.code, action.reason)
                self._link = None
        elif isinstance(action, Close):
            self._close(action.code)
        elif isinstance(action, Renew):
            self._renews()
        elif isinstance(action, Vouch):
            if self._link is not None:
                self._link.vouch()
        else:
            self._owner.act(action)

    def _close(self, code: int) -> None:
        lost = self._upgrades.lost
        self._give_up()
        if self._dial is not None:
            self._dial.cancel()
        if lost is not None:
            # No attempt takes its place now.
            self.link_lost(lost)
        elif self._link is not None:
            self._link.close(code)

    def _give_up(self) -> None:
        """What is being dialled does not count any more."""
        self._attempt = None
        self._upgrades.cancel()
        self._chooser.closed()

    def _dials(self, query: dict[str, str]) -> None:
        self._dial = None
        self.spawn(self._connect(query))

    async def _connect(self, query: dict[str, str]) -> None:
        attempt = self._attempt = object()
        try:
            target = await self.authorized()
            if self._attempt is not attempt:
                return
            link = await self._dial_round(target, query)
        except Exception as error:  # noqa: BLE001 - a token's function may raise anything, and is called again
            if self._attempt is attempt:
                self._unreachable(error)
            return
        await self.run(link, is_wanted=self._attempt is attempt)

    async def _dial_round(self, target: LinkTarget, query: dict[str, str]) -> ClientLink:
        """Tries the transports. The server may still take an attempt that has failed for the newest link."""
        first = self._chooser.round()[0][0]
        try:
            link = await dial_round(self._chooser, target, query)
        except Unreachable:
            self._upgrades.gave_up()
            raise
        if link.transport != first:
            self._upgrades.gave_up()
        return link

    async def run(self, link: ClientLink, *, is_wanted: bool, is_switch: bool = False) -> None:
        """Adopts a link and waits for its end. One that is not wanted any more is closed."""
        try:
            if is_wanted:
                self.adopt(link, is_switch=is_switch)
            else:
                link.abort()
            await link.ended()
        except asyncio.CancelledError:
            # The loop may end now, and would leave the connection to the garbage collector.
            link.abort()
            await link.ended()
            raise

    def _unreachable(self, error: Exception) -> None:
        status = error.status if isinstance(error, Unreachable) else None
        why = str(error) or repr(error) if status is None else f"the server answered {status}"
        logger.warning("cannot connect to %s: %s", self._place, why)
        now = self._loop.time()
        if not isinstance(error, Unreachable):
            self._machine.lost(CloseCode.ABNORMAL, repr(error), now)
        elif error.status is not None:
            self._machine.refused(error.status, error.retry_after, now, is_renewable=callable(self._token))
        else:
            self._machine.unreachable(error.failure, str(error), now)
        self.perform()

    def _renews(self) -> None:
        if callable(self._token):
            self.spawn(self._renew(self._token))
        elif not self._is_warned:
            self._is_warned = True
            logger.warning("%s asks for a new token, but the argument `token` is not a function", self._place)

    async def _renew(self, function: Callable[[], str | Awaitable[str]]) -> None:
        try:
            self._machine.commands.renewed(await self._fetch(function))
        except Exception as error:  # noqa: BLE001 - as above
            logger.warning("no new token for %s: %s", self._place, str(error) or repr(error))
            self._machine.commands.renewal_failed(self._loop.time())
        self.perform()

    async def _fetch(self, function: Callable[[], str | Awaitable[str]]) -> str:
        async with self._token_turn:
            return await fetch_token(function, self._open_timeout)

    def _set_alarm(self) -> None:
        deadline = self._machine.deadline
        if deadline is None:
            return
        # Each message puts the heartbeat off; a timer that rings too early costs less than one set anew every time.
        if self._alarm is None or self._alarm_at > deadline:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._loop.call_at(deadline, self._rings)
            self._alarm_at = deadline

    def _rings(self) -> None:
        self._alarm = None
        self._machine.tick(self._loop.time(), None if self._link is None else self._link.network)
        self.perform()
