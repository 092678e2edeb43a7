"""What tests do with a tab of any browser; the two browsers fill in how."""

from __future__ import annotations

import abc
import asyncio
import json
import time
from typing import Any

from helpers.browser.remote import Refused
from helpers.wait import PROCESS


class Page(abc.ABC):
    """A tab.

    Attributes:
        errors: what its scripts have thrown and not caught.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression, or that of its promise, as JSON has it."""
        text = await self._evaluate(f"(async () => JSON.stringify(await ({expression})) ?? 'null')()")
        return json.loads(text)

    async def until(self, expression: str, what: str = "", seconds: float = PROCESS) -> Any:
        """Waits for an expression to be true, across pages that come and go; returns its value."""
        deadline = time.monotonic() + seconds
        failed: Refused | None = None
        while True:
            try:
                if value := await self.evaluate(expression):
                    return value
            except Refused as error:
                # There is no document for a moment when one takes the place of another.
                failed = error
            if time.monotonic() > deadline:
                raise AssertionError(f"after {seconds:g} s still not so: {what or expression}", failed, self.errors)
            await asyncio.sleep(0.02)

    async def goto(self, url: str) -> None:
        """Opens an address, and waits until the page is loaded."""
        await self._leave(self._navigate(url))

    async def reload(self) -> None:
        """Loads the page again."""
        await self._leave(self._reload())

    async def back(self, url: str) -> bool:
        """Goes back to that address. Returns whether the page was kept as it was (the back/forward cache)."""
        await self._back()
        ready = f"document.readyState === 'complete' && location.href === {json.dumps(url)}"
        await self.until(ready, f"back at {url}")
        return bool(await self.evaluate("window.left === true"))

    async def _leave(self, command: Any) -> None:
        await self.evaluate("window.left = true")
        await command
        await self.until("window.left === undefined && document.readyState === 'complete'", "a new document is loaded")

    @abc.abstractmethod
    async def _evaluate(self, expression: str) -> str: ...

    @abc.abstractmethod
    async def _navigate(self, url: str) -> None: ...

    @abc.abstractmethod
    async def _reload(self) -> None: ...

    @abc.abstractmethod
    async def _back(self) -> None: ...

    @abc.abstractmethod
    async def offline(self, is_offline: bool) -> None:
        """Takes the tab's network away, or gives it back; the page hears `offline` and `online`."""

    @abc.abstractmethod
    async def show(self) -> None:
        """Puts the tab before the others of its window, which are hidden then."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Closes the tab."""


class Tabs(abc.ABC):
    """The tabs of one test: they share cookies and storage with each other, and with nothing else. Each browser has one
    process for all tests.

    Attributes:
        pages: those that were opened.
    """

    def __init__(self) -> None:
        self.pages: list[Page] = []

    async def open(self, url: str | None = None, *, in_window: bool = False) -> Page:
        """Opens a tab in front of the others, or in a window of its own, where it hides none."""
        page = await self._open(in_window)
        self.pages.append(page)
        if url is not None:
            await page.goto(url)
        return page

    async def duplicate(self, page: Page) -> Page:
        """Opens the same address in a second tab with a copy of its `sessionStorage`, as "Duplicate tab" does."""
        before = await self._known()
        await page.evaluate("window.open(location.href, '_blank') !== null")
        deadline = time.monotonic() + PROCESS
        while not (new := await self._known() - before):
            assert time.monotonic() < deadline, "no second tab was opened"
            await asyncio.sleep(0.02)
        twin = await self._adopt(new.pop())
        self.pages.append(twin)
        await twin.until("location.href !== 'about:blank' && document.readyState === 'complete'")
        return twin

    @abc.abstractmethod
    async def _open(self, in_window: bool) -> Page: ...

    @abc.abstractmethod
    async def _known(self) -> set[str]: ...

    @abc.abstractmethod
    async def _adopt(self, name: str) -> Page: ...

    @abc.abstractmethod
    async def close(self) -> None:
        """Closes all tabs."""
