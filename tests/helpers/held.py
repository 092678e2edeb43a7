"""The engine's events of connections, held back until a test wants them, so that it chooses the order in which things
are heard. Newcomers come in all the same."""

from __future__ import annotations

from typing import Any

from helpers.serving import Book


class HeldEngine:
    """An engine whose events wait. Everything else it does at once."""

    def __init__(self, engine: Any, links: Any) -> None:
        self._engine = engine
        self._links = links
        self._waiting: list[tuple[str, int, Any]] = []
        self.is_held = False

    def events(self, *args: int) -> list[tuple[str, int, Any]]:
        """What has happened, unless it is held back."""
        self._waiting += self._engine.events(*args)
        told, self._waiting = self._waiting, []
        if self.is_held:
            self._waiting = [event for event in told if not self._is_of_newcomer(*event)]
            return [event for event in told if self._is_of_newcomer(*event)]
        return told

    def _is_of_newcomer(self, kind: str, link: int, detail: Any) -> bool:
        return kind in NEWCOMERS

    def kinds(self) -> list[str]:
        """What waits, without the bytes."""
        self._waiting += self._engine.events()
        return [kind for kind, _, _ in self._waiting if kind != "data"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


NEWCOMERS = ("request", "gone", "http", "turned_away")


def hold(server: Book) -> HeldEngine:
    """Holds the events of a running server's engine, from now on."""
    parts = server._running
    events = parts.events
    if not isinstance(events.engine, HeldEngine):
        held = HeldEngine(events.engine, parts.host.registry.links)
        events.engine = held
    engine: Any = events.engine
    engine.is_held = True
    return engine


def release(server: Book) -> None:
    """Gives them out."""
    events = server._running.events
    engine: Any = events.engine
    engine.is_held = False
    events.take()
