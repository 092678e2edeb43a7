"""Firefox, driven by WebDriver BiDi."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.browser.page import Page, Tabs
from helpers.browser.process import Process, program_of
from helpers.browser.remote import Refused, Remote

PREFERENCES: dict[str, bool | int | str] = {
    # No requests of its own, and no first pages.
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.blockedURIs.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage": "about:blank",
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "browser.topsites.contile.enabled": False,
    "browser.region.network.url": "",
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.disable_open_during_load": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.proxy.type": 0,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.server": "",
    "toolkit.startup.max_resumed_crashes": -1,
    # One process for pages is enough, and fewer wait for a turn on a small machine.
    "dom.ipc.processCount": 1,
    "dom.ipc.processPrelaunch.enabled": False,
}


def start(folder: Path) -> Process:
    """Starts it with a profile below the folder."""
    program = program_of("firefox")
    assert program is not None
    profile = folder / "profile"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines) + "\n")
    place = profile / "WebDriverBiDiServer.json"

    def ready() -> str | None:
        try:
            where = json.loads(place.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return f"ws://{where['ws_host']}:{where['ws_port']}/session"

    command = [program, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
    return Process([*command, "about:blank"], folder, ready)


class FirefoxTabs(Tabs):
    """The tabs of one test."""

    _remote: Remote
    _context: str

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[str, FirefoxPage] = {}

    @classmethod
    async def connect(cls, process: Process) -> FirefoxTabs:
        """A new context of its own, in a new session of the driver."""
        tabs = cls()
        tabs._remote = await Remote.connect(process.url, tabs._heard)
        await tabs._remote.ask("session.new", {"capabilities": {"alwaysMatch": {"acceptInsecureCerts": True}}})
        await tabs._remote.ask("session.subscribe", {"events": ["log.entryAdded"]})
        tabs._context = (await tabs._remote.ask("browser.createUserContext"))["userContext"]
        return tabs

    async def close(self) -> None:
        await self._remote.ask("browser.removeUserContext", {"userContext": self._context})
        await self._remote.ask("session.end")
        await self._remote.close()

    async def _open(self, in_window: bool) -> Page:
        asked = {"type": "window" if in_window else "tab", "userContext": self._context}
        return await self._adopt((await self._remote.ask("browsingContext.create", asked))["context"])

    async def _known(self) -> set[str]:
        tree = (await self._remote.ask("browsingContext.getTree", {"maxDepth": 0}))["contexts"]
        return {one["context"] for one in tree if one["userContext"] == self._context}

    async def _adopt(self, name: str) -> Page:
        page = self._names[name] = FirefoxPage(self._remote, name)
        return page

    def _heard(self, event: str, what: dict[str, Any], session: str | None) -> None:
        if event == "log.entryAdded" and what["type"] == "javascript" and what["level"] == "error":
            page = self._names.get(what["source"].get("context"))
            # A WebSocket that fails is in the log as well, though nothing was thrown.
            if page is not None and "://" not in what["text"]:
                page.errors.append(what["text"])


class FirefoxPage(Page):
    """A tab."""

    def __init__(self, remote: Remote, name: str) -> None:
        super().__init__()
        self._remote, self._name = remote, name

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """A command to this tab."""
        return await self._remote.ask(method, {"context": self._name, **params})

    async def offline(self, is_offline: bool) -> None:
        conditions = {"type": "offline"} if is_offline else None
        asked = {"networkConditions": conditions, "contexts": [self._name]}
        await self._remote.ask("emulation.setNetworkConditions", asked)

    async def show(self) -> None:
        await self.ask("browsingContext.activate")

    async def close(self) -> None:
        await self.ask("browsingContext.close")

    async def _evaluate(self, expression: str) -> str:
        asked = {
            "expression": expression,
            "target": {"context": self._name},
            "awaitPromise": True,
            "userActivation": True,
        }
        answer = await self._remote.ask("script.evaluate", asked)
        if answer["type"] == "exception":
            raise Refused(answer["exceptionDetails"]["text"])
        text: str = answer["result"]["value"]
        return text

    async def _navigate(self, url: str) -> None:
        await self.ask("browsingContext.navigate", url=url, wait="none")

    async def _reload(self) -> None:
        await self.ask("browsingContext.reload", wait="none")

    async def _back(self) -> None:
        await self.ask("browsingContext.traverseHistory", delta=-1)
