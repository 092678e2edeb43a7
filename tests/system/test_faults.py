"""What goes wrong between nodes: a line at the beginning, a line at the end, and counts for metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from helpers.nats import nats_server
from helpers.nodes import Cluster, cluster
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within

import fanwire
from fanwire.backplane import Unavailable
from fanwire.backplane.nats import NATS
from fanwire.cluster.node_message import unpack


@pytest_asyncio.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster("memory", tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    # All that happens in a test is one fault of each kind, however long a busy machine takes from one to the next.
    monkeypatch.setattr("fanwire.cluster.faults.CALM", 60.0)
    monkeypatch.setattr("fanwire.cluster.liveness.BEAT", 0.1)


def failures(server: Book, kind: str) -> int:
    """What a scrape says of a kind of fault."""
    value = server.metrics.get_sample_value("fanwire_backplane_failures_total", {"kind": kind})
    assert value is not None
    return int(value)


def lines(caplog: pytest.LogCaptureFixture, text: str = "") -> list[str]:
    """Warnings and errors of the cluster that have a text."""
    found = [record for record in caplog.records if record.name.startswith("fanwire") and record.levelno >= 30]
    return [line for line in (record.getMessage() for record in found) if text in line]


def ends(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    """What is logged, at INFO, when a fault of the cluster with this text is over."""
    found = [record for record in caplog.records if record.name == "fanwire.cluster" and record.levelno == logging.INFO]
    return [line for line in (record.getMessage() for record in found) if line.startswith(f"{text}, after ")]


async def test_messages_that_are_given_up_are_counted_and_make_two_lines(
    nodes: Cluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None of these faults ends while the backplane is away.
    monkeypatch.setattr("fanwire.cluster.faults.CALM", 0.2)
    caplog.set_level(logging.INFO, "fanwire.cluster")
    async with nodes.node({"append_timeout": 0.1}) as a:
        await nodes.take_away()
        await until(lambda: not a._is_ready())
        for n in range(1000):
            a.publish(f"log.{n % 100}", n)
            a.publish(f"fail.{n % 100}", n)
            a.publish(f"live.{n % 100}", n)
        await until(lambda: failures(a, "append") == 2000, "all are given up")
        assert failures(a, "unsent") == 1000
        assert failures(a, "away") == 1
        assert len(lines(caplog, "messages are given up, they were not stored: ")) == 1
        await nodes.bring_back()
        await within(a.publish_acked("log.0", "again"))
        await until(lambda: ends(caplog, "messages are stored"), "the end is told")
        (end,) = ends(caplog, "messages are stored")
        assert end.endswith(": 2000 in all")
        await until(lambda: ends(caplog, "the backplane is back"), "that it is back is told")
        await until(lambda: ends(caplog, "live messages are sent to other nodes"), "that they are sent is told")
        assert [len(ends(caplog, text)) for text in ("messages are stored", "the backplane is back")] == [1, 1]
        assert len(lines(caplog)) <= 4, lines(caplog)


async def test_rooms_that_cannot_be_heard_do_not_make_a_line_each(
    nodes: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with nodes.node() as a, fanwire.connect(a.url) as one:
        await until(lambda: a.opened)
        await nodes.take_away()
        await until(lambda: not a._is_ready())
        for n in range(100):
            await one.join(f"live.{n}")
            # The application joins a client to a room that has to be read first.
            a.opened[0].join(f"log.{n}")
            with pytest.raises(fanwire.RequestFailed):
                await one.join(f"short.{n}")
        assert failures(a, "room") >= 300
        assert len(lines(caplog, "rooms cannot be heard from other nodes: ")) == 1
        assert len(lines(caplog)) <= 4, lines(caplog)
        await nodes.bring_back()
        await until(lambda: len(a.opened[0].rooms) == 200)


async def test_orders_and_presence_that_are_not_told_are_counted(
    nodes: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with nodes.node({"append_timeout": 0.1}) as a, fanwire.connect(a.url) as one:
        a.room("seen.*", presence=True)
        await one.join("seen.x")
        await nodes.take_away()
        await until(lambda: not a._is_ready())
        async with fanwire.connect(a.url) as two:
            await two.join("seen.x")
        for n in range(10):
            a.disconnect_user(f"nobody {n}")
            a.send_to_user(f"nobody {n}", n)
        await until(lambda: failures(a, "revocation") >= 10)
        assert failures(a, "append") == 0
        assert failures(a, "unsent") == 10
        await until(lambda: failures(a, "presence") >= 2)
        assert len(lines(caplog, "revocations are not stored: ")) == 1
        await nodes.bring_back()


async def test_what_cannot_be_read_is_counted(nodes: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    async with nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        await two.join("live.x")
        backplane: Any = a._backplane
        for _ in range(100):
            backplane.send("rlive.x", b"no node message")
            backplane.tell(b"no word")
        await until(lambda: failures(b, "malformed") == 200)
        assert len(lines(caplog, "what another node has sent cannot be read: ")) >= 1
        # Each node hears what is told to all.
        assert len(lines(caplog)) <= 2, lines(caplog)


async def test_what_comes_twice_or_late_is_not_delivered_again(
    nodes: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    def subject(request: fanwire.Request) -> Any:
        return fanwire.Identity(subject="ann")

    async with nodes.node(authenticate=subject) as a, nodes.node(authenticate=subject) as b:
        there = await Talk.open(b)
        async with there:
            await there.ask("join", room="live.x")
            await until(lambda: "uann" in b._backplane._heard)
            sent: list[tuple[str, bytes]] = []
            backplane: Any = a._backplane
            send = backplane.send
            backplane.send = lambda name, data: sent.append((name, data)) or send(name, data)
            for n in range(5):
                a.publish("live.x", n)
                a.send_to_user("ann", n)
            got = [await there.hear() for _ in range(10)]
            # As after a long stop of NATS: all of it again, out of order.
            for name, data in [*reversed(sent), *sent]:
                send(name, data)
            a.publish("live.x", "last")
            a.send_to_user("ann", "last")
            got += [await there.hear() for _ in range(2)]
            assert [m["payload"] for m in got if m.get("room") == "live.x"] == [0, 1, 2, 3, 4, "last"]
            assert [m["payload"] for m in got if "room" not in m] == [0, 1, 2, 3, 4, "last"]
            assert {m["type"] for m in got} == {"message"}
            assert b.metrics.get_sample_value("fanwire_late_messages_total") == 10
            await until(lambda: failures(b, "late") == 20)
            assert len(lines(caplog, "come twice or late")) == 1
            assert [unpack(data).number for name, data in sent if name == "rlive.x"][:5] == [1, 2, 3, 4, 5]


async def test_an_order_that_comes_twice_is_obeyed_once(nodes: Cluster) -> None:
    async with nodes.node() as a, nodes.node() as b:
        obeyed: list[tuple[str, str | None]] = []
        cluster_host: Any = b._running.cluster_host
        cluster_host.apply = lambda what, whom, reason, room: obeyed.append((what, whom))
        node: Any = b._running.node
        stored: list[Any] = []
        take = node._events.stored
        node._events.stored = lambda log, room, message: stored.append(message) or take(log, room, message)
        a.reauthorize("ann")
        await until(lambda: obeyed)
        for message in stored * 2:
            take("orders", "all", message)
        a.reauthorize("bob")
        await until(lambda: len(obeyed) > 1)
        assert obeyed == [("reauthorize", "ann"), ("reauthorize", "bob")]


@pytest.mark.logs_errors
async def test_whatever_a_call_raises_the_rest_of_what_has_come_is_told(tmp_path: Path) -> None:
    class Panic(BaseException):
        """As that of an extension module."""

    async with cluster("nats", tmp_path) as nodes, nodes.node() as a, nodes.node() as b, fanwire.connect(b.url) as two:
        room = await two.join("log.x")
        node: Any = b._running.node
        stored, count = node._events.stored, 0

        def fails(log: str, room: str, message: Any) -> None:
            nonlocal count
            count += 1
            if count % 2:
                raise Panic("no more")
            stored(log, room, message)

        node._events.stored = fails
        await asyncio.gather(*(a.publish_acked("log.x", n) for n in range(20)))
        await until(lambda: count >= 20, "the other node has been told all")
        node._events.stored = stored
        await a.publish_acked("log.x", 20)
        assert [(await within(anext(room))).data for _ in range(21)] == list(range(21))
        assert failures(b, "internal") >= 10
        assert b._is_ready()


@pytest.mark.logs_errors
async def test_a_node_whose_heartbeats_have_ended_is_not_ready(nodes: Cluster) -> None:
    async with nodes.node() as a:
        assert a._is_ready()
        node: Any = a._running.node

        class Panic(BaseException):
            """What no `except Exception` takes."""

        def fail(now: float) -> None:
            raise Panic("no more")

        node._parts.liveness.heartbeats.take_dead = fail
        await until(lambda: not a._is_ready())
        await until(lambda: failures(a, "internal") == 1)


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_a_missing_permission_to_store_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    deny = 'publish: { deny: ["fanwire.log.fanwire-rooms=20log=2E=2A.*"] }'
    user = f'{{ user: "ann", password: "secret", permissions: {{ {deny} }} }}'
    async with nats_server(tmp_path, f"authorization {{ users: [ {user} ] }}") as port:
        server = Book({"append_timeout": 3.0}, backplane=NATS(f"nats://ann:secret@127.0.0.1:{port}"))
        server.room("log.*", history=10)
        async with server:
            publishing = [asyncio.ensure_future(server.publish_acked(f"log.{n}", n)) for n in range(50)]
            # At once, not when they are given up.
            await until(lambda: lines(caplog, "NATS refuses something: "), "NATS's complaint is in the log")
            (line,) = lines(caplog, "NATS refuses something: ")
            assert "fanwire.log." in line
            for future in publishing:
                with pytest.raises(Unavailable):
                    await within(future)
            assert failures(server, "complaint") >= 50
            assert failures(server, "append") == 50
            assert failures(server, "append_wait") >= 50
            assert len(lines(caplog)) <= 6, lines(caplog)


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_no_room_for_records_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with nats_server(tmp_path, "", "max_file_store: 100MB") as port:
        server = Book({"history_bytes": 1 << 20}, backplane=NATS(f"nats://127.0.0.1:{port}"))
        async with server:
            for _ in range(5):
                async with await Talk.open(server):
                    await until(lambda: server.connections)
            await until(lambda: failures(server, "record") >= 5)
            (line,) = lines(caplog, "records of sessions are not saved: ")
            assert "storage" in line
