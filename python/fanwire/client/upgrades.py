"""Takes a session from a fallback transport to the best one, while the present link goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from math import inf
from typing import Any, Protocol

from fanwire.client.chooser import Chooser
from fanwire.client.dialer import dial_best
from fanwire.client.link import ClientLink, LinkTarget
from fanwire.client.machine import Machine
from fanwire.codes import CloseCode

__all__ = ["Upgrades", "UpgradesOwner"]

logger = logging.getLogger("fanwire.client")

LATECOMER = 15.0
"""Seconds in which the server may still take a link that was given up for the newest one of the session: proxies hold
a request back for some seconds. What it closes then is the client's own."""


class UpgradesOwner(Protocol):
    """The driver."""

    async def authorized(self) -> LinkTarget:
        """The server, with a new token if there is a function for it."""

    async def run(self, link: ClientLink, *, is_wanted: bool, is_switch: bool = False) -> None:
        """Adopts a link and waits for its end."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs some work in a task."""

    def link_lost(self, link: ClientLink) -> None:
        """The link has lost its connection."""

    def perform(self) -> None:
        """Does all pending actions of the machine."""


class Upgrades:
    """The attempts of one client, one at a time.

    Args:
        chooser: when to try.
        machine: is told.
        owner: the driver.
        loop: the running loop.
    """

    def __init__(
        self, chooser: Chooser, machine: Machine, owner: UpgradesOwner, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._chooser = chooser
        self._machine = machine
        self._owner = owner
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        # Polls wait for it: they would tell the server a higher count.
        self._is_settled = asyncio.Event()
        self._is_settled.set()
        self._lost: ClientLink | None = None
        self._given_up = -inf

    def plan(self) -> None:
        """Sets the time of the next attempt."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._chooser.upgrade_at < inf:
            self._timer = self._loop.call_at(self._chooser.upgrade_at, self._begin)

    def cancel(self) -> None:
        """Gives up the attempt under way, and plans none."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        task, self._task = self._task, None
        if task is not None:
            self.gave_up()
            self._lost = None
            self._is_settled.set()
            task.cancel()

    async def settled(self) -> None:
        """Waits while an attempt is under way."""
        await self._is_settled.wait()

    @property
    def lost(self) -> ClientLink | None:
        """The link that was lost while an attempt is under way, if that was not reported; None: there is none."""
        return self._lost

    def gave_up(self) -> None:
        """A link was given up that the server may still take for the newest one."""
        self._given_up = self._loop.time()

    def takes_over(self, link: ClientLink) -> bool:
        """Whether the link was lost because that of the attempt under way takes its place, or may have been: a poll or
        a POST finds its link gone, and has no code. If the attempt fails, the loss is reported then."""
        if self._is_settled.is_set() or link.close_code not in (CloseCode.TAKEN_OVER, CloseCode.ABNORMAL):
            return False
        self._lost = link
        return True

    def is_own(self, code: int) -> bool:
        """Whether a close code may be about a link that this client has given up."""
        return code == CloseCode.TAKEN_OVER and self._loop.time() < self._given_up + LATECOMER

    def _begin(self) -> None:
        self._timer = None
        self._task = self._owner.spawn(self._run())

    async def _run(self) -> None:
        task = asyncio.current_task()
        link: ClientLink | None = None
        try:
            target = await self._owner.authorized()
            query = self._machine.switching()
            if query is not None:
                self._is_settled.clear()
                link = await dial_best(self._chooser, target, query)
        except Exception as error:  # noqa: BLE001 - a token's function may raise anything, and is called again
            logger.info("still no %s: %s", self._chooser.best, error)
        if self._task is not task:
            if link is not None:
                link.abort()
            return
        self._task = None
        self._is_settled.set()
        if link is not None:
            self._lost = None
            await self._owner.run(link, is_wanted=True, is_switch=True)
        else:
            self._stay()

    def _stay(self) -> None:
        """The present link goes on, or was lost meanwhile. A lost one reports no count: the server may have gone back
        to that of the attempt."""
        self.gave_up()
        lost, self._lost = self._lost, None
        if lost is not None:
            self._owner.link_lost(lost)
            return
        now = self._loop.time()
        self._machine.stayed(now)
        self._chooser.upgrade_failed(now)
        self._owner.perform()
        self.plan()
