"""From a request to a connection: who is let in, who is refused, and what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from helpers.newcomer_host import NewcomerHost, welcome_of
from helpers.wait import until, within

import fanwire
from fanwire.handshake.admission import count_of
from fanwire.identity.identity import ANONYMOUS
from fanwire.identity.request import Request
from fanwire.sessions.store import Record

RETRY = ["Retry-After: 1"]


async def test_without_authentication_a_client_is_in_at_once() -> None:
    host = NewcomerHost()
    asked = host.ask("/a?b=c", headers=b"X-One: 1\r\nX-Two: 2")
    assert host.engine.accepted == {asked: (None, b"", 1.0)}
    (connection,) = host.connections
    assert (connection.id, connection._link) == (host.links[asked].id, host.links[asked].id)
    assert (connection.identity, connection.session, connection.state) == (None, None, fanwire.ConnectionState.OPEN)
    assert (connection.request.path, connection.request.query, connection.request.remote) == (
        "/a", {"b": "c"}, "192.0.2.1",
    )  # fmt: skip


async def test_it_costs_no_task() -> None:
    host = NewcomerHost(lambda request: "ann")
    before = asyncio.all_tasks()
    host.ask()
    host.ask(subprotocol="fanwire.v1.json")
    assert asyncio.all_tasks() == before
    assert len(host.connections) == 2


@pytest.mark.parametrize("is_async", [False, True])
async def test_handlers_see_headers_and_afterwards_they_are_gone(is_async: bool) -> None:
    seen: list[str] = []

    def connected(connection: fanwire.Connection) -> None:
        seen.append(connection.request.headers["X-One"])

    async def connected_later(connection: fanwire.Connection) -> None:
        await asyncio.sleep(0)
        connected(connection)

    host = NewcomerHost()
    host.registry._on_connect = connected_later if is_async else connected
    host.ask(headers=b"X-One: 1")
    await until(lambda: seen == ["1"])
    await until(lambda: not host.connections[0].request.headers)


@pytest.mark.parametrize("subprotocol", [None, "fanwire.v1.raw"])
async def test_a_client_without_a_codec_has_no_session(subprotocol: str | None) -> None:
    host = NewcomerHost()
    asked = host.ask("/?session=x&received=1", subprotocol)
    assert host.engine.accepted[asked] == (None, b"", 1.0)
    assert host.connections[0].session is None


async def test_a_client_with_a_codec_has_a_session_and_is_told() -> None:
    host = NewcomerHost()
    asked = host.ask("/", "fanwire.v1.json")
    session, first, _ = host.engine.accepted[asked]
    (connection,) = host.connections
    assert session == "json"
    assert connection._session is not None
    told = welcome_of(first)
    assert (told["session"], told["resumed"], told["received"]) == (connection.session, False, 0)
    assert "reason" not in told


async def test_the_identity_sets_the_rate() -> None:
    host = NewcomerHost(lambda request: fanwire.Identity(subject="feed", rate=10))
    assert host.engine.accepted[host.ask()][2] == 10.0


def failing(error: BaseException, is_async: bool) -> Any:
    def plain(request: Request) -> Any:
        raise error

    async def later(request: Request) -> Any:
        await asyncio.sleep(0)
        raise error

    return later if is_async else plain


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (fanwire.Refused(401, "who?"), (401, [], "who?")),
        (fanwire.Refused(429, "later", retry_after=7), (429, ["Retry-After: 7"], "later")),
        (fanwire.Reject("closed", "not today"), (403, [], "closed: not today")),
        (fanwire.Reject("busy", "soon", retry=True, retry_after=1.5), (503, ["Retry-After: 2"], "busy: soon")),
    ],
)
async def test_refused(error: BaseException, answer: tuple[int, list[str], str], is_async: bool) -> None:
    host = NewcomerHost(failing(error, is_async))
    asked = host.ask()
    await until(lambda: host.engine.refused == {asked: answer})
    assert not host.connections
    assert not host.errors


@pytest.mark.logs_errors
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        SystemExit(1),
        asyncio.CancelledError(),
        asyncio.TimeoutError("its own"),
        fanwire.errors.EngineFailed("x"),
    ],
)
async def test_whatever_else_is_raised_is_500(error: BaseException, is_async: bool) -> None:
    host = NewcomerHost(failing(error, is_async))
    asked = host.ask()
    await until(lambda: host.engine.refused == {asked: (500, [], "authenticate failed")})
    assert host.errors == ["authenticate"]


async def test_one_that_takes_too_long_is_503_and_cancelled() -> None:
    ended = asyncio.Event()

    async def hang(request: Request) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "ann"

    host = NewcomerHost(hang, handshake_timeout=0.01)
    asked = host.ask()
    await within(ended.wait())
    await until(lambda: host.engine.refused == {asked: (503, RETRY, "authenticate took too long")})


async def test_those_who_wait_do_not_wait_for_each_other() -> None:
    gates: dict[str, asyncio.Event] = {"/1": asyncio.Event(), "/2": asyncio.Event()}

    async def think(request: Request) -> str:
        await gates[request.path].wait()
        return request.path

    host = NewcomerHost(think)
    first, second = host.ask("/1"), host.ask("/2")
    gates["/2"].set()
    await until(lambda: list(host.engine.accepted) == [second])
    gates["/1"].set()
    await until(lambda: list(host.engine.accepted) == [second, first])
    assert [connection.identity for connection in host.connections] == ["/2", "/1"]


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_authenticate_is_cancelled_when_the_peer_leaves(turns: int) -> None:
    ended: list[str] = []

    async def hang(request: Request) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "ann"

    host = NewcomerHost(hang)
    asked = host.ask()
    for _ in range(turns):
        await asyncio.sleep(0)
    host.leave(asked)
    await until(lambda: ended == ["cancelled"])
    await until(lambda: not host.handshakes._waiting)
    assert not host.connections


async def test_who_has_left_is_no_connection() -> None:
    def leave(request: Request) -> str:
        host.links[next(iter(host.links))].leaves()
        return "ann"

    host = NewcomerHost(leave)
    host.ask()
    assert not host.connections
    assert not host.registry.links
    assert not host.engine.accepted


@pytest.mark.parametrize("turns", [0, 5])
async def test_at_the_stop_those_who_wait_and_those_who_come_are_503(turns: int) -> None:
    async def hang(request: Request) -> str:
        await asyncio.Event().wait()
        return "ann"

    host = NewcomerHost(hang)
    waiting = host.ask()
    for _ in range(turns):
        await asyncio.sleep(0)
    host.handshakes.close()
    late = host.ask()
    await until(lambda: set(host.engine.refused) >= {waiting})
    host.handshakes.gone(late)
    await until(lambda: set(host.engine.refused) == {waiting, late})
    assert set(map(str, host.engine.refused.values())) == {str((503, RETRY, "the server is shutting down"))}


async def test_one_that_answers_after_the_stop_lets_nobody_in() -> None:
    host = NewcomerHost()
    host.handshakes.close()
    asked = host.ask()
    assert host.engine.refused == {asked: (503, RETRY, "the server is shutting down")}


async def test_an_engine_that_has_ended_is_no_error() -> None:
    host = NewcomerHost()
    link = host.engine.ask()
    host.engine.shutdown(0)
    host.handshakes.begin(link.request, (b"/", b"", "192.0.2.1", False, False, None, "websocket", None, False))
    assert not host.connections
    assert not host.errors


@pytest.mark.logs_errors
async def test_an_error_of_the_server_is_500(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError

    host = NewcomerHost()
    monkeypatch.setattr(host.registry, "connected", fail)
    monkeypatch.setattr("fanwire.handshake.admission.open_link", fail)
    asked = host.ask()
    assert host.engine.refused == {asked: (500, [], "the handshake failed")}
    assert host.errors == ["handshake"]


# Users.


async def test_one_with_too_many_connections_is_429() -> None:
    host = NewcomerHost(lambda request: "ann", max_user_connections=1)
    host.ask()
    asked = host.ask()
    assert host.engine.refused[asked][:2] == (429, ["Retry-After: 5"])
    assert len(host.connections) == 1


async def test_one_that_is_sent_away_while_it_comes_in_is_401() -> None:
    gate = asyncio.Event()

    async def think(request: Request) -> str:
        await gate.wait()
        return "ann"

    host = NewcomerHost(think)
    asked = host.ask()
    await asyncio.sleep(0)
    host.registry.revocation.disconnect_user("ann", "")
    gate.set()
    await until(lambda: host.engine.refused)
    assert host.engine.refused[asked][0] == 401


# Sessions.


class Store:
    """A store of other nodes' sessions, which takes its time if it `is_async`."""

    def __init__(self, record: Record | BaseException | None, is_async: bool) -> None:
        self._record = record
        self._is_async = is_async

    def save(self, record: Record, ttl: float) -> None:
        """Keeps nothing."""

    def load(self, id: str) -> Awaitable[Record | None] | Record | None:
        return self._load() if self._is_async else self._now()

    async def _load(self) -> Record | None:
        await asyncio.sleep(0)
        return self._now()

    def _now(self) -> Record | None:
        if isinstance(self._record, BaseException):
            raise self._record
        return self._record

    def delete(self, id: str) -> None:
        """There is nothing."""


