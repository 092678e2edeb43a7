"""Positions of logs from before the first message of a room."""

from __future__ import annotations

from typing import Any, cast

from fanwire.backplane.base import Log, LogState
from fanwire.cluster.log_starts import LogStarts

LOG = Log("rooms x", 10, 1000, 60.0)


class Logs:
    """The backplane, and what declares logs."""

    state_now = LogState("e", 0, 0)

    async def declare(self, log: Log) -> None:
        """Nothing is to be done."""

    async def state(self, log: Log, room: str) -> LogState:
        return self.state_now


async def test_the_oldest_of_the_last_positions_counts() -> None:
    logs = Logs()
    starts = LogStarts(cast("Any", logs), cast("Any", logs))
    assert starts.before(LOG, None) is None
    assert starts.before(LOG, ("e", 1)) == ("e", 1)
    for last in (5, 6, 7, 8):
        logs.state_now = LogState("e", 1, last)
        assert await starts.note([LOG]) == {"rooms x": ("e", last)}
    assert starts.before(LOG, None) == ("e", 6)
    # Not before the subscription began.
    assert starts.before(LOG, ("e", 7)) == ("e", 7)
    assert starts.before(LOG, ("e", 2)) == ("e", 6)


async def test_another_log_begins_anew() -> None:
    logs = Logs()
    starts = LogStarts(cast("Any", logs), cast("Any", logs))
    for state in (LogState("e", 0, 9), LogState("f", 0, 2)):
        logs.state_now = state
        await starts.note([LOG])
    assert starts.before(LOG, ("e", 9)) == ("f", 2)
