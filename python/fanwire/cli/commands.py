"""The command line's commands: each is imported only when it runs.

A command for clients need not wait for the server's modules, nor the list of commands for any of them. So the list has
its own line for each command: the first sentence of the command's docstring.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

import click

__all__ = ["COMMANDS", "main"]


class LazyCommand(NamedTuple):
    """A command that is not imported yet.

    Attributes:
        module: the module that has it.
        attribute: its name in the module.
        summary: the first sentence of its help.
    """

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "config": LazyCommand(
        "fanwire.cli.config_commands",
        "config",
        "Checks the settings of a server, and prints what settings there are.",
    ),
    "demo": LazyCommand(
        "fanwire.cli.demo_command",
        "demo",
        "Shows a live page at 127.0.0.1: slow readers, a cut network, three transports, this machine's readings.",
    ),
    "doctor": LazyCommand(
        "fanwire.cli.doctor_command",
        "doctor",
        "Checks this machine, the settings of a server, and the server at URL, and says what is wrong and what to do.",
    ),
    "health": LazyCommand(
        "fanwire.cli.health",
        "health",
        "Asks a server once whether it is ready for new clients (/readyz).",
    ),
    "publish": LazyCommand(
        "fanwire.cli.client_commands",
        "publish",
        "Publishes each line of the standard input as one message to the room NAME, in order.",
    ),
    "recording": LazyCommand(
        "fanwire.cli.recording_commands",
        "recording",
        "Reads recordings: what they contain, and their messages as JSON lines.",
    ),
    "replay": LazyCommand(
        "fanwire.cli.recording_commands",
        "replay",
        "Publishes the messages of the recording PATH again, at their times or faster.",
    ),
    "serve": LazyCommand(
        "fanwire.cli.serve_command",
        "serve",
        "Runs a server until SIGINT or SIGTERM.",
    ),
    "subscribe": LazyCommand(
        "fanwire.cli.client_commands",
        "subscribe",
        "Prints each message of the room NAME as a line: text unchanged, bytes as base64, any other value as JSON.",
    ),
    "top": LazyCommand(
        "fanwire.cli.top",
        "top",
        "Shows the live readings of the server at URL: rates, latency, busy rooms, slow readers, nodes.",
    ),
}


class LazyGroup(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = COMMANDS.get(cmd_name)
        if found is None:
            return None
        command = getattr(import_module(found.module), found.attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - a row of the table is wrong
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # As click does it, but without the commands themselves.
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, click.Command(name, help=COMMANDS[name].summary).get_short_help_str(limit))
                    for name in self.list_commands(ctx)
                ]
            )


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fanwire")
def main() -> None:
    """Fanwire: a broadcast server. Publish a message once, and every subscriber gets it."""
