"""`fanwire top`: the live readings of a server, or of all nodes of a cluster, in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import click
import uvloop

from fanwire.admin.operators import LIVE
from fanwire.admin.sums import Newest, summed
from fanwire.cli.address import server_url
from fanwire.cli.connecting import reach
from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.cli.option_values import admin_keys
from fanwire.client import Client, RequestFailed, Room, RoomEnded
from fanwire.rooms.readings_room import READINGS
from fanwire.state import ConnectionState

__all__ = ["top"]


def _key_of(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The key alone: the variable may hold scopes as well, since `fanwire serve` reads it, too."""
    return next(iter(admin_keys(ctx, param, (value,))))


@click.command()
@click.argument("url", default="http://127.0.0.1:8000")
@click.option(
    "--key", callback=_key_of, envvar="FANWIRE_ADMIN_KEY", show_envvar=True, required=True,
    help="Admin key with the scope read.",
)  # fmt: skip
@click.option("--prefix", default="/admin", show_default=True, help="Path of the dashboard at the server.")
@click.option("--once", is_flag=True, help="Print the first readings, and end.")
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False),
    help="File with the certificates (PEM) to trust, in place of those of the system.",
)
def top(url: str, key: str, prefix: str, once: bool, ca: str | None) -> None:
    """Shows the live readings of the server at URL: rates, latency, busy rooms, slow readers, nodes.

    It is the dashboard for a terminal, and needs `pip install 'fanwire[top]'`. Ctrl-C ends it.

    The exit code is 0 on Ctrl-C and with --once, and 1 if the command cannot connect and gives up.
    """
    address = server_url(url).partition("?")[0].rstrip("/") + prefix.rstrip("/") + LIVE
    try:
        uvloop.run(_watch(address, key, ca, once=once))
    except KeyboardInterrupt:
        # Ctrl-C is the usual end of this command.
        return


async def _watch(url: str, key: str, ca: str | None, *, once: bool) -> None:
    """Shows readings until it is cancelled or, with `once`, until the first ones have come.

    Raises:
        CommandFailed: rich is not installed, there is no connection, or the server refuses the key.
        Misuse: the output is no terminal.
    """
    try:
        from rich.console import Console
        from rich.live import Live

        from fanwire.cli.top_screen import screen
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "rich":
            raise
        raise CommandFailed("fanwire top needs rich: pip install 'fanwire[top]'") from error

    console, newest = Console(), Newest()
    if not (once or console.is_terminal):
        raise Misuse("the standard output is no terminal: use --once to print one screen")

    def shown(state: str = "") -> Any:
        now = time.monotonic()
        # What was there last stays on the screen.
        nodes = newest.fresh(now) or newest.known
        rows = max(3, min(20, console.height - 14))
        return screen(summed(nodes) if nodes else None, nodes, newest.silent(now), state, rows, console.width)

    async with reach(url, token=key, ca=ca) as client:
        readings = _readings(await _joined(client))
        if once:
            async for reading in readings:
                newest.take(reading, time.monotonic())
                console.print(shown())
                return
        with Live(shown(), console=console, screen=True, auto_refresh=False) as live:
            drawing = asyncio.ensure_future(_draw(live, client, shown))
            try:
                async for reading in readings:
                    newest.take(reading, time.monotonic())
            finally:
                drawing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await drawing


async def _readings(room: Room) -> AsyncIterator[dict[str, Any]]:
    """The readings that come. That of a node which has stopped, or was not looked at for a moment, is forgotten."""
    try:
        async for message in room:
            if not message.forgotten:
                yield message.data
    except RoomEnded as error:
        raise CommandFailed(f"the readings have ended: {error.text or error.code}") from error


async def _joined(client: Client) -> Room:
    try:
        return await client.join(READINGS)
    except RequestFailed as error:
        raise CommandFailed(f"the server does not show its readings: {error}") from error


async def _draw(live: Any, client: Client, shown: Callable[[str], Any]) -> None:
    """Draws twice a second: also the time since nothing has come."""
    while True:
        is_open = client.state is ConnectionState.OPEN
        live.update(shown("" if is_open else "no connection; what you see is old"), refresh=True)
        await asyncio.sleep(DRAW)


DRAW = 0.5
"""Seconds between two pictures."""
