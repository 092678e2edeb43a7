"""Values of options: read and checked as the command line is."""

from __future__ import annotations

import math
from typing import Any

import click

from fanwire.admin.settings import SCOPES
from fanwire.values.checks import described

__all__ = ["admin_keys", "check_fd", "check_key", "check_mode", "check_worker_timeout"]

WORKER_TIMEOUT_MIN = 5.0
"""The least seconds for a worker: it gives a sign of life once a second, and machines are busy."""


def check_key(ctx: click.Context, param: click.Parameter, value: str | tuple[str, ...] | None) -> Any:
    """Checks that a key can be sent as `Authorization: Bearer` (RFC 6750 section 2.1)."""
    for key in (value,) if isinstance(value, str) else value or ():
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            # Not quoted: it may be a real key with a typing error.
            raise click.BadParameter("a key must be printable ASCII without spaces, and must not be empty")
    return value


def admin_keys(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, list[str]]:
    """Reads `KEY` or `KEY=SCOPE,SCOPE`, the keys of the admin API. A key without scopes has all."""
    found: dict[str, list[str]] = {}
    for value in values:
        key, separator, text = value.rpartition("=")
        scopes = text.split(",")
        if not separator or not set(scopes) <= set(SCOPES):
            # A key in base64 may end with "=".
            key, scopes = value, list(SCOPES)
        check_key(ctx, param, key)
        if key in found:
            raise click.BadParameter("the same key is given twice")
        found[key] = scopes
    return found


def check_mode(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Reads permissions in octal, as chmod(1) does."""
    if value is None:
        return None
    try:
        return int(value, 8)
    except ValueError as error:
        raise click.BadParameter(f"must be an octal number such as 660, got {described(value)}") from error


def check_fd(ctx: click.Context, param: click.Parameter, value: str | None) -> int | str | None:
    """Reads the number of a file descriptor, or `systemd`."""
    if value is None or value == "systemd":
        return value
    if not value.isascii() or not value.isdecimal():
        raise click.BadParameter(f"must be the number of a file descriptor, or systemd, got {described(value)}")
    return int(value)


def check_worker_timeout(ctx: click.Context, param: click.Parameter, value: float) -> float:
    """Checks that seconds are 0, which means never, or not too few for a healthy worker."""
    if value != 0 and not (math.isfinite(value) and value >= WORKER_TIMEOUT_MIN):
        raise click.BadParameter(f"must be 0 or at least {WORKER_TIMEOUT_MIN:g} seconds, got {value:g}")
    return value
