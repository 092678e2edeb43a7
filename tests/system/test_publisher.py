"""`fanwire.Publisher` and `fanwire.AsyncPublisher` against real servers."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.answering import answering, published
from helpers.serving import Book, take
from helpers.wait import DEADLINE, PROCESS, until, within

import fanwire
from fanwire.publisher.http_poster import HttpPoster, PostFailed
from fanwire.publisher.target import PublishTarget

KEY = "key-two"
ONE: dict[str, Any] = {"room": "a", "seq": 1}


async def test_what_a_program_publishes_arrives_as_it_is() -> None:
    server = Book(api_keys=[KEY])
    server.room("kept", history=10)
    async with server, server.client("/a,kept") as client:
        with fanwire.Publisher(server.url, key=KEY) as publisher:
            for data, frame in ((b"\x00\xff", b"\x00\xff"), ("\u00fc 1", "\u00fc 1"), ({"x": [1]}, '{"x":[1]}')):
                found = await asyncio.to_thread(publisher.publish, "a", data)
                assert await take(client, 1) == [frame]
            assert (found.room, found.seq, found.epoch, found.position) == ("a", 3, None, None)
            found = await asyncio.to_thread(publisher.publish, "kept", "x", id="one")
            again = await asyncio.to_thread(publisher.publish, "kept", "x", id="one")
        assert found == again
        (kept,) = await server.history("kept")
        assert kept.position == found.position


async def test_an_async_publisher_does_the_same_over_one_connection() -> None:
    server = Book(api_keys=[KEY])
    server.room("q", delivery="latest")
    async with server, server.client("/a,q") as client:
        async with fanwire.AsyncPublisher(server.url, key=KEY) as publisher:
            assert (await publisher.publish("a", "x")).seq == 1
            assert (await publisher.publish("q", 5, "EUR")).seq == 1
            assert (await publisher.publish("a", "y", delivery="drop-oldest")).seq == 2
            assert server._http.connections == 1
        assert await take(client, 3) == ["x", "5", "y"]
        with pytest.raises(fanwire.Closed):
            await publisher.publish("a", "x")


async def test_many_messages_go_in_batches_and_keep_their_order() -> None:
    server = Book({"connection_bytes": 8 << 20}, api_keys=[KEY])
    async with server, server.client("/a,b") as client, fanwire.AsyncPublisher(server.url, key=KEY) as publisher:
        messages = [("ab"[number % 2], str(number)) for number in range(1200)]
        found = await publisher.publish_many(messages)
        assert [(one.room, one.seq) for one in found] == [("ab"[n % 2], n // 2 + 1) for n in range(1200)]
        assert await take(client, 1200) == [text for _, text in messages]


async def test_refusals_are_errors_with_a_code() -> None:
    async with Book(api_keys=[KEY]) as server:
        with fanwire.Publisher(server.url, key="another") as publisher:
            with pytest.raises(fanwire.RequestFailed) as failed:
                await asyncio.to_thread(publisher.publish, "a", "x")
            assert failed.value.code == "unauthorized"
        async with fanwire.AsyncPublisher(server.url, key=KEY) as right:
            with pytest.raises(fanwire.RequestFailed) as failed:
                await right.publish("a", "x", "a-key")
            assert failed.value.code == "bad_message"
            with pytest.raises(fanwire.PublishFailed, match="1 of 3 messages failed") as some:
                await right.publish_many([("a", 1), ("a", 2, "a-key"), fanwire.Publication("a", 3)])
            assert [getattr(one, "seq", None) for one in some.value.results] == [1, None, 2]
        async with fanwire.AsyncPublisher(server.url + "/nothing", key=KEY) as wrong:
            with pytest.raises(fanwire.RequestFailed):
                await wrong.publish("a", "x")


async def test_invalid_messages_publish_nothing() -> None:
    async with Book(api_keys=[KEY]) as server, fanwire.AsyncPublisher(server.url, key=KEY) as publisher:
        with pytest.raises(ValueError, match=r"messages\[1\]: \$.x must be a finite number"):
            await publisher.publish_many([("a", 1), ("a", {"x": float("nan")})])
        with pytest.raises(TypeError, match=r"messages\[0\] must be a Publication"):
            await publisher.publish_many([{"room": "a"}])  # type: ignore[list-item]  # what is tested
        with pytest.raises(ValueError, match="id must have 1 to 200 bytes, got 201"):
            await publisher.publish("a", 1, id="x" * 201)
        assert server.stats()["published"] == 0


def test_a_lost_answer_is_asked_for_again_with_the_same_id() -> None:
    with answering(None, (503, {"Retry-After": "0"}, b"busy"), (502, {}, b"<html>"), published(ONE)) as server:
        with fanwire.Publisher(server.url, key=KEY) as publisher:
            found = publisher.publish("a", {"x": 1})
        assert found.seq == 1
        assert len(server.bodies) == 4
        assert len({str(body) for body in server.bodies}) == 1
        assert server.bodies[0] == [{"room": "a", "id": found.id, "payload": {"x": 1}}]
        assert server.heads[0]["Authorization"] == f"Bearer {KEY}"


async def test_an_async_publisher_asks_again_too() -> None:
    with answering(None, (429, {"Retry-After": "0"}, b""), published(ONE)) as server:
        async with fanwire.AsyncPublisher(server.url) as publisher:
            assert (await publisher.publish("a", b"\x00", id="mine")).seq == 1
    assert [body[0]["id"] for body in server.bodies] == ["mine"] * 3


def test_only_the_messages_that_may_succeed_are_sent_again() -> None:
    busy = {"error": {"code": "overloaded", "text": "later", "retry": True, "retry_after_ms": 0}}
    wrong = {"error": {"code": "bad_room", "text": "no", "retry": False}}
    script = (published(ONE, busy, wrong, status=207), published({"room": "a", "seq": 2}))
    with answering(*script) as server, fanwire.Publisher(server.url) as publisher:
        messages = [("a", 1), ("a", 2), ("b", 3)]
        with pytest.raises(fanwire.PublishFailed) as failed:
            publisher.publish_many(messages)
    assert [getattr(one, "seq", None) for one in failed.value.results] == [1, 2, None]
    assert [[entry["payload"] for entry in body] for body in server.bodies] == [[1, 2, 3], [2]]


def test_a_server_that_takes_less_gets_smaller_batches() -> None:
    results = [{"room": "a", "seq": number} for number in (1, 2)]
    script = ((413, {}, b"{}"), published(*results), published(*results))
    with answering(*script) as server, fanwire.Publisher(server.url) as publisher:
        assert [one.seq for one in publisher.publish_many([("a", number) for number in range(4)])] == [1, 2, 1, 2]
    assert [len(body) for body in server.bodies] == [4, 2, 2]


def test_a_server_that_is_away_ends_the_wait_at_the_deadline() -> None:
    with answering((503, {}, b"")) as server, fanwire.Publisher(server.url, timeout=0.3) as publisher:
        said = ""
        while "503" not in said:
            # On a busy machine the last attempt may have got no answer in time.
            with pytest.raises(fanwire.Unavailable, match=r"within 0.3 s and \d+ attempts") as raised:
                publisher.publish("a", 1)
            said = str(raised.value)
        with pytest.raises(fanwire.Unavailable, match=r"within 0\.1 s"):
            publisher.publish("a", 1, timeout=0.1)
    with fanwire.Publisher(server.url, timeout=0.1) as publisher, pytest.raises(fanwire.Unavailable):
        publisher.publish("a", 1)


def test_after_a_batch_that_nobody_takes_the_others_are_not_sent() -> None:
    with answering((401, {}, b'{"code":"unauthorized"}')) as server, fanwire.Publisher(server.url) as publisher:
        messages = [("a", number) for number in range(1100)]
        with pytest.raises(fanwire.PublishFailed) as failed:
            publisher.publish_many(messages)
    assert len(failed.value.results) == 1100
    assert len(server.bodies) == 1


@pytest.mark.parametrize("body", [b"<html>", b'{"results":[]}', b'{"results":[{"seq":"x"}]}', b"\xff"])
def test_an_answer_of_something_else_is_an_error(body: bytes) -> None:
    with answering((200, {}, body)) as server:
        publisher = fanwire.Publisher(server.url)
        with pytest.raises(fanwire.ConnectionFailed, match="does not answer like a Fanwire server"):
            publisher.publish("a", 1)
        publisher.close()


async def test_an_endless_answer_is_cut_off() -> None:
    with answering((200, {}, bytes(2 << 20))) as server:
        publisher = fanwire.Publisher(server.url)
        with pytest.raises(fanwire.ConnectionFailed, match="more than 1048576 bytes"):
            await asyncio.to_thread(publisher.publish, "a", 1)
        async with fanwire.AsyncPublisher(server.url) as other:
            with pytest.raises(fanwire.ConnectionFailed, match="more than 1048576 bytes"):
                await other.publish("a", 1)


def test_threads_share_a_publisher_and_its_connections() -> None:
    with answering(published(ONE)) as server, fanwire.Publisher(server.url, max_connections=3) as publisher:
        with ThreadPoolExecutor(16) as threads:
            assert {one.seq for one in threads.map(lambda n: publisher.publish("a", n), range(200))} == {1}
        assert sorted(body[0]["payload"] for body in server.bodies) == list(range(200))
        assert len(server.peers) <= 3


def test_forked_processes_have_connections_of_their_own() -> None:
    with answering(published(ONE)) as server:
        publisher = fanwire.Publisher(server.url)
        publisher.publish("a", -1)

        def work(number: int) -> None:
            publisher.publish("a", number)

        context = multiprocessing.get_context("fork")
        children = [context.Process(target=work, args=(number,)) for number in range(3)]
        for child in children:
            child.start()
        publisher.publish("a", 9)
        for child in children:
            child.join(PROCESS)
        assert [child.exitcode for child in children] == [0, 0, 0]
        publisher.close()
    assert sorted(body[0]["payload"] for body in server.bodies) == [-1, 0, 1, 2, 9]
    # The parent has kept its own.
    assert len(server.peers) == 4


def test_a_publisher_works_while_the_interpreter_ends() -> None:
    with answering(published(ONE)) as server:
        program = (
            "import atexit, fanwire\n"
            f"publisher = fanwire.Publisher({server.url!r})\n"
            "atexit.register(lambda: publisher.publish('a', 'last words'))\n"
            "publisher.publish('a', 'first')\n"
        )
        subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=PROCESS)
    assert [body[0]["payload"] for body in server.bodies] == ["first", "last words"]


async def test_no_thread_is_started_and_a_second_loop_is_told() -> None:
    with answering(published(ONE)) as server:
        before = threading.active_count()
        with fanwire.Publisher(server.url) as publisher:
            publisher.publish("a", 1)
            # One is the web server's for this connection.
            assert threading.active_count() <= before + 1
        async with fanwire.AsyncPublisher(server.url) as other:
            await other.publish("a", 1)

            def elsewhere() -> None:
                asyncio.run(other.publish("a", 1))

            with pytest.raises(RuntimeError, match="another event loop"):
                await within(asyncio.to_thread(elsewhere))


async def test_a_message_that_is_too_large_does_not_keep_the_others_back() -> None:
    async with Book({"max_message": 100_000}, api_keys=[KEY]) as server, server.client("/a") as client:
        messages = [("a", "one"), ("a", "x" * 600_000), ("a", "two"), ("a", "y" * 150_000), ("a", "three")]
        with (
            fanwire.Publisher(server.url, key=KEY) as publisher,
            pytest.raises(fanwire.PublishFailed, match="2 of 5 messages failed") as caught,
        ):
            await asyncio.to_thread(publisher.publish_many, messages)
        assert [getattr(one, "code", "") for one in caught.value.results] == ["", "too_large", "", "too_large", ""]
        async with fanwire.AsyncPublisher(server.url, key=KEY) as publisher:
            with pytest.raises(fanwire.PublishFailed, match="2 of 5 messages failed"):
                await publisher.publish_many(messages)
        assert await take(client, 6) == ["one", "two", "three"] * 2


def test_an_answer_that_is_cut_off_is_asked_for_again() -> None:
    status, _, body = published(ONE) or (0, {}, b"")
    with answering((status, {"Content-Length": "999", "Connection": "close"}, body[:9]), published(ONE)) as server:
        assert fanwire.Publisher(server.url, timeout=10).publish("a", 1, id="1").seq == 1
        assert [body[0]["id"] for body in server.bodies] == ["1", "1"]


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"])
def test_a_server_that_answers_byte_by_byte_holds_nobody_for_longer_than_the_timeout(head: bytes) -> None:
    left = threading.Event()

    def answer(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer, contextlib.suppress(OSError):
            peer.recv(65536)
            peer.sendall(head)
            for _ in range(200):
                peer.sendall(b" ")
                time.sleep(0.05)
            return
        left.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with pytest.raises(fanwire.Unavailable):
            fanwire.Publisher(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3).publish("a", 1)
        thread.join()
    # The publisher has closed the connection before the server had said all.
    assert left.is_set()


def test_who_has_waited_for_a_connection_has_less_time_for_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now, timeouts = 100.0, []

    class Slots:
        def acquire(self, timeout: float) -> bool:
            nonlocal now
            now += timeout - 1
            return True

        def release(self) -> None:
            pass

    def request(*_: object, timeout: Any, **__: object) -> None:
        timeouts.append(timeout.total)
        raise OSError("no answer")

    monkeypatch.setattr("fanwire.publisher.http_poster.time", SimpleNamespace(monotonic=lambda: now))
    poster = HttpPoster(PublishTarget.of("http://127.0.0.1:1", None, None, 10.0, 1, "fanwire"))
    monkeypatch.setattr(poster._pool, "slots", Slots())
    monkeypatch.setattr(poster._pool, "manager", SimpleNamespace(request=request))
    with pytest.raises(PostFailed, match="no answer"):
        poster.post(b"[]", 10.0)
    assert timeouts == [1.0]


async def test_closing_ends_calls_that_are_under_way_and_leaves_no_connection() -> None:
    with answering((503, {"Retry-After": "1"}, b"")) as server:
        publisher = fanwire.AsyncPublisher(server.url, timeout=60)
        call = asyncio.ensure_future(publisher.publish("a", 1))
        await until(lambda: bool(server.bodies), "it has asked")
        await publisher.close()
        with pytest.raises(fanwire.Closed, match="unknown"):
            await within(call)
        # One more attempt may have begun before.
        assert len(server.bodies) <= 2


async def test_closing_ends_calls_that_wait_for_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(DEADLINE)
        publisher = fanwire.AsyncPublisher(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=30, max_connections=1)
        calls = [asyncio.ensure_future(publisher.publish("a", 1)) for _ in range(3)]
        peer, _ = await within(asyncio.get_running_loop().run_in_executor(None, silent.accept))
        with peer:
            await publisher.close()
            results = await within(asyncio.gather(*calls, return_exceptions=True))
        assert [type(result) for result in results] == [fanwire.Closed] * 3
