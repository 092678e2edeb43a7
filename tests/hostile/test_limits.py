"""Every limit: what happens to whoever passes it, that it is counted by its name, and what a dry run does."""

from __future__ import annotations

import pytest
from helpers.wait import within
from hostile.admission import ADMISSION
from hostile.limits import Limit, arena_of
from hostile.streams import STREAMS


@pytest.mark.parametrize("dry_run", [False, True], ids=["enforced", "dry run"])
# Those that protect the process itself are enforced in a dry run, too.
@pytest.mark.parametrize("row", [*ADMISSION, *STREAMS], ids=repr)
async def test_limits(row: Limit, dry_run: bool) -> None:
    async with arena_of({**row.config, "dry_run": dry_run}) as arena, arena.watched() as server:
        assert arena.count(row.limit) == 0
        assert await within(row.act(server)) == (row.dry if dry_run else row.answer)
        assert arena.count(row.limit) > 0
