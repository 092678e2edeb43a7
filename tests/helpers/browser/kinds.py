"""Which browsers there are, and the one process that each has for all tests of a run."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from helpers.browser import chromium, firefox
from helpers.browser.page import Tabs
from helpers.browser.process import Process

BROWSERS = ("chromium", "firefox")
PACKAGES = {"chromium": "chromium", "firefox": "firefox-esr", "nginx": "nginx-light"}
"""Of Debian."""


class Browser:
    """A browser that runs until `end`.

    Attributes:
        name: one of BROWSERS.
        process: its processes.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.process: Process = (chromium if name == "chromium" else firefox).start(folder)

    @contextlib.asynccontextmanager
    async def tabs(self) -> AsyncIterator[Tabs]:
        """The tabs of one test, without cookies or storage of others. No script may throw what is not caught."""
        kind = chromium.ChromiumTabs if self.name == "chromium" else firefox.FirefoxTabs
        tabs = await kind.connect(self.process)
        try:
            yield tabs
            assert [error for page in tabs.pages for error in page.errors] == []
        finally:
            await tabs.close()