async def test_a_session_goes_on() -> None:
    host = NewcomerHost(lambda request: "ann")
    host.ask("/", "fanwire.v1.json")
    (connection,) = host.connections
    session = connection._session
    assert session is not None
    session.received = 3
    session.refused(2, 100)
    asked = host.ask(f"/?session={session.id}&received=7", "fanwire.v1.json")
    conn, encoding, received, refusals, accepted, refused, farewell, rate, batch, delta = host.engine.resumed[asked]
    assert (conn, encoding, received, refusals, farewell, rate, batch, delta) == (
        connection.id, "json", 7, 2, (4503, "another connection uses this session"), 1.0, False, False,
    )  # fmt: skip
    told = welcome_of(accepted)
    assert (told["session"], told["resumed"], told["received"]) == (session.id, True, 5)
    for reason, first in refused.items():
        told = welcome_of(first)
        assert (told["resumed"], told["received"], told["reason"]) == (False, 0, reason)
        assert told["session"] != session.id
    assert (connection._link, host.connections) == (host.links[asked].id, [connection])


@pytest.mark.parametrize("who", ["bob", None])
async def test_anothers_session_is_unknown(who: str | None) -> None:
    names = iter(["ann", who])
    host = NewcomerHost(lambda request: next(names) or ANONYMOUS)
    host.ask("/", "fanwire.v1.json")
    session = host.connections[0]._session
    assert session is not None
    asked = host.ask(f"/?session={session.id}&received=0", "fanwire.v1.json")
    assert welcome_of(host.engine.accepted[asked][1])["reason"] == "unknown"
    assert len(host.connections) == 2


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_session_of_another_node(is_async: bool) -> None:
    record = Record(id="i", owner="ann", lineage="l", ended=None, rooms={"a": ("e", 7)})
    host = NewcomerHost(lambda request: "ann", store=Store(record, is_async))
    asked = host.ask("/?session=i&received=0", "fanwire.v1.json")
    await until(lambda: asked in host.engine.accepted)
    told = welcome_of(host.engine.accepted[asked][1])
    assert (told["resumed"], told["reason"], told["rooms"]) == (False, "other node", {"a": {"epoch": "e", "seq": 7}})


