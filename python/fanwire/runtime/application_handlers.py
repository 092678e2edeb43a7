"""The handlers that an application has declared, as the host calls them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fanwire.connection import Connection
from fanwire.rooms.inputs import Inputs
from fanwire.rooms.publish_hooks import PublishHook

__all__ = ["Handler", "Handlers", "Method"]

Handler = Callable[..., Awaitable[None] | None]


class Method(msgspec.Struct, frozen=True):
    """A message type that the application has declared with `Server.on`."""

    handler: Callable[[Connection, Any], Any]
    schema: Any = None


@dataclass
class Handlers:
    """All handlers of an application. A server reads them when it starts."""

    on_connect: Handler | None = None
    on_message: Handler | None = None
    on_disconnect: Handler | None = None
    on_join: Handler | None = None
    on_leave: Handler | None = None
    on_publish: list[PublishHook] = field(default_factory=list)
    methods: dict[str, Method] = field(default_factory=dict)
    inputs: list[Inputs] = field(default_factory=list)
    ticks: dict[int, list[Callable[..., Awaitable[None] | None]]] = field(default_factory=dict)
