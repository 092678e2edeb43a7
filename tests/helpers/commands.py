"""The command line, as it is typed, and a file of settings."""

from __future__ import annotations

import os

from click.testing import CliRunner, Result

from fanwire.cli import main

FILE = """
[server]
host = "0.0.0.0"
port = 9000
origins = ["https://one.example"]
api_keys = ["from-file"]
log_level = "error"
[limits]
shards = 3
drain_timeout = 2
[[rooms]]
pattern = "quotes.*"
delivery = "latest"
max_keys = 7
max_members = 8
history = 0
history_bytes = 9
history_age = 1.5
presence = true
when_away = "fail"
compress = true
[nats]
servers = ["nats://one:4222", "nats://two:4222"]
prefix = "ours"
storage = "memory"
replicas = 3
"""


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    """Runs a command in this process. Of the variables FANWIRE_..., which are settings, it has only those given."""
    others: dict[str, str | None] = {name: None for name in os.environ if name.startswith("FANWIRE_")}
    return CliRunner().invoke(main, args, env={**others, **(env or {})})
