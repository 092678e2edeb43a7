"""Paths: the prefix that a proxy puts before all of them, and the path at which Fanwire is mounted beside an
application. Pure; the engine has the same rules for upgrades.
"""

from __future__ import annotations

import re

from fanwire.values.checks import check_text, described

__all__ = ["below", "check_prefix", "unprefixed"]


def check_prefix(name: str, value: object) -> str:
    """Returns a prefix: "" or such as "/rt". A slash at its end is taken off, as people write it both ways.

    Raises:
        TypeError: it is no str.
        ValueError: no path begins like this.
    """
    prefix = check_text(name, value, empty=True)
    if prefix and _PREFIX.fullmatch(prefix) is None:
        raise ValueError(f"{name} must be a path such as '/rt', got {described(prefix)}")
    return prefix.rstrip("/")


def unprefixed(target: str, prefix: str) -> str:
    """A request target without the prefix. One that does not begin with it stays as it is: a proxy may have taken the
    prefix off, and health checks come without a proxy."""
    rest = below(target, prefix)
    return target if rest is None else rest


def below(target: str, mount: str) -> str | None:
    """A request target as it is seen from a path, such as "/healthz" for "/fanwire/healthz" below "/fanwire". None: it
    is not below it."""
    if not mount:
        return target
    if not target.startswith(mount):
        return None
    rest = target[len(mount) :]
    if rest.startswith("/"):
        return rest
    return f"/{rest}" if not rest or rest.startswith("?") else None


_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
"""Characters that are never percent-encoded: there is one way to write it."""
