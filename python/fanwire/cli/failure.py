"""Errors that end a command with one line for the user. Only bugs have a traceback."""

from __future__ import annotations

import click

__all__ = ["CommandFailed", "Misuse"]


class CommandFailed(click.ClickException):
    """The command has failed, for example because there is no server: exit code 1."""


class Misuse(CommandFailed):
    """The arguments or settings are wrong: exit code 2."""

    exit_code = 2
