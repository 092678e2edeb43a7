"""One structured record for each connection or session that has ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.serving import Book, take
from helpers.talk import Talk
from helpers.wait import until, within
from websockets.exceptions import ConnectionClosed

import fanwire

CODECS = pytest.mark.parametrize("codec", ["json", "msgpack"])


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """All that the log of connections has had, as it comes."""
    found: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    caplog.set_level(logging.INFO, "fanwire.connections")
    handler = Keep()
    logger = logging.getLogger("fanwire.connections")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    return dict(record.connection)  # given as `extra`


async def test_a_raw_connection_that_its_client_closes(records: list[logging.LogRecord]) -> None:
    def identify(request: fanwire.Request) -> dict[str, str]:
        return {"sub": 'al "ice"\nid=7'}

    async with Book(authenticate=identify).listens() as server:
        async with server.client("/a") as client:
            await within(client.send("hello"))
            await within(client.send(b"12345"))
            await until(lambda: len(server.heard) == 2)
            server.publish("a", "four")
            await take(client, 1)
            await within(client.close(3000, "enough"))
        await until(lambda: records)
    (record,) = records
    found = fields(record)
    assert found.pop("duration") >= 0
    assert found.pop("sent_bytes") > len("four")
    assert found == {
        "event": "connection_ended",
        "id": server.opened[0].id,
        "subject": 'al "ice"\nid=7',
        "address": "127.0.0.1",
        "transport": "ws",
        "codec": "raw",
        "close_code": 3000,
        "closed_by": "client",
        "why": "enough",
        "received_messages": 2,
        "received_bytes": 10,
        "sent_messages": 1,
    }
    line = record.getMessage()
    assert "\n" not in line
    assert r'subject="al \"ice\"\nid=7" address=127.0.0.1 transport=ws codec=raw' in line
    assert (server.closed[0].closed_by, server.closed[0].received_messages) == ("client", 2)


async def test_a_connection_that_the_application_closes(records: list[logging.LogRecord]) -> None:
    async with Book() as server:
        async with server.client("/a") as client:
            await until(lambda: server.opened)
            server.opened[0].close(4999, "no more of this")
            with pytest.raises(ConnectionClosed):
                await within(client.recv())
        await until(lambda: records)
    found = fields(records[0])
    assert (found["close_code"], found["closed_by"], found["why"]) == (4999, "server", "no more of this")
    assert (found["subject"], found["received_messages"]) == ("", 0)


@CODECS
async def test_a_session_that_is_lost_comes_back_and_ends(codec: str, records: list[logging.LogRecord]) -> None:
    async with Book() as server:
        server.room("*", publish=True)
        first = await Talk.open(server, "/a", codec=codec)
        await first.hear("joined")
        await first.ask("publish", room="b", payload=1)
        first.cut()
        await until(lambda: len(records) == 1)
        async with await Talk.open(server, codec=codec, after=first) as second:
            assert second.welcome["resumed"]
            await second.ask("publish", room="b", payload=2)
            await second.close()
            await until(lambda: len(records) == 2)
    parked, ended = map(fields, records)
    assert (parked["event"], parked["codec"]) == ("session_parked", codec)
    assert parked["why"] == "the transport ended without a close frame"
    assert (ended["event"], ended["id"], ended["close_code"], ended["closed_by"]) == (
        "session_ended", parked["id"], 1000, "client",
    )  # fmt: skip
    # Both publishes and whatever else it said; `joined` and both replies.
    assert ended["received_messages"] >= 2
    assert ended["sent_messages"] >= 3


async def test_a_session_whose_client_does_not_come_back(records: list[logging.LogRecord]) -> None:
    async with Book({"grace": 0.05}) as server:
        talk = await Talk.open(server)
        talk.cut()
        await until(lambda: len(records) == 2)
    ended = fields(records[1])
    assert (ended["close_code"], ended["closed_by"], ended["why"]) == (1006, "network", "expired")


async def test_a_reader_that_is_too_slow(records: list[logging.LogRecord]) -> None:
    config = {"connection_bytes": 4096, "unsent_bytes": 4096}
    async with Book(config) as server, await Talk.open(server, "/a") as talk:
        await talk.hear("joined")
        # It reads nothing from here on.
        talk.socket.transport.pause_reading()
        for _ in range(20_000):
            server.publish("a", "x" * 2000)
            if server.stats()["closed_slow"]:
                break
        await server.has_stat("closed_slow", 1)
        await until(lambda: records)
    found = fields(records[-1])
    assert (found["close_code"], found["closed_by"]) == (4008, "server")
    assert found["why"] == "more waits for it than connection_bytes allows"
    assert found["dropped_closed"] > 0


async def test_whoever_is_there_when_the_server_stops_has_a_record_too(records: list[logging.LogRecord]) -> None:
    async with Book() as server:
        clients = [await within(server.client("/a")) for _ in range(3)]
        await until(lambda: len(server.opened) == 3)
    assert {fields(record)["id"] for record in records} == {conn.id for conn in server.opened}
    assert all(fields(record)["close_code"] == 1001 for record in records)
    assert all("sent_messages" in fields(record) for record in records)
    for client in clients:
        await within(client.wait_closed())


async def test_nothing_is_kept_where_nobody_reads_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "fanwire.connections")
    async with Book() as server:
        async with server.client("/a"):
            pass
        await server.ended()
        log = server._host.registry.log
        await until(lambda: server.stats()["connections"] == 0)
        assert not log._waiting
        assert not log._accounts
        assert not log._causes
