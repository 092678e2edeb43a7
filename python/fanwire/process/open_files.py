"""The limit of open files of this process, and how many connections fit below it."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import msgspec

from fanwire.config import Config

__all__ = [
    "NO_LIMIT",
    "FileLimits",
    "advice",
    "allowed_connections",
    "fitting",
    "is_missed",
    "needed_files",
    "shown",
    "too_few",
]


class FileLimits(msgspec.Struct, frozen=True):
    """The limits of open files of a process; `NO_LIMIT`: there is none.

    Attributes:
        soft: the limit in effect.
        hard: up to which the process may raise it.
    """

    soft: int
    hard: int

    @classmethod
    def read(cls) -> FileLimits:
        """Reads those of this process."""
        return cls(*(NO_LIMIT if value == resource.RLIM_INFINITY else value for value in _limits()))


def allowed_connections(config: Config, warn: Callable[[str, str], object], *, has_tls: bool) -> int:
    """Raises the soft limit of open files of this process if that is needed, and returns how many connections its
    server may have; 0: there is no limit.

    Args:
        config: the limits of the server.
        warn: is called with a format and its argument if they are fewer than `Config.max_connections`, and
            `is_missed`.
        has_tls: whether the server speaks TLS itself.
    """
    limits = FileLimits.read()
    needed = needed_files(config, has_tls=has_tls)
    if limits.soft < needed or config.max_connections == 0:
        limits = _raised(limits, needed)
    most = fitting(config, limits.soft, _open_files(), has_tls=has_tls)
    if is_missed(config, most) and (fault := too_few(config, limits, most, has_tls=has_tls)):
        warn("%s", fault)
    return most


def needed_files(config: Config, *, has_tls: bool) -> int:
    """The limit of open files that is recommended for a server with these limits."""
    # Over TLS a connection of plain HTTP has a pair of sockets more.
    return config.max_connections + RESERVE + (2 * config.max_http_connections if has_tls else 0)


def fitting(config: Config, files: int, in_use: int, *, has_tls: bool) -> int:
    """How many connections a process may have, so that health checks and clients over this limit still get an answer.

    Args:
        config: the limits of the server.
        files: the limit of open files of the process.
        in_use: the files that are open before the server starts.
        has_tls: whether it speaks TLS itself.

    Returns:
        At most `Config.max_connections`, and at least 1; 0 for no limit.
    """
    if files >= NO_LIMIT:
        return config.max_connections
    left = files - in_use - OWN - SHARD * config.shard_count - min(files // 8, SPARE)
    if has_tls:
        left -= min(2 * config.max_http_connections, max(0, left) // 3)
    return max(1, left if config.max_connections == 0 else min(left, config.max_connections))


def is_missed(config: Config, most: int) -> bool:
    """Whether a warning is due for at most `most` connections: they are fewer than `EXPECTED`, or `max_connections` was
    set. Many machines allow fewer than its default: a warning at each start there would mean nothing."""
    return most < EXPECTED or config.max_connections != Config().max_connections


def too_few(config: Config, limits: FileLimits, most: int, *, has_tls: bool) -> str | None:
    """A warning that the limit of open files allows fewer connections than `Config.max_connections`; None: it does not.

    Args:
        config: the limits of the server.
        limits: of the process.
        most: the connections that the process may have.
        has_tls: whether the server speaks TLS itself.
    """
    if most >= config.max_connections:
        return None
    needed = needed_files(config, has_tls=has_tls)
    return (
        f"open files: {shown(limits, needed)}: this process serves at most {most} connections, and refuses more with "
        f"503. {advice(needed)}"
    )


def shown(limits: FileLimits, needed: int) -> str:
    """The limits, and what is needed."""
    return f"soft {_words(limits.soft)}, hard {_words(limits.hard)}; limits.max_connections needs {needed}"


def advice(needed: int) -> str:
    """What to do if the limits are too low."""
    return (
        f"Raise the hard limit to {needed} (systemd: LimitNOFILE={needed}; docker: --ulimit nofile={needed}), or lower "
        "limits.max_connections."
    )


def _raised(limits: FileLimits, needed: int) -> FileLimits:
    """Raises the soft limit to the hard one; where there is none, to what is needed."""
    _, hard = _limits()
    # macOS reports an infinite hard limit, but allows less.
    for soft in (hard, needed):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (OSError, ValueError):
            continue
        return FileLimits.read()
    return limits


def _limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def _open_files() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        if Path(folder).is_dir():
            return sum(1 for _ in Path(folder).iterdir())
    return USUAL


def _words(value: int) -> str:
    return "unlimited" if value >= NO_LIMIT else str(value)


NO_LIMIT = 1 << 60
"""A limit from which on there is none."""

RESERVE = 2000
"""Open files for everything but connections, as docs/deployment.md recommends."""

OWN = 16
"""Open files of a server besides those of its threads: listeners, NATS, a recording, the log."""

SHARD = 4
"""Open files of each writing thread."""

SPARE = 640
"""Open files for who is refused, of whom the engine keeps 512 at the same time, and for the application. A process with
few files has an eighth of them."""

EXPECTED = 10_000
"""Connections that a server is expected to serve without a word about limits."""

USUAL = 32
"""Open files of Python with the server and its libraries, where the system does not say."""
