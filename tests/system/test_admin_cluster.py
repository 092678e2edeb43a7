"""The admin API of a cluster: a request at one node answers for all nodes, and says which have not answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from helpers.admin_client import Operator, admin, ask_by_query
from helpers.nodes import Cluster, cluster
from helpers.serving import Book, take
from helpers.wait import DEADLINE, until, within
from websockets.exceptions import ConnectionClosed

import fanwire
from fanwire.admin.questions import HealthQuestion


class Pair:
    """Two nodes that know each other, and operators of both; only the first has the admin API on."""

    def __init__(self, nodes: list[Book], op: Operator, ground: Cluster) -> None:
        self.one, self.other = nodes
        self.op = op
        self.ground = ground

    @property
    def names(self) -> list[str]:
        return [node._running.this_node.name for node in (self.one, self.other)]


@pytest_asyncio.fixture(params=["memory", "nats"])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        # A node that takes its time is not away.
        stack.enter_context(pytest.MonkeyPatch.context()).setattr("fanwire.admin.everywhere.TIMEOUT", DEADLINE)
        ground = await stack.enter_async_context(cluster(request.param, tmp_path))
        nodes = [
            await stack.enter_async_context(ground.node(authenticate=ask_by_query, admin=given))
            for given in (admin(), None)
        ]
        await until(lambda: all(len(node._running.node.others) == 1 for node in nodes), "the nodes know each other")
        op = await stack.enter_async_context(Operator(nodes[0]))
        yield Pair(nodes, op, ground)


async def test_rooms_and_users_of_all_nodes_are_one_list(pair: Pair) -> None:
    async with pair.one.client("/live.a,live.b?as=ann"), pair.other.client("/live.b,live.c?as=ann"):
        await until(lambda: pair.one.count("live.b") == pair.other.count("live.b") == 1)
        page = await pair.op.get("/rooms")
        assert [(room["name"], room["members"]) for room in page["rooms"]] == [
            ("live.a", 1), ("live.b", 2), ("live.c", 1),
        ]  # fmt: skip
        assert (page["nodes"], page["unanswered"]) == (sorted(pair.names), [])
        assert [room["name"] for room in await pair.op.pages("/rooms?limit=1", "rooms")] == [
            "live.a", "live.b", "live.c",
        ]  # fmt: skip
        largest = await pair.op.pages("/rooms?sort=members&limit=1", "rooms")
        assert [(room["name"], room["members"]) for room in largest] == [("live.b", 2), ("live.a", 1), ("live.c", 1)]
        here = await pair.op.get("/rooms?node=this")
        assert [room["name"] for room in here["rooms"]] == ["live.a", "live.b"]
        assert here["nodes"] == pair.names[:1]
        there = await pair.op.get(f"/rooms?node={pair.names[1]}")
        assert [room["name"] for room in there["rooms"]] == ["live.b", "live.c"]
        assert (await pair.op.get("/users"))["users"] == [{"subject": "ann", "connections": 2}]
        room = await pair.op.get("/rooms/live.b")
        assert (room["members"], [at["members"] for at in room["at"]]) == (2, [1, 1])
        assert await pair.op.fails("GET", "/rooms?node=ffffffff") == (404, "unknown_node")


async def test_connections_of_all_nodes_are_one_list(pair: Pair) -> None:
    async with AsyncExitStack() as stack:
        for number in range(3):
            for node in (pair.one, pair.other):
                await stack.enter_async_context(node.client(f"/live.{number}?as=s{number}"))
        await until(lambda: len(pair.one.opened) == len(pair.other.opened) == 3)
        everything = await pair.op.pages("/connections?limit=2", "connections")
        assert len({one["id"] for one in everything}) == 6
        assert [one["id"] for one in everything] == sorted(
            (one["id"] for one in everything), key=lambda one: (one.split(".")[0], int(one.split(".")[1], 16))
        )
        assert len((await pair.op.get("/rooms/live.1/members"))["connections"]) == 2
        found = await pair.op.pages("/connections?subject=s1&limit=1", "connections")
        assert sorted(one["node"] for one in found) == sorted(pair.names)
        for one in found:
            assert (await pair.op.get(f"/connections/{one['id']}"))["subject"] == "s1"
            assert (await pair.op.get(f"/connections/{one['log_id']}?node={one['node']}"))["subject"] == "s1"
        # Both nodes have given the same ids.
        assert found[0]["log_id"] == found[1]["log_id"]
        assert await pair.op.fails("GET", f"/connections/{found[0]['log_id']}") == (409, "ambiguous")


async def test_a_connection_at_another_node_is_closed_and_its_session_revoked(pair: Pair) -> None:
    async with pair.other.client("/live.a?as=ann") as client:
        one = (await pair.op.get("/users/ann"))["connections"][0]
        assert one["node"] == pair.names[1]
        done = await pair.op.post(f"/connections/{one['id']}/disconnect", {"code": 4001, "reason": "moved"})
        assert (done["connections"], done["nodes"]) == (1, [pair.names[1]])
        with pytest.raises(ConnectionClosed) as closed:
            await take(client, 1)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4001
    async with fanwire.connect(pair.other.url + "/?as=bob"):
        session = (await until_found(pair.op, "/sessions?subject=bob"))["session"]
        assert (await pair.op.post(f"/sessions/{session}/revoke", {"reason": "stolen"}))["connections"] == 1
        assert (await pair.other.ended(2)).close_reason == "stolen"


async def until_found(op: Operator, path: str) -> Any:
    for _ in range(500):
        found = (await op.get(path))["connections"]
        if found:
            return found[0]
        await asyncio.sleep(0.01)
    raise AssertionError(path)


async def test_a_user_is_disconnected_and_removed_everywhere(pair: Pair) -> None:
    async with pair.one.client("/live.a,live.b?as=ann"), pair.other.client("/live.a,live.b?as=ann"):
        await until(lambda: pair.one.count("live.b") == pair.other.count("live.b") == 1)
        assert (await pair.op.post("/rooms/live.a/remove", {"subject": "ann"}))["connections"] == 2
        await until(lambda: pair.one.count("live.a") == pair.other.count("live.a") == 0)
        assert (await pair.op.post("/users/ann/disconnect"))["connections"] == 2
        assert (await pair.one.ended()).close_code == 4502
        assert (await pair.other.ended()).close_code == 4502


async def test_a_member_at_another_node_is_removed_by_its_id(pair: Pair) -> None:
    async with pair.other.client("/live.a?as=ann"):
        await until(lambda: pair.other.count("live.a") == 1)
        one = (await pair.op.get("/users/ann"))["connections"][0]["id"]
        assert (await pair.op.post("/rooms/live.a/remove", {"connection": one}))["connections"] == 1
        await until(lambda: pair.other.count("live.a") == 0)


async def test_a_published_message_has_its_place_in_the_log(pair: Pair) -> None:
    first = await pair.op.post("/publish", {"room": "log.a", "payload": {"n": 1}, "id": "x"})
    status, batch = await pair.op.ask(
        "POST",
        "/publish/batch",
        json=[{"room": "log.a", "payload": 2}, {"room": "log.a", "payload": {"n": 1}, "id": "x"}],
    )
    assert status == 200
    page = await pair.op.get("/rooms/log.a/history")
    assert [entry["payload"] for entry in page["messages"]] == [{"n": 1}, 2]
    places = [(entry["epoch"], entry["seq"]) for entry in page["messages"]]
    assert places == [(one["epoch"], one["seq"]) for one in (first, batch["results"][0])]
    assert batch["results"][1]["seq"] == first["seq"]
    # A room that only the log has.
    assert (await pair.op.get("/rooms/log.a"))["rule"]["pattern"] == "log.*"


async def test_newest_values_of_all_nodes_are_one_list(pair: Pair) -> None:
    async with pair.one.client("/values.a"), pair.other.client("/values.a"):
        await until(lambda: pair.one.count("values.a") == pair.other.count("values.a") == 1)
        await pair.one.publish_acked("values.a", 1, key="x")
        await pair.other.publish_acked("values.a", 2, key="y")
        await until(lambda: len(pair.one._running.engine.values("values.a")) == 2)
        found = await pair.op.pages("/rooms/values.a/values?limit=1", "values")
        assert [(value["key"], value["payload"]) for value in found] == [("x", 1), ("y", 2)]


async def test_nodes_limits_settings_and_health_are_of_all_nodes(pair: Pair) -> None:
    assert [one["node"] for one in (await pair.op.get("/nodes"))["details"]] == sorted(pair.names)
    assert [one["node"] for one in (await pair.op.get("/config"))["details"]] == sorted(pair.names)
    assert (await pair.op.get("/limits"))["nodes"] == sorted(pair.names)
    health = await pair.op.get("/health")
    assert (health["ready"], [one["ready"] for one in health["details"]]) == (True, [True, True])
    pair.other._health.check("the market feed", lambda: False)
    health = await pair.op.get("/health")
    reasons = {one["node"]: one["reasons"] for one in health["details"]}
    assert not health["ready"]
    assert reasons == {pair.names[0]: [], pair.names[1]: ["the market feed does not work: it makes no progress"]}


async def test_health_says_that_messages_cannot_be_stored_and_the_node_stays_ready(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def append(*args: object) -> int:
        raise fanwire.Unavailable("JetStream: insufficient resources")

    monkeypatch.setattr(pair.other._running.node._backplane, "append", append)
    stored = asyncio.ensure_future(pair.other.publish_acked("log.a", 1))
    await until(lambda: pair.other._running.node.troubles)
    health = await pair.op.get("/health")
    troubles = {one["node"]: " ".join(one["troubles"]) for one in health["details"]}
    why = "messages of rooms with a history cannot be stored: JetStream: insufficient resources"
    assert (health["ready"], troubles[pair.names[0]]) == (True, "")
    assert troubles[pair.names[1]].startswith(why)
    monkeypatch.undo()
    await within(stored)
    assert [one["troubles"] for one in (await pair.op.get("/health"))["details"]] == [[], []]


async def test_a_node_that_does_not_answer_is_named(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.admin.everywhere.TIMEOUT", 0.2)

    async def never(question: bytes) -> bytes:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(pair.other._running.cluster_host, "_answer_question", never)
    page = await pair.op.get("/nodes")
    assert (page["nodes"], page["unanswered"]) == (pair.names[:1], pair.names[1:])
    assert not (await pair.op.get("/health"))["ready"]
    tag = pair.names[1]
    assert await pair.op.fails("GET", f"/connections/{tag}.1") == (503, "unanswered")


async def test_a_node_of_another_version_counts_as_one_that_does_not_answer(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanwire.admin.everywhere.TIMEOUT", 0.2)

    async def strange(question: bytes) -> bytes:
        return b"\xc1"

    monkeypatch.setattr(pair.other._running.cluster_host, "_answer_question", strange)
    assert (await pair.op.get("/rooms"))["unanswered"] == pair.names[1:]
    monkeypatch.undo()
    # And a question that this version does not know is counted.
    counts = pair.other._faults.counts["malformed"]
    asked = await pair.one._running.node.ask_nodes(pair.one._running.node.others, b"\x91\xa1?", 0.2)
    assert asked == {}
    await until(lambda: pair.other._faults.counts["malformed"] > counts)


async def test_a_node_that_is_cut_off_says_so_in_words(pair: Pair) -> None:
    await pair.ground.take_away()
    await until(lambda: not pair.one._running.node.is_ready)
    answer = await pair.one._running.this_node.answer(HealthQuestion())
    assert (answer.ready, answer.reasons) == (
        False, ["the backplane is away; this node connects to it again by itself"],
    )  # fmt: skip
    status, body = await pair.op.ask("GET", "/health?node=this")
    assert (status, body["ready"]) == (200, False)
    # The dashboard says the same.
    live = pair.one._running.live
    assert live is not None
    sample = await live.sample()
    assert (sample.is_ready, sample.reasons, sample.troubles) == (False, answer.reasons, answer.troubles)
    await pair.ground.bring_back()
    await until(lambda: pair.one._running.node.is_ready and pair.other._running.node.is_ready)
    assert pair.one._running.node.why_not_ready == []


async def test_a_list_that_needs_several_messages_comes_whole(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(pair.other._backplane), "max_bytes", 8192)
    rooms = [f"live.{number:04}.{'x' * 200}" for number in range(900)]
    for room in rooms:
        pair.other.publish(room, "x")
    conn = pair.other
    async with conn.client("/"):
        held = (await until(lambda: conn.opened))[0]
        for room in rooms:
            held.join(room)
        page = await pair.op.get("/rooms?limit=1000")
        assert [room["name"] for room in page["rooms"]] == rooms


async def test_presence_has_the_members_of_all_nodes(pair: Pair) -> None:
    for node in (pair.one, pair.other):
        node.room("here.*", join=True, presence=True, see_members=True)
    async with fanwire.connect(pair.one.url + "/?as=ann") as ann, fanwire.connect(pair.other.url + "/?as=bob") as bob:
        for client in (ann, bob):
            await client.join("here.1")
        found: list[Any] = []
        for _ in range(500):
            found = await pair.op.pages("/rooms/here.1/presence?limit=1", "members")
            if len(found) == 2:
                break
            await asyncio.sleep(0.01)
        subjects = [(await pair.op.get(f"/connections/{member['id']}"))["subject"] for member in found]
        assert sorted(subjects) == ["ann", "bob"]
