"""Where a connection goes with a request."""

from __future__ import annotations

from typing import Any

import pytest

from fanwire.http.body import HttpError
from fanwire.http.upgrades import Way, way_of

WEBSOCKET = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]


def way(target: str, headers: list[tuple[bytes, bytes]] | None = None, **changes: Any) -> Way | None:
    given: dict[str, Any] = {
        "method": b"GET", "version": "1.1", "mount": "/fanwire", "has_app": True, "is_first": False,
        "is_upgrade": bool(headers), **changes,
    }  # fmt: skip
    return way_of(given.pop("method"), given.pop("version"), target, headers or [], **given)


def test_websockets() -> None:
    assert way("/fanwire/", WEBSOCKET) is Way.BACK
    assert way("/fanwire/", WEBSOCKET, is_first=True) is Way.BACK
    assert way("/mine", WEBSOCKET) is Way.APPLICATION
    assert way("/mine", WEBSOCKET, has_app=False) is None
    assert way("/mine", WEBSOCKET, version="1.0") is None
    assert way("/mine", WEBSOCKET, method=b"POST") is None


def test_streams() -> None:
    assert way("/fanwire/?transport=sse") is Way.BACK
    assert way("/fanwire/rooms/a") is Way.BACK
    assert way("/?transport=sse") is None
    # The engine has seen it, and would give it here again.
    assert way("/fanwire/?transport=sse", is_first=True) is None


def test_an_upgrade_that_the_parser_does_not_take_for_one_is_refused() -> None:
    with pytest.raises(HttpError) as refused:
        way("/fanwire/", WEBSOCKET, is_upgrade=False)
    assert refused.value.status == 400
