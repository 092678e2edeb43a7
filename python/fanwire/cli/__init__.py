"""The command line: `fanwire serve`, `publish`, `subscribe`, `config`, `doctor`, `top` and `demo`."""

from fanwire.cli.commands import main

__all__ = ["main"]
