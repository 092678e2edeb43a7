"""`fanwire publish` and `fanwire subscribe`."""

from __future__ import annotations

import sys
from typing import Any

import click
import uvloop

from fanwire.cli.address import check_room, server_url
from fanwire.cli.lines import read_lines
from fanwire.cli.option_values import check_key
from fanwire.cli.publish import publish as publish_lines
from fanwire.cli.subscribe import subscribe as subscribe_lines
from fanwire.client.chooser import TRANSPORTS

__all__ = ["publish", "subscribe"]

_api_key = click.option(
    "--api-key", callback=check_key, envvar="FANWIRE_API_KEY", show_envvar=True, help="API key or token for the server."
)
_transport = click.option(
    "--transport",
    type=click.Choice(TRANSPORTS),
    help="Use this transport only.  [default: the first of them that works]",
)
_compress = click.option(
    "--compress", "is_compressed", is_flag=True, help="Ask the server to compress the messages of a WebSocket."
)
_ca = click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False),
    help="File with the certificates (PEM) to trust, in place of those of the system.",
)


@click.command()
@click.argument("name")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="URL of the server.")
@_api_key
@click.option("--key", help="In a room with the delivery class latest: the key of all messages.")
@click.option(
    "--text/--binary",
    "is_text",
    default=True,
    show_default=True,
    help="Publish the lines as text or as binary messages.",
)
@_ca
@_transport
@_compress
@click.option("--quiet", is_flag=True, help="Do not print the number of messages at the end.")
@click.option("--verbose", is_flag=True, help="Print sessions and attempts to connect on the standard error.")
def publish(name: str, url: str, quiet: bool, verbose: bool, **options: Any) -> None:
    """Publishes each line of the standard input as one message to the room NAME, in order.

    Each line is sent as soon as it is read; up to 64 lines may wait for their answers. When the connection is lost, the
    command reconnects by itself, and publishes no line twice.

    The exit code is 0 at the end of the input, and 1 after the first line that the server refuses. If the server is
    overloaded, the command tries again for up to a minute.
    """
    lines = read_lines(sys.stdin.fileno())
    options["tell"] = tell if verbose else None
    try:
        count = uvloop.run(publish_lines(server_url(url), check_room(name), lines, **options))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if not quiet:
        tell(f"published {count} message{'s' if count != 1 else ''} to {name}")


@click.command()
@click.argument("name")
@click.option("--url", default="ws://127.0.0.1:8000", show_default=True, help="URL of the server.")
@_api_key
@click.option("--count", type=click.IntRange(1), help="End after this number of messages.")
@click.option("--raw", "is_raw", is_flag=True, help="Print binary messages unchanged, not as base64.")
@_ca
@_transport
@_compress
@click.option("--quiet", is_flag=True, help="Do not print a line on the standard error when subscribed.")
@click.option("--verbose", is_flag=True, help="Print sessions, positions and skipped messages on the standard error.")
def subscribe(name: str, url: str, quiet: bool, verbose: bool, **options: Any) -> None:
    """Prints each message of the room NAME as a line: text unchanged, bytes as base64, any other value as JSON.

    When the connection is lost, the command reconnects by itself and continues after the last message. If the server
    no longer keeps some messages that were missed, their numbers are printed on the standard error.

    The exit code is 0 after --count messages and on Ctrl-C, and 1 if the command cannot connect and gives up, or cannot
    write the messages.
    """

    def joined() -> None:
        if not quiet:
            tell(f"subscribed to {name} at {url}")

    options |= {"joined": joined, "tell": tell if verbose else None}
    try:
        uvloop.run(subscribe_lines(server_url(url), check_room(name), sys.stdout.buffer, missed=tell, **options))
    except KeyboardInterrupt:
        # Ctrl-C is the usual end of this command.
        return


def tell(line: str) -> None:
    """Prints a line for people on the standard error."""
    click.echo(line, err=True)
