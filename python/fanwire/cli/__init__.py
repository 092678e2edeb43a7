"""The command line: `fanwire serve`, `publish`, `subscribe` and `demo`."""

from fanwire.cli.commands import main

__all__ = ["main"]
