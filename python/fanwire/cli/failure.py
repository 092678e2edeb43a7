"""What ends a command with one line for whoever typed it: no traceback, which is for bugs."""

from __future__ import annotations

import click

__all__ = ["Failure", "Misuse"]


class Failure(click.ClickException):
    """The world did not play along: exit code 1."""


class Misuse(Failure):
    """What was asked for makes no sense, whatever the world does: exit code 2."""

    exit_code = 2
