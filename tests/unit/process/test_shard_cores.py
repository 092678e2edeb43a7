"""Processors of writing threads: what is missing, and what is too much."""

from __future__ import annotations

from fanwire.config import Config
from fanwire.process.shard_cores import crowded, missing


def test_processors_that_may_not_be_used_are_named() -> None:
    assert missing(Config(), None) is None
    assert missing(Config(shard_cores="1-2"), {0, 1, 2}) is None
    assert missing(Config(shard_cores="1,7,9"), {0, 1}) == (
        "Config.shard_cores names processors that this process may not use: 7, 9. It may use 0, 1"
    )
    assert "needs a system" in (missing(Config(shard_cores="1"), None) or "")


def test_spinning_threads_leave_a_processor_for_the_loop() -> None:
    assert crowded(Config(shards=8), 2) is None
    assert crowded(Config(shards=1, shard_spin=0.001), 2) is None
    assert crowded(Config(shards=2, shard_spin=0.001), 2) == (
        "2 writing threads with limits.shard_spin may take all 2 processors, and the event loop waits for them"
    )
    assert "1 writing thread with" in (crowded(Config(shards=1, shard_spin=0.001), 1) or "")
    assert crowded(Config(shards=1, shard_spin=0.001), 4, workers=4) is not None
