"""What has come from NATS, and losses that are over, before the loop has read of them."""

from __future__ import annotations

import select
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from helpers.backplanes import Ear
from helpers.wait import DEADLINE, until, until_sync

from fanwire.backplane.embedded import EmbeddedServer
from fanwire.backplane.nats import NATS

pytestmark = pytest.mark.usefixtures("patient")


@pytest_asyncio.fixture
async def backplane(tmp_path: Path) -> AsyncIterator[NATS]:
    """Not open."""
    server = EmbeddedServer(tmp_path)
    await server.start()
    made = NATS(server.url)
    yield made
    await made.close()
    await server.stop()


async def test_a_loss_that_was_over_before_the_loop_read_of_it_is_told(backplane: NATS) -> None:
    ear = Ear()
    await backplane.open(ear)
    assert backplane._client is not None
    connection = backplane._client._connection
    connection.reconnect()
    connection.flush()
    # The loop stands still until the connection is back.
    until_sync(lambda: connection.counts()[2] >= 2 and connection.is_up)
    await until(lambda: ear.went_ == [False, True])


async def test_a_connection_is_up_again_once_that_was_told(backplane: NATS) -> None:
    class Late(Ear):
        def connection_changed(self, is_up: bool) -> None:
            # The connection is back before the loop goes on.
            assert backplane._client is not None
            connection = backplane._client._connection
            until_sync(lambda: connection.is_up)
            self.went_.append(backplane.is_up)

    ear = Late()
    await backplane.open(ear)
    await backplane.reconnect()
    await until(lambda: len(ear.went_) == 2)
    assert ear.went_ == [False, True]


async def test_what_has_come_for_a_name_that_is_not_heard_is_for_nobody(backplane: NATS) -> None:
    ear = Ear()
    await backplane.open(ear)
    await backplane.hear("room")
    assert backplane._client is not None
    connection = backplane._client._connection
    connection.send("fanwire.live.room.other", b"1")
    connection.flush()
    # The loop stands still until the message is there.
    assert select.select([connection.fileno()], [], [], DEADLINE)[0]
    backplane.unhear("room")
    await backplane.hear("end")
    connection.send("fanwire.live.end.other", b"2")
    connection.flush()
    await until(lambda: ear.heard_)
    assert (ear.heard_, ear.told_) == ([("end", b"2")], [])
