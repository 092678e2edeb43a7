"""Paths: the prefix that a proxy puts before all paths, and the path at which Fanwire is mounted beside an application.
Pure. The engine has the same rules for upgrades."""

from __future__ import annotations

import re

from fanwire.values.checks import check_text, described

__all__ = ["below", "check_prefix", "unprefixed"]


def check_prefix(name: str, value: object) -> str:
    """Returns a prefix, such as "/rt", without a slash at its end; "" for none.

    Raises:
        TypeError: the value is not a str.
        ValueError: the value is not a valid path.
    """
    prefix = check_text(name, value, empty=True)
    if prefix and _PREFIX.fullmatch(prefix) is None:
        raise ValueError(f"{name} must be a path such as '/rt', got {described(prefix)}")
    return prefix.rstrip("/")


def unprefixed(target: str, prefix: str) -> str:
    """Returns a request target without the prefix. A target without the prefix is returned as it is: some proxies
    remove it, and health checks come without a proxy."""
    rest = below(target, prefix)
    return target if rest is None else rest


def below(target: str, mount: str) -> str | None:
    """Returns a request target relative to a path: "/healthz" for "/fanwire/healthz" below "/fanwire". None: the target
    is not below the path."""
    if not mount:
        return target
    if not target.startswith(mount):
        return None
    rest = target[len(mount) :]
    if rest.startswith("/"):
        return rest
    return f"/{rest}" if not rest or rest.startswith("?") else None


_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
"""Only characters that are never percent-encoded, so that there is one way to write a prefix."""
