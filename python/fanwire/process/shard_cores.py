"""Whether the writing threads of a server may have the processors that its settings give them. Pure."""

from __future__ import annotations

from collections.abc import Collection

from fanwire.config import Config

__all__ = ["crowded", "missing"]


def missing(config: Config, usable: Collection[int] | None) -> str | None:
    """Says which processors of `Config.shard_cores` this process may not use; None: it may use all of them.

    Args:
        config: the limits of the server.
        usable: the processors that this process may use; None: the system does not say.
    """
    if not config.cores:
        return None
    if usable is None:
        return "Config.shard_cores needs a system that lets a thread choose its processor (Linux): leave it empty"
    if lacking := sorted(set(config.cores) - set(usable)):
        return (
            f"Config.shard_cores names processors that this process may not use: {', '.join(map(str, lacking))}. "
            f"It may use {', '.join(map(str, sorted(usable)))}"
        )
    return None


def crowded(config: Config, processors: int, workers: int = 1) -> str | None:
    """Says that spinning threads leave no processor for the event loop; None: they leave one, or do not spin.

    Args:
        config: the limits of the server.
        processors: how many processors this process may use.
        workers: the number of processes of the server, which share the processors.
    """
    spinning = config.shard_count * workers
    if config.shard_spin == 0 or spinning < processors:
        return None
    threads = f"{spinning} writing thread{'s' if spinning != 1 else ''}"
    what = "the only processor" if processors == 1 else f"all {processors} processors"
    return f"{threads} with limits.shard_spin may take {what}, and the event loop waits for them"
