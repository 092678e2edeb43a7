"""Chromium, driven by the DevTools protocol."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from helpers.browser.page import Page, Tabs
from helpers.browser.process import Process, program_of
from helpers.browser.remote import Refused, Remote

FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--metrics-recording-only",
    "--password-store=basic",
    "--use-mock-keychain",
    "--no-proxy-server",
    "--ignore-certificate-errors",
    "--remote-debugging-port=0",
    # Timers of a hidden tab run once a minute after 5 minutes; after 2 seconds here.
    "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/2",
)


def start(folder: Path) -> Process:
    """Starts it with a profile below the folder."""
    program = program_of("chromium")
    assert program is not None
    profile = folder / "profile"
    port = profile / "DevToolsActivePort"

    def ready() -> str | None:
        lines = port.read_text().split("\n") if port.exists() else []
        return f"ws://127.0.0.1:{lines[0]}{lines[1]}" if len(lines) == 2 else None

    # Its sandbox does not work for root.
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    return Process([program, *FLAGS, *root, f"--user-data-dir={profile}", "about:blank"], folder, ready)


class ChromiumTabs(Tabs):
    """The tabs of one test."""

    _remote: Remote
    _context: str

    def __init__(self) -> None:
        super().__init__()
        self._sessions: dict[str, ChromiumPage] = {}

    @classmethod
    async def connect(cls, process: Process) -> ChromiumTabs:
        """A new context of its own."""
        tabs = cls()
        tabs._remote = await Remote.connect(process.url, tabs._heard)
        tabs._context = (await tabs._remote.ask("Target.createBrowserContext"))["browserContextId"]
        return tabs

    async def close(self) -> None:
        await self._remote.ask("Target.disposeBrowserContext", {"browserContextId": self._context})
        await self._remote.close()

    async def _open(self, in_window: bool) -> Page:
        # Without `newWindow` the first tab of a context gets a window all the same; with false it is refused.
        asked = {"url": "about:blank", "browserContextId": self._context} | ({"newWindow": True} if in_window else {})
        return await self._adopt((await self._remote.ask("Target.createTarget", asked))["targetId"])

    async def _known(self) -> set[str]:
        infos = (await self._remote.ask("Target.getTargets"))["targetInfos"]
        return {
            info["targetId"]
            for info in infos
            if info["type"] == "page" and info.get("browserContextId") == self._context
        }

    async def _adopt(self, name: str) -> Page:
        asked = {"targetId": name, "flatten": True}
        session = (await self._remote.ask("Target.attachToTarget", asked))["sessionId"]
        page = self._sessions[session] = ChromiumPage(self._remote, name, session)
        for domain in ("Page", "Runtime", "Network"):
            await page.ask(f"{domain}.enable")
        return page

    def _heard(self, event: str, what: dict[str, Any], session: str | None) -> None:
        if event == "Runtime.exceptionThrown" and session in self._sessions:
            self._sessions[session].errors.append(described(what["exceptionDetails"]))


class ChromiumPage(Page):
    """A tab."""

    def __init__(self, remote: Remote, target: str, session: str) -> None:
        super().__init__()
        self._remote, self._target, self._session = remote, target, session

    async def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """A command to this tab."""
        return await self._remote.ask(method, params, sessionId=self._session)

    async def freeze(self, is_frozen: bool) -> None:
        """Freezes the tab, as Chromium does with tabs that are long in the background; or lets it go on."""
        await self.ask("Page.setWebLifecycleState", {"state": "frozen" if is_frozen else "active"})

    async def offline(self, is_offline: bool) -> None:
        conditions = {"offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await self.ask("Network.emulateNetworkConditions", conditions)

    async def show(self) -> None:
        await self.ask("Page.bringToFront")

    async def close(self) -> None:
        await self._remote.ask("Target.closeTarget", {"targetId": self._target})

    async def _evaluate(self, expression: str) -> str:
        asked = {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = await self.ask("Runtime.evaluate", asked)
        if "exceptionDetails" in answer:
            raise Refused(described(answer["exceptionDetails"]))
        text: str = answer["result"]["value"]
        return text

    async def _navigate(self, url: str) -> None:
        answer = await self.ask("Page.navigate", {"url": url})
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"

    async def _reload(self) -> None:
        await self.ask("Page.reload")

    async def _back(self) -> None:
        history = await self.ask("Page.getNavigationHistory")
        entry = history["entries"][history["currentIndex"] - 1]
        await self.ask("Page.navigateToHistoryEntry", {"entryId": entry["id"]})


def described(details: dict[str, Any]) -> str:
    """What was thrown."""
    thrown = details.get("exception", {})
    return str(thrown.get("description") or thrown.get("value") or details["text"])
