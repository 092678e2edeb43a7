"""A Unix socket comes and goes with its server: a stale one is replaced, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
from pathlib import Path

import pytest
from helpers.listening import closed, fails, is_socket, leave_stale, mode_of, reaches, remove

from fanwire.listening.listeners import Inherited, Listeners, Unix


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fanwire.sock"


async def test_a_unix_socket_comes_and_goes(path: Path) -> None:
    one = Listeners(Unix(path))
    for _ in range(2):
        with closed(one):
            (sock,) = await one.bind(100)
            assert (one.port, one.url("wss")) == (0, f"wss+unix:{path}")
            assert not sock.getblocking()
            assert reaches(socket.AF_UNIX, str(path))
        assert not is_socket(path)


async def test_a_socket_that_a_dead_server_has_left_is_replaced(path: Path) -> None:
    leave_stale(path)
    one = Listeners(Unix(path))
    with closed(one):
        await one.bind(100)
        assert reaches(socket.AF_UNIX, str(path))


@pytest.mark.parametrize("backlog", [100, 0])
async def test_the_socket_of_a_server_that_runs_is_not(path: Path, backlog: int) -> None:
    one = Listeners(Unix(path))
    with closed(one), contextlib.ExitStack() as peers:
        await one.bind(backlog)
        for _ in range(3 if backlog == 0 else 0):
            # So many that no more may wait.
            peer = peers.enter_context(socket.socket(socket.AF_UNIX))
            peer.setblocking(False)
            peer.connect_ex(str(path))
        said = await fails(Unix(path), errno.EADDRINUSE)
        assert f"cannot listen at {path}: Address already in use. A server listens there: stop it, or choose" in said
        assert is_socket(path)


@pytest.mark.parametrize("is_link", [False, True])
def test_a_file_that_is_no_socket_is_not(path: Path, tmp_path: Path, is_link: bool) -> None:
    file = tmp_path / "other" if is_link else path
    file.write_text("mine")
    if is_link:
        path.symlink_to(file)
    said = asyncio.run(fails(Unix(path), errno.EEXIST))
    assert f"cannot listen at {path}: a file that is not a socket exists there" in said
    assert file.read_text() == "mine"


async def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "RuntimeDirectory=" in await fails(Unix(tmp_path / "no" / "x.sock"), errno.ENOENT)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_directory_that_may_not_be_written_is_told(path: Path) -> None:
    path.parent.chmod(0o500)
    assert "needs permission to write to the directory" in await fails(Unix(path), errno.EACCES)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
async def test_permissions_of_the_file(path: Path, mode: int) -> None:
    before = os.umask(0o027)
    try:
        one = Listeners(Unix(path, mode))
        with closed(one):
            await one.bind(100)
            assert mode_of(path) == mode
        one = Listeners(Unix(path))
        with closed(one):
            await one.bind(100)
            assert mode_of(path) == 0o750
    finally:
        os.umask(before)


async def test_the_file_of_a_server_that_has_taken_the_place_stays(path: Path) -> None:
    one, other = Listeners(Unix(path)), Listeners(Unix(path))
    with closed(one, other):
        await one.bind(100)
        remove(path)
        await other.bind(100)
        one.close()
        assert reaches(socket.AF_UNIX, str(path))


def close_in_a_child(one: Listeners) -> None:
    child = os.fork()
    if child == 0:
        one.close()
        os._exit(0)
    os.waitpid(child, 0)


async def test_a_process_that_was_forked_does_not_remove_the_file(path: Path) -> None:
    one = Listeners(Unix(path))
    with closed(one):
        await one.bind(100)
        close_in_a_child(one)
        assert reaches(socket.AF_UNIX, str(path))


async def test_of_several_that_start_at_once_one_has_the_socket(path: Path) -> None:
    leave_stale(path)
    several = [Listeners(Unix(path)) for _ in range(10)]
    with closed(*several):
        results = await asyncio.gather(*(one.bind(100) for one in several), return_exceptions=True)
        bound = [result for result in results if not isinstance(result, BaseException)]
        assert len(bound) == 1
        assert all(isinstance(result, OSError) for result in results if result is not bound[0])
        assert reaches(socket.AF_UNIX, str(path))


async def test_a_directory_that_something_else_has_locked_is_waited_for_only_so_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanwire.listening.unix_socket.LOCK_TRIES", 3)
    fd = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    one = Listeners(Unix(path))
    try:
        with closed(one):
            await one.bind(100)
            assert reaches(socket.AF_UNIX, str(path))
    finally:
        os.close(fd)


async def test_a_unix_socket_is_shared_as_it_is(path: Path) -> None:
    one = Listeners(Unix(path))
    with closed(one):
        (sock,) = await one.reserve(100)
        other = Listeners(Inherited((os.dup(sock.fileno()),), is_ours=True))
        with closed(other):
            await other.bind(100)
        one.close()
        # No duplicate is left at which clients would wait.
        assert not reaches(socket.AF_UNIX, str(path))
