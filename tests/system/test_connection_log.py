"""One structured record for each connection or session that has ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.fallback import Fallback
from helpers.serving import Book, take
from helpers.talk import Talk
from helpers.wait import until, within
from helpers.wire import request
from websockets.exceptions import ConnectionClosed

import fanwire
from fanwire.backplane import MemoryBackplane, MemoryBus

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
    assert found.pop("highest_queue") > len("four")
    assert found.pop("user_agent").startswith("Python/")
    assert found == {
        "event": "connection_ended",
        "id": repr(server.opened[0]).split()[1],
        "subject": 'al "ice"\nid=7',
        "address": "127.0.0.1",
        "path": "/a",
        "transport": "websocket",
        "codec": "raw",
        "compressed": False,
        "tls": "no",
        "close_code": 3000,
        "closed_by": "client",
        "why": "enough",
        "received_messages": 2,
        "received_bytes": 10,
        "sent_messages": 1,
    }
    line = record.getMessage()
    assert "\n" not in line
    assert (
        r'subject="al \"ice\"\nid=7" address=127.0.0.1 path=/a transport=websocket codec=raw compressed=false' in line
    )
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
    assert (ended["session"], ended["resumes"], ended["moves"]) == (parked["session"], 1, 0)
    assert len(ended["session"]) == 16
    assert ended["session"] not in first.session, "it is no part of what resumes the session"
    # Both publishes and whatever else it said; `joined` and both replies.
    assert ended["received_messages"] >= 2
    assert ended["sent_messages"] >= 3


async def test_a_session_whose_client_does_not_come_back(records: list[logging.LogRecord]) -> None:
    async with Book({"grace": 0.05}) as server:
        talk = await Talk.open(server)
        talk.cut()
        await until(lambda: len(records) == 2)
    ended = fields(records[1])
    assert (ended["close_code"], ended["closed_by"], ended["why"]) == (
        1006, "network", "the client did not come back within grace",
    )  # fmt: skip


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
    assert found["why"] == (
        "more waits for it than connection_bytes allows; no end of the closing handshake within close_timeout"
    )
    assert found["dropped_closed"] > 0


async def test_whoever_is_there_when_the_server_stops_has_a_record_too(records: list[logging.LogRecord]) -> None:
    async with Book() as server:
        clients = [await within(server.client("/a")) for _ in range(3)]
        await until(lambda: len(server.opened) == 3)
    assert {fields(record)["id"] for record in records} == {f"{conn.id:#x}" for conn in server.opened}
    assert all(fields(record)["close_code"] == 1001 for record in records)
    assert all("sent_messages" in fields(record) for record in records)
    for client in clients:
        await within(client.wait_closed())


async def test_the_begin_and_a_move_to_another_transport_at_debug(
    records: list[logging.LogRecord], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "fanwire.connections")
    async with Book() as server:
        async with Fallback(server.port, "sse") as first:
            await first.open()
            first.cut()
            await until(lambda: server.opened[0].is_reconnecting)
            async with await first.resume("long-poll") as again:
                assert again.welcome["resumed"]
        await until(lambda: len(records) == 4)
        resumes = server.metrics.get_sample_value("fanwire_resumes_total", {"outcome": "resumed"})
    began, parked, resumed, ended = map(fields, records)
    assert [record.levelno for record in records] == [logging.DEBUG, logging.INFO, logging.DEBUG, logging.INFO]
    assert (began["event"], began["transport"], began["duration"]) == ("session_began", "sse", 0.0)
    assert (resumed["event"], resumed["transport"], resumed["was_transport"]) == (
        "session_resumed", "long-poll", "sse",
    )  # fmt: skip
    assert (ended["resumes"], ended["moves"], ended["transport"]) == (1, 1, "long-poll")
    assert began["id"] == parked["id"] == resumed["id"] == ended["id"]
    assert resumes == 1.0


async def test_a_client_that_goes_on_at_another_node_has_a_record_there(records: list[logging.LogRecord]) -> None:
    bus = MemoryBus()
    async with Book(backplane=MemoryBackplane(bus)) as a, Book(backplane=MemoryBackplane(bus)) as b:
        talk = await Talk.open(a)
        await until(lambda: bus.kept, "its record is saved")
        again = await Talk.open(b, after=talk)
        assert again.welcome["reason"] == "other node"
        await until(lambda: len(records) == 2)
        # What begins anew at the same node is for DEBUG.
        await (await Talk.open(b)).close()
        await until(lambda: len(records) == 3)
        await again.close()
    found = {each["event"]: each for each in map(fields, records[:2])}
    began, ended = found["session_began"], found["session_ended"]
    assert (began["session"], began["why"]) == (ended["session"], "the client was at another node before")
    assert ended["why"] == "another connection uses this session"
    assert {record.levelno for record in records} == {logging.INFO}


async def test_what_the_client_has_taken_and_what_has_waited(records: list[logging.LogRecord]) -> None:
    async with Book() as server, await Talk.open(server, "/a") as talk:
        await talk.hear("joined")
        server.publish("a", "x" * 1000)
        told = await talk.hear("message")
        # Of the three the middle one was half a second old.
        for age_ms in (0, 500, 40_000):
            taken = {"a": {"count": talk.received, "ts": int(time.time() * 1000) - age_ms}}
            await talk.say("received", payload={"count": talk.received, "taken": taken})
        assert told["payload"] == "x" * 1000
        await talk.close()
        await until(lambda: records)
    ended = fields(records[0])
    # A busy machine makes them older.
    assert 0.37 < ended["taken_age"] < 20
    assert ended["highest_queue"] > 1000


async def test_a_session_that_cannot_be_resumed_is_counted() -> None:
    async with Book() as server:
        talk = await Talk.open(server)
        await talk.close()
        await server.ended()
        async with await Talk.open(server, after=talk) as again:
            assert again.welcome["reason"] == "closed"
        # The client has its answer from the engine, which tells the host then.
        value, closed = server.metrics.get_sample_value, {"outcome": "closed"}
        await until(lambda: value("fanwire_resumes_total", closed) == 1.0)


async def test_codes_that_only_clients_know_are_counted_together() -> None:
    async with Book() as server:
        for code in (3000, 3001, 4999, 1000):
            async with server.client("/a") as client:
                await within(client.close(code))
        await server.ended(4)
        counts = {
            (sample.labels["code"], sample.labels["side"]): sample.value
            for metric in server.metrics.collect()
            for sample in metric.samples
            if sample.name == "fanwire_closed_connections_total"
        }
    assert counts == {("other", "client"): 3.0, ("1000", "client"): 1.0}


async def test_refused_requests(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanwire.handshake")

    def refuse(request: fanwire.Request) -> None:
        raise fanwire.Refused(403, "not today")

    def refused() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "fanwire.handshake"]

    async with Book(authenticate=refuse, hosts=["localhost"]) as server:
        asked = (("/a%20b?x=1", {"User-Agent": "curl/8" + "x" * 300}), ("/c", {"Host": "example.com"}))
        for count, (path, headers) in enumerate(asked, 1):
            async with await server.dial() as peer:
                await peer.send(request(path, headers))
                assert (await peer.response()).status in (403, 421)
            # Threads of the engine tell of them, each when it can.
            await until(lambda count=count: len(refused()) == count)
        async with await server.dial() as peer:
            await peer.send(b"\0\r\n\r\n")
            await peer.end()
        # The start may say that this machine allows few open files.
        await until(lambda: len(refused()) == 3)
    by_host, by_engine, unread = map(fields, refused())
    assert by_host == {
        "event": "handshake_refused", "status": 403, "why": "not today", "address": "127.0.0.1", "path": "/a b",
        "user_agent": "curl/8" + "x" * 194,
    }  # fmt: skip
    assert (by_engine["status"], by_engine["path"], by_engine["user_agent"]) == (421, "/c", "")
    assert (unread["status"], unread["path"]) == (400, "")


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
