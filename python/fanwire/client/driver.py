"""Runs the machine: one connection at a time, its timers, and the tasks that connect. Actions that are not about the
connection go to the owner."""

from __future__ import annotations

import asyncio
import logging
import ssl as tls
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

from fanwire.client.actions import Action, Close, Connect, Drop, Renew, Send, Vouch
from fanwire.client.codec import ClientCodec
from fanwire.client.link import ClientLink, Unreachable
from fanwire.client.machine import Machine
from fanwire.client.token_source import Token, fetch_token
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
        codec: the encoding.
        owner: does the actions that are not about the connection.
        loop: the running loop.
        url: the URL with its query, to which the session's fields are added.
        token: see `fanwire.client.connect`.
        ssl: for wss; None: the system's certificates.
        headers: additional headers of the upgrade.
        open_timeout: seconds for the upgrade, and for a call of the token's function.
    """

    def __init__(
        self,
        machine: Machine,
        codec: ClientCodec,
        owner: DriverOwner,
        loop: asyncio.AbstractEventLoop,
        *,
        url: str,
        token: Token | None,
        ssl: tls.SSLContext | None,
        headers: Mapping[str, str],
        open_timeout: float,
    ) -> None:
        self._machine = machine
        self._codec = codec
        self._owner = owner
        self._loop = loop
        self._url = url
        # The log shows no query, which may hold a secret.
        self._place = urlunsplit(urlsplit(url)._replace(query=""))
        self._token = token
        # A refresh token is often valid for one call, so the function is called once at a time.
        self._token_turn = asyncio.Lock()
        self._is_warned = False
        self._ssl = ssl
        self._headers = dict(headers)
        self._open_timeout = open_timeout
        self._link: ClientLink | None = None
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

    # What the link calls.

    def link_opened(self, link: ClientLink) -> None:
        """The link has done its upgrade."""
        if link is self._link:
            self._machine.opened(self._loop.time())
            self.perform()

    def link_received(self, link: ClientLink, message: bytes | str) -> None:
        """The link has received a whole message."""
        if link is self._link:
            self._machine.received(message, self._loop.time())
            self.perform()

    def link_violated(self, link: ClientLink, code: int, reason: str) -> None:
        """The server has broken RFC 6455 on this link."""
        if link is self._link:
            self._machine.violated(code, reason, self._loop.time())
            self.perform()

    def link_lost(self, link: ClientLink) -> None:
        """The link has lost its connection."""
        if link is self._link:
            self._link = None
            self._machine.lost(link.close_code, link.close_reason, self._loop.time())
            self.perform()

    # The actions of the machine.

    def _act(self, action: Action) -> None:
        if isinstance(action, Send):
            if self._link is not None:
                self._link.send(action.frame)
        elif isinstance(action, Connect):
            self._link = None
            self._dial = self._loop.call_later(action.delay, self._dials, action.query)
        elif isinstance(action, Drop):
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
        if self._dial is not None:
            self._dial.cancel()
        if self._link is not None:
            self._link.close(code)

    def _dials(self, query: dict[str, str]) -> None:
        self._dial = None
        self._spawn(self._connect(query))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, query: dict[str, str]) -> None:
        link = self._link = ClientLink(self, self._codec)
        try:
            headers = await self._authorized()
            if self._link is link:
                await link.connect(_with_query(self._url, query), headers, self._ssl, self._open_timeout)
                await link.ended()
            if self._link is link:
                # The connection was cut between the upgrade and the first message.
                self.link_lost(link)
        except asyncio.CancelledError:
            # The loop may end now, and would leave the connection to the garbage collector.
            link.abort()
            raise
        except Exception as error:  # noqa: BLE001 - a token's function may raise anything, and is called again
            if self._link is link:
                self._link = None
                self._unreachable(error)

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

    async def _authorized(self) -> dict[str, str]:
        token = await self._fetch(self._token) if callable(self._token) else self._token
        return self._headers if token is None else {**self._headers, "Authorization": f"Bearer {token}"}

    def _renews(self) -> None:
        if callable(self._token):
            self._spawn(self._renew(self._token))
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


def _with_query(url: str, query: dict[str, str]) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, urlencode(query)]))))