@pytest.mark.logs_errors
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1), asyncio.CancelledError()])
async def test_a_store_that_fails_keeps_nobody_out(error: BaseException, is_async: bool) -> None:
    host = NewcomerHost(store=Store(error, is_async))
    asked = host.ask("/?session=i&received=0", "fanwire.v1.json")
    await until(lambda: asked in host.engine.accepted)
    assert welcome_of(host.engine.accepted[asked][1])["reason"] == "unknown"
    assert len(host.errors) == 1


@pytest.mark.logs_errors
async def test_a_store_that_hangs_keeps_nobody_out() -> None:
    class Hanging(Store):
        async def _load(self) -> None:
            await asyncio.Event().wait()

    host = NewcomerHost(store=Hanging(None, True), handshake_timeout=0.01)
    asked = host.ask("/?session=i&received=0", "fanwire.v1.json")
    await until(lambda: asked in host.engine.accepted)
    assert welcome_of(host.engine.accepted[asked][1])["reason"] == "unknown"


async def test_who_leaves_while_the_store_looks_is_no_connection() -> None:
    class Hanging(Store):
        async def _load(self) -> None:
            await asyncio.Event().wait()

    host = NewcomerHost(store=Hanging(None, True))
    asked = host.ask("/?session=i&received=0", "fanwire.v1.json")
    host.leave(asked)
    await until(lambda: not host.handshakes._waiting)
    assert not host.connections


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("17", 17), ("", 1 << 62), ("-1", 1 << 62), ("1.0", 1 << 62), ("\u0661", 1 << 62), ("9" * 19, 1 << 62)],
)
def test_what_is_no_count_is_more_than_there_can_be(text: str, count: int) -> None:
    assert count_of(text) == count
