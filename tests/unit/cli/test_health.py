"""`fanwire health`: which answers are healthy, and what a person reads about the others."""

from __future__ import annotations

import gc
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from helpers.commands import run
from helpers.wait import DEADLINE

from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.cli.health import check_health

READY = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n"


class Answering:
    """A server that gives one answer, and keeps the request."""

    def __init__(self, listener: socket.socket, answer: bytes) -> None:
        self.request = b""
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}" if listener.family == socket.AF_INET else ""
        self._listener = listener
        self._answer = answer
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Answering:
        self._listener.settimeout(DEADLINE)
        self._listener.listen()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(DEADLINE)
        self._listener.close()

    def _run(self) -> None:
        with self._listener.accept()[0] as peer:
            peer.settimeout(DEADLINE)
            while b"\r\n\r\n" not in self.request and (data := peer.recv(4096)):
                self.request += data
            peer.sendall(self._answer)
            if not self._answer:
                # Until the client has given up.
                peer.recv(1)


@contextmanager
def answering(answer: bytes) -> Iterator[Answering]:
    with Answering(socket.create_server(("127.0.0.1", 0)), answer) as server:
        yield server


@pytest.mark.parametrize(("options", "line"), [((), b"GET /readyz HTTP/1.1"), (("--live",), b"GET /healthz HTTP/1.1")])
def test_a_healthy_server_is_exit_code_0(options: tuple[str, ...], line: bytes) -> None:
    with answering(READY) as server:
        result = run("health", "--url", server.url, *options)
    assert (result.exit_code, result.output) == (0, "ready\n")
    assert server.request.startswith(line + b"\r\n")


def test_a_server_below_a_path_is_asked_there() -> None:
    with answering(READY) as server:
        assert check_health(server.url + "/rt/") == "ready"
    assert server.request.startswith(b"GET /rt/readyz ")


def test_a_unix_socket_is_asked(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    with Answering(listener, READY):
        assert run("health", "--unix", str(tmp_path / "s")).output == "ready\n"


def test_an_answer_of_another_status_is_exit_code_1() -> None:
    with answering(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 10\r\n\r\nnot ready\n") as server:
        result = run("health", "--url", server.url)
    where = server.url.replace("http", "ws")
    assert (result.exit_code, result.stderr) == (1, f"Error: {where}/readyz has answered 503: 'not ready'\n")


def test_a_404_says_where_fanwire_is_beside_an_application() -> None:
    with answering(b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot found") as server:
        result = run("health", "--url", server.url)
    assert result.exit_code == 1
    assert result.stderr.endswith("'not found'; beside an application Fanwire is at /fanwire by default\n")


@pytest.mark.parametrize("answer", [b"SSH-2.0-Open\r\n", b"HTTP/1.1 ready\r\n\r\n"])
def test_what_is_no_answer_of_http_is_exit_code_1(answer: bytes) -> None:
    with answering(answer) as server:
        result = run("health", "--url", server.url)
    assert result.exit_code == 1
    assert "/readyz cannot be asked: " in result.stderr


def test_a_long_answer_is_cut() -> None:
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b"x" * 5000) as server:
        assert check_health(server.url) == "x" * 200


def test_silence_ends_after_the_timeout() -> None:
    with answering(b"") as server:
        result = run("health", "--url", server.url, "--timeout", "0.05")
    assert result.exit_code == 1
    assert "has not answered within 0.05 seconds" in result.stderr


class Dripping(Answering):
    """Never silent and never done: a header that has no end."""

    def _run(self) -> None:
        with self._listener.accept()[0] as peer, suppress(OSError):
            peer.sendall(self._answer)
            for _ in range(int(DEADLINE / 0.01)):
                peer.sendall(b"x")
                time.sleep(0.01)


@pytest.mark.parametrize("begin", [b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n"])
def test_an_answer_in_drops_ends_after_the_timeout(begin: bytes) -> None:
    with Dripping(socket.create_server(("127.0.0.1", 0)), begin) as server:
        result = run("health", "--url", server.url, "--timeout", "0.1")
    assert result.exit_code == 1
    assert "has not answered within 0.1 seconds" in result.stderr


class Resetting(Answering):
    """Resets its connection in an answer that has no length: nobody but the answer owns the socket then."""

    def _run(self) -> None:
        with self._listener.accept()[0] as peer:
            peer.sendall(self._answer)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_no_socket_is_left_open_when_an_answer_is_cut() -> None:
    with Resetting(socket.create_server(("127.0.0.1", 0)), b"HTTP/1.1 200 OK\r\n\r\nrea") as server:
        result = run("health", "--url", server.url)
    assert result.exit_code == 1
    left = [
        one for one in gc.get_objects() if isinstance(one, socket.socket) and str(one).startswith("<socket.socket [")
    ]
    assert not [one for one in left if one.fileno() != -1]


def test_no_answer_controls_the_terminal() -> None:
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n\x1b[31m\n") as server:
        assert check_health(server.url) == "\ufffd[31m"
    with answering(b"\x1b[31m\x00\r\n") as server, pytest.raises(CommandFailed) as failed:
        check_health(server.url)
    assert failed.value.message.isprintable()


def test_no_server_is_exit_code_1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(CommandFailed, match="cannot be asked: Connection refused"):
        check_health(url)
    with pytest.raises(CommandFailed, match="No such file"):
        check_health(url, unix=str(tmp_path / "none"))


def test_wrong_options_are_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(Misuse, match="--ca must be a file of certificates"):
        check_health("wss://127.0.0.1:1", ca=str(tmp_path / "ca.pem"))
    assert run("health", "--url", "127.0.0.1:8000").exit_code == 2
    assert run("health", "--timeout", "0").exit_code == 2
