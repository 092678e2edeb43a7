"""Sockets that a process has inherited: they stay when the server stops, and only what can listen is taken."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from helpers.listening import closed, fails, is_socket, reaches

from fanwire.listening.listeners import Inherited, Listeners


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fanwire.sock"


@pytest.mark.parametrize("listens", [True, False])
async def test_an_inherited_socket_stays_open_when_the_server_stops(listens: bool) -> None:
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        if listens:
            given.listen(7)
        one = Listeners(Inherited((given.fileno(),)))
        assert (one.port, one.url("ws")) == (0, "")
        for _ in range(2):
            with closed(one):
                (sock,) = await one.bind(100)
                port = given.getsockname()[1]
                assert (one.port, one.url("ws")) == (port, f"ws://127.0.0.1:{port}")
                assert sock.fileno() != given.fileno()
                assert not sock.getblocking()
            # Connections wait for the next start.
            assert reaches(socket.AF_INET, ("127.0.0.1", port))


async def test_the_file_of_an_inherited_socket_is_not_removed(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(str(path))
        given.listen()
        one = Listeners(Inherited((given.fileno(),)))
        with closed(one):
            await one.bind(100)
            assert (one.port, one.url("ws"), one.url("ws", "/rt")) == (0, f"ws+unix:{path}", f"ws+unix:{path}:/rt")
        assert is_socket(path)


def some_file() -> int:
    return os.open(__file__, os.O_RDONLY)


def some_datagrams() -> int:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock.detach()


def some_connection() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = socket.create_connection(server.getsockname(), timeout=20)
        # Reset by the end of the listener, it would be none any more.
        KEPT.append(server.accept()[0])
        return connection.detach()


KEPT: list[socket.socket] = []


@pytest.mark.parametrize(
    ("make", "number", "reason"),
    [
        (
            some_file,
            errno.ENOTSOCK,
            "the descriptor is not a socket; give the number of a socket that systemd or another parent process passes",
        ),
        (some_datagrams, errno.EPROTOTYPE, "the socket is not a stream socket of TCP or Unix"),
        (some_connection, errno.EISCONN, "the socket is a connection and not a listening socket"),
        (lambda: socket.socket().detach(), errno.EINVAL, "the socket has no address"),
        (lambda: socket.socket(socket.AF_UNIX).detach(), errno.EINVAL, "the socket has no address"),
    ],
)
async def test_what_is_no_socket_to_listen_at_is_told(make: object, number: int, reason: str) -> None:
    fd = make()
    try:
        before = psutil.Process().num_fds()
        assert f"cannot listen at descriptor {fd}: {reason}" in await fails(Inherited((fd,)), number)
        assert psutil.Process().num_fds() == before
    finally:
        os.close(fd)
        while KEPT:
            KEPT.pop().close()


async def test_a_descriptor_that_is_not_there_is_told() -> None:
    assert "descriptor 999: the process has no such descriptor" in await fails(Inherited((999,)), errno.EBADF)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Two sockets as systemd passes them, but for their numbers: 3 and 4 are used by the tests' own machinery."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        first = 100
        while any(Path(f"/proc/self/fd/{fd}").exists() for fd in (first, first + 1)):
            first += 2
        for number, sock in enumerate((one, two)):
            os.dup2(sock.fileno(), first + number, inheritable=True)
        monkeypatch.setattr("fanwire.listening.inherited.FIRST_PASSED", first)
        monkeypatch.setenv("LISTEN_FDS", "2")
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        try:
            yield [one, two]
        finally:
            os.close(first)
            os.close(first + 1)


async def test_all_sockets_that_systemd_passes(passed: list[socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    one = Listeners(Inherited(None))
    with closed(one):
        sockets = await one.bind(100)
        assert [sock.getsockname() for sock in sockets] == [sock.getsockname() for sock in passed]
        fds = one.place.descriptors()
        assert not any(map(os.get_inheritable, fds))
    monkeypatch.setenv("LISTEN_PID", "1")
    assert f"the sockets are for process 1, this is {os.getpid()}" in await fails(Inherited(None), errno.ENOTCONN)


@pytest.mark.parametrize("env", [{}, {"LISTEN_PID": "x", "LISTEN_FDS": "1"}, {"LISTEN_PID": "1", "LISTEN_FDS": "0"}])
async def test_a_process_that_systemd_has_not_started_is_told(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str]
) -> None:
    for name in ("LISTEN_PID", "LISTEN_FDS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert "start the server by a socket unit (systemd.socket(5))" in await fails(Inherited(None), errno.ENOTCONN)
