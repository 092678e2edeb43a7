"""The commands as processes: a server, its subscribers and its publishers."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from helpers.certificates import Authority
from helpers.listening import free_port
from helpers.program import Program
from helpers.wait import DEADLINE, PROCESS, within
from helpers.wire import request
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from fanwire.cli.failure import CommandFailed
from fanwire.cli.publish import ATTEMPTS, publish
from fanwire.cli.subscribe import subscribe

KEY = "secret"


QUICK = "[limits]\ndrain_spread = 0.5\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Program]:
    config = tmp_path / "server.toml"
    config.write_text(QUICK)
    options = ("--insecure", "--config", str(config), "--port", "0", "--api-key", KEY, "--room", "latest.*=latest")
    with Program("serve", *options) as program:
        yield program


@pytest.fixture
def url(server: Program) -> str:
    return server.url()


def subscriber(room: str, url: str, *options: str) -> Program:
    """A subscriber whose messages come from now on."""
    program = Program("subscribe", room, "--url", url, *options)
    assert program.err.next() == f"subscribed to {room} at {url}"
    return program


def publisher(room: str, url: str, *options: str, key: str = KEY) -> Program:
    return Program("publish", room, "--url", url, *options, env={"FANWIRE_API_KEY": key})


def test_lines_arrive_in_order(url: str) -> None:
    lines = [f"line {n}" for n in range(2000)]
    with subscriber("a/b-ü", url, "--count", "2000") as reader, publisher("a/b-ü", url) as writer:
        writer.feed("\n".join(lines).encode(), end=True)
        assert writer.exit_code() == 0
        assert writer.err.rest() == ["published 2000 messages to a/b-ü"]
        assert reader.exit_code() == 0
        assert reader.out.rest() == lines


@pytest.mark.parametrize("transport", ["websocket", "sse", "long-poll"])
def test_lines_arrive_by_each_transport(url: str, transport: str) -> None:
    lines = [f"line {n}" for n in range(50)]
    with (
        subscriber("r", url, "--count", "50", "--transport", transport) as reader,
        publisher("r", url, "--transport", transport, "--verbose") as writer,
    ):
        writer.feed("\n".join(lines).encode(), end=True)
        assert (writer.exit_code(), reader.exit_code()) == (0, 0)
        assert re.fullmatch(rf"session \S+ is new, by {transport}", writer.err.next())
        assert reader.out.rest() == lines


def test_compressed_lines_arrive(tmp_path: Path) -> None:
    config = tmp_path / "zip.toml"
    config.write_text(f'{QUICK}compression_level = 9\n[[rooms]]\npattern = "zip.*"\ncompress = true\n')
    lines = [f"{number} " * 500 for number in range(50)]
    with Program("serve", "--insecure", "--config", str(config), "--port", "0", "--api-key", KEY) as server:
        url = server.url()
        with (
            subscriber("zip.a", url, "--count", "50", "--compress") as reader,
            publisher("zip.a", url, "--compress", "--verbose", "--transport", "websocket") as writer,
        ):
            writer.feed("\n".join(lines).encode(), end=True)
            assert (writer.exit_code(), reader.exit_code()) == (0, 0)
            assert re.fullmatch(r"session \S+ is new, by websocket, compressed", writer.err.next())
            assert reader.out.rest() == lines


def test_lines_arrive_over_tls_by_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    chain, key = map(str, authority.sign("localhost", "localhost"))
    given = ("--insecure", "--port", "0", "--api-key", KEY, "--tls-certificate", chain, "--tls-key", key)
    with Program("serve", *given, cwd=tmp_path) as server:
        url = f"https://localhost:{urlsplit(server.url()).port}"
        ca = ("--ca", str(authority.file))
        with subscriber("a", url, "--count", "1", *ca) as reader, publisher("a", url, *ca) as writer:
            writer.feed(b"hello\n", end=True)
            assert (writer.exit_code(), reader.exit_code()) == (0, 0)
            assert reader.out.rest() == ["hello"]
        with Program("subscribe", "a", "--url", url) as stranger:
            assert stranger.exit_code() == 1
            assert "CERTIFICATE_VERIFY_FAILED" in "".join(stranger.err.rest())


@pytest.mark.parametrize(("url", "content", "reason"), [
    ("http://localhost:1", "", "--ca is for URLs that begin with https:// or wss://, got 'ws://localhost:1/'"),
    ("https://localhost:1", "nothing", "there is no certificate in it"),
    ("https://localhost:1", None, "does not exist"),
])  # fmt: skip
def test_a_wrong_file_of_certificates(tmp_path: Path, url: str, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with Program("subscribe", "a", "--url", url, "--ca", str(tmp_path / "ca.pem")) as program:
        assert program.exit_code() == 2
        assert reason in "".join(program.err.rest())


def test_a_line_leaves_as_soon_as_it_is_complete(url: str) -> None:
    with subscriber("a", url) as reader, publisher("a", url, "--quiet") as writer:
        for line in ("one", "", "two"):
            writer.feed(f"{line}\r\n".encode())
            assert reader.out.next() == line
        writer.feed(b"", end=True)
        assert (writer.exit_code(), writer.err.rest()) == (0, [])


def test_binary_messages_are_shown_as_base64_or_raw(url: str) -> None:
    with subscriber("a", url, "--count", "2") as coded, subscriber("a", url, "--count", "2", "--raw") as raw:
        with publisher("a", url, "--binary") as writer:
            writer.feed(b"\x00\xff\r\nraw", end=True)
            assert writer.exit_code() == 0
        assert coded.out.rest() == ["AP8N", "cmF3"]
        assert raw.out.rest() == ["\x00\\xff\r", "raw"]


def test_who_joins_a_room_of_latest_values_gets_the_newest_of_each_key(url: str) -> None:
    for key in ("a", "b"):
        with publisher("latest.x", url, "--key", key) as writer:
            writer.feed(f"old {key}\nnew {key}\n".encode(), end=True)
            assert writer.exit_code() == 0
    with subscriber("latest.x", url, "--count", "2") as reader:
        assert sorted(reader.out.rest()) == ["new a", "new b"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_subscribers_try_to_come_back(server: Program, url: str, number: signal.Signals) -> None:
    with subscriber("a", url) as reader, publisher("a", url) as writer:
        writer.feed(b"last words\n", end=True)
        assert writer.exit_code() == 0
        server.kill(number)
        assert server.exit_code() == 0
        assert reader.out.next() == "last words"
        assert reader.process.poll() is None
        reader.kill(signal.SIGINT)
        assert (reader.exit_code(), reader.err.rest()) == (0, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_subscriber_survives_a_restart_of_the_server(number: signal.Signals, tmp_path: Path) -> None:
    config = tmp_path / "quick.toml"
    config.write_text("[limits]\ndrain_spread = 0.0\n")
    # A port that nobody else is given in between.
    options = ("serve", "--insecure", "--config", str(config), "--api-key", KEY, "--port", str(free_port()))
    with Program(*options) as first:
        url = first.url()
        reader = Program("subscribe", "a", "--url", url, "--verbose", "--transport", "websocket")
        with reader:
            assert re.fullmatch(r"session \S+ is new, by websocket", reader.err.next())
            assert re.fullmatch(r"joined a at \w+:0, reliable", reader.err.next())
            assert reader.err.next() == f"subscribed to a at {url}"
            with publisher("a", url) as writer:
                writer.feed(b"before\n", end=True)
                assert writer.exit_code() == 0
            assert reader.out.next() == "before"
            first.kill(number)
            first.exit_code()
            assert re.fullmatch(r"reconnecting, a at \w+:1", reader.err.until("reconnecting"))
            with Program(*options) as second:
                second.url()
                assert re.fullmatch(r"session \S+ is new, by websocket", reader.err.until("session"))
                assert reader.err.until("gap") == "gap in a: new numbering after 1, messages continue after 0 (epoch)"
                with publisher("a", url) as writer:
                    writer.feed(b"after\n", end=True)
                    assert writer.exit_code() == 0
                assert reader.out.next() == "after"
                reader.kill(signal.SIGINT)
                assert reader.exit_code() == 0
                assert "closing, a at" in "".join(reader.err.rest())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(number: signal.Signals, tmp_path: Path) -> None:
    config = tmp_path / "patient.toml"
    config.write_text("[limits]\ndrain_timeout = 3600.0\nclose_timeout = 3600.0\n")
    with Program("serve", "--insecure", "--port", "0", "--config", str(config)) as server:
        parts = urlsplit(server.url())
        # It is told to close, and never answers.
        with socket.create_connection((parts.hostname, parts.port), DEADLINE) as peer:
            peer.sendall(request("/rooms/a"))
            received = b""
            while b"\r\n\r\n" not in received:
                received += peer.recv(4096)
            server.kill(number)
            assert peer.recv(2)[:1] == b"\x88"
            server.kill(number)
            # By the signal itself: nothing of the program has a say in it.
            assert server.exit_code() == -number
        assert not [line for line in server.err.rest() if "Traceback" in line]


def test_ctrl_c_ends_a_subscriber_well(url: str) -> None:
    with subscriber("a", url) as reader:
        reader.kill(signal.SIGINT)
        assert (reader.exit_code(), reader.err.rest()) == (0, [])


def test_a_reader_that_has_seen_enough_ends_a_subscriber_well(url: str) -> None:
    # As in `fanwire subscribe a | head -1`: nobody reads its lines.
    command = [sys.executable, "-m", "fanwire", "subscribe", "a", "--url", url]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader,
        publisher("a", url) as writer,
    ):
        assert reader.stdout is not None
        assert reader.stderr is not None
        assert reader.stderr.readline().startswith("subscribed")
        reader.stdout.close()
        writer.feed(b"one\n", end=True)
        assert reader.wait(PROCESS) == 0
        assert reader.stderr.read() == ""


def test_a_wrong_key_is_one_line(url: str) -> None:
    with publisher("a", url, key="wrong") as writer:
        assert writer.exit_code() == 1
        assert writer.err.rest() == [f"Error: {url}/: 401 Unauthorized"]


def test_a_refusal_ends_the_command_however_many_lines_wait(url: str) -> None:
    with publisher("room", url, key="") as writer:
        writer.feed(b"line\n" * 5000, end=True)
        assert writer.exit_code() == 1
        reason = "forbidden: this client may not publish to room 'room'"
        assert writer.err.rest() == [f"Error: line 1 was not published: {reason}"]


def test_who_has_no_key_does_not_publish(url: str) -> None:
    with Program("publish", "a", "--url", url) as writer:
        writer.feed(b"one\ntwo\n", end=True)
        assert writer.exit_code() == 1
        reason = "forbidden: this client may not publish to room 'a'"
        assert writer.err.rest() == [f"Error: line 1 was not published: {reason}"]


def test_a_line_that_is_not_taken_is_named_at_once(url: str) -> None:
    with subscriber("a", url, "--count", "1") as reader, publisher("a", url) as writer:
        writer.feed(b"fine\n\xff\n")
        assert writer.exit_code() == 1
        assert writer.err.rest() == [
            "Error: line 2 was not published: the line is not UTF-8; use --binary for other bytes"
        ]
        assert reader.out.rest() == ["fine"]


def test_verbose_tells_of_the_session_of_a_publisher(url: str) -> None:
    with publisher("a", url, "--verbose", "--transport", "websocket") as writer:
        writer.feed(b"one\n", end=True)
        assert writer.exit_code() == 0
        session, *rest = writer.err.rest()
        assert re.fullmatch(r"session \S+ is new, by websocket", session)
        assert rest == ["closing", "closed", "published 1 message to a"]


def test_documents_are_shown_as_json(url: str) -> None:
    with subscriber("a", url, "--count", "1") as reader:
        post = Request(f"{url.replace('ws', 'http', 1)}/rooms/a", b'{"eur": [1.08, null, 18446744073709551615]}')
        post.add_header("Authorization", f"Bearer {KEY}")
        post.add_header("Content-Type", "application/json")
        with urlopen(post, timeout=DEADLINE) as answer:
            assert answer.status == 200
        assert reader.out.rest() == ['{"eur":[1.08,null,18446744073709551615]}']


def test_nobody_there_is_one_line() -> None:
    with socket.socket() as silent:
        # Bound, so that nobody else takes the port, and not listening.
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        for program in (publisher("a", f"http://{address}"), Program("subscribe", "a", "--url", f"ws://{address}")):
            with program:
                assert program.exit_code() == 1
                assert program.err.rest() == [f"Error: ws://{address}/: Connection refused"]


@pytest.mark.parametrize("path", ["/x", "/x/rooms", "/rooms/"])
def test_a_session_may_come_at_any_path(url: str, path: str) -> None:
    with Program("subscribe", "a", "--url", url + path) as reader:
        assert reader.err.next() == f"subscribed to a at {url}{path}"


def test_an_address_in_use_is_one_line(url: str) -> None:
    with Program("serve", "--insecure", "--port", str(urlsplit(url).port)) as second:
        assert second.exit_code() == 1
        (said,) = second.err.rest()
        assert said.startswith(f"Error: cannot listen at {urlsplit(url).netloc}: Address already in use. ")
        assert "choose another port" in said


def test_a_wrong_file_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text("[limits]\nshards = -1\n")
    with Program("serve", "--insecure", "--port", "0", "--config", str(config)) as server:
        assert server.exit_code() == 2
        assert server.err.rest() == [f"Error: limits.shards must be from 0 to 256, got -1 ({config}, line 2)"]


def test_what_only_the_engine_refuses_is_one_line() -> None:
    with Program("serve", "--insecure", "--port", "0", "--shards", "100000") as server:
        assert server.exit_code() == 2
        (line,) = server.err.rest()
        assert line.startswith("Error: shards must be")


@pytest.fixture
def full() -> Iterator[BinaryIO]:
    with Path("/dev/full").open("wb") as file:
        yield file


async def test_a_full_disk_ends_the_command(url: str, full: BinaryIO) -> None:
    with publisher("a", url) as writer:
        # Without an end: the command must not wait for more.
        reading = subscribe(url, "a", full, missed=print, joined=lambda: writer.feed(b"one\n"))
        with pytest.raises(CommandFailed, match="the messages cannot be written: No space left on device"):
            await within(reading)


@asynccontextmanager
async def overloaded(times: int) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that is, for so many messages; and the messages it was sent."""
    heard: list[str] = []

    async def handle(peer: ServerConnection) -> None:
        await peer.send(json.dumps({"type": "welcome", "payload": {"session": "S", "resumed": False}}))
        async for frame in peer:
            message = json.loads(frame)
            heard.append(message["payload"])
            error = {"code": "overloaded", "text": "full", "retry": True, "retry_after_ms": 0}
            answer = {"type": "reply", "seq": len(heard)}
            if len(heard) <= times:
                answer = {"type": "error", "payload": error}
            await peer.send(json.dumps({"re": message["id"], "room": "a", **answer}))

    protocol = Subprotocol("fanwire.v1.json")
    async with serve(handle, "127.0.0.1", 0, subprotocols=[protocol], close_timeout=1.0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", heard


async def lines(*texts: bytes) -> AsyncIterator[bytes]:
    for text in texts:
        yield text


async def test_an_overloaded_server_is_asked_again() -> None:
    async with overloaded(ATTEMPTS - 1) as (url, heard):
        assert await within(publish(url, "a", lines(b"one"))) == 1
    assert heard == ["one"] * ATTEMPTS


async def test_what_an_overloaded_server_refuses_is_sent_again_in_order() -> None:
    async with overloaded(2) as (url, heard):
        assert await within(publish(url, "a", lines(b"one", b"two"))) == 2
    assert heard == ["one", "two", "one", "two"]


async def test_not_for_ever() -> None:
    async with overloaded(1000) as (url, heard):
        with pytest.raises(CommandFailed, match="line 1 was not published: overloaded: full"):
            await within(publish(url, "a", lines(b"one")))
    assert heard == ["one"] * ATTEMPTS
