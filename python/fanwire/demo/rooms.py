"""The rooms of the demo: what is kept for their readers, and who may publish. The page shows the regions of this file
beside its panels."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from fanwire.server import Server

__all__ = ["READINGS", "ROOMS", "Line", "declare"]

READINGS = (
    "machine.cpu",
    "machine.memory",
    "machine.network",
    "machine.disk",
    "machine.load",
    "machine.rooms",
    "engine.stats",
)
"""The rooms of readings of this machine."""

ROOMS = ("quotes", "chat", "ticks", *READINGS)
"""All rooms."""


# region chat
class Line(Struct):
    """What clients may publish in the chat room."""

    name: Annotated[str, Meta(max_length=40)]
    text: Annotated[str, Meta(max_length=300)]


# endregion


def declare(server: Server) -> None:
    """Declares the rooms."""
    # region quotes
    server.room("quotes", delivery="latest")
    # endregion
    # region chat
    server.room(
        "chat",
        publish=True,
        schema=Line,
        history=1000,
        presence=True,
    )
    # endregion
    # region ticks
    server.room("ticks", history=1000)
    # endregion
    # region readings
    server.room("machine.*", delivery="latest")
    server.room("engine.*", delivery="latest")
    # endregion
