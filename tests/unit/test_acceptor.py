"""Newcomers are taken a few at a time, from every address of a host."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from helpers.wait import until

from fanwire.gateway import acceptor
from fanwire.gateway.acceptor import PER_TURN, Acceptor, listen


class Door(asyncio.Protocol):
    """Counts who comes, and what they say."""

    made: list[Door]

    def __init__(self) -> None:
        self.said = b""
        self.made.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.said += data


@contextmanager
def accepting(sockets: list[socket.socket], backlog: int = 100) -> Iterator[tuple[Acceptor, list[Door]]]:
    made: list[Door] = []
    kind = type("Door", (Door,), {"made": made})
    one = Acceptor(sockets, kind, backlog=backlog, ssl=None, handshake_timeout=5.0)
    try:
        yield one, made
    finally:
        one.close()
        for door in made:
            if hasattr(door, "transport"):
                door.transport.close()


def dial(at: Acceptor) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", at.port), timeout=5)
    peer.setblocking(False)
    return peer


async def test_no_more_in_a_turn_than_may_be() -> None:
    with accepting(await listen("127.0.0.1", 0, reuse_port=False)) as (one, made):
        peers = [dial(one) for _ in range(5)]
        # The handshakes of TCP are done by the kernel: all five wait.
        counts = []
        while len(made) < 5:
            before = len(made)
            await asyncio.sleep(0)
            counts.append(len(made) - before)
        assert max(counts) <= PER_TURN
        for number, peer in enumerate(peers):
            peer.send(b"%d" % number)
        await until(lambda: sorted(door.said for door in made) == [b"0", b"1", b"2", b"3", b"4"])
        for peer in peers:
            peer.close()


async def test_who_is_in_stays_when_it_listens_no_more() -> None:
    with accepting(await listen("127.0.0.1", 0, reuse_port=False)) as (one, made), closing(dial(one)) as peer:
        await until(lambda: made and hasattr(made[0], "transport"))
        one.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", one.port), timeout=5)
        peer.send(b"still here")
        await until(lambda: made[0].said == b"still here")


async def test_all_addresses_of_a_host() -> None:
    sockets = await listen("localhost", 0, reuse_port=False)
    families = {sock.family for sock in sockets}
    wanted = {info[0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    with accepting(sockets):
        assert families == wanted


async def test_an_address_in_use_is_told() -> None:
    with accepting(await listen("127.0.0.1", 0, reuse_port=False)) as (one, _):
        with pytest.raises(OSError, match="address already in use") as failed:
            await listen("127.0.0.1", one.port, reuse_port=False)
        assert failed.value.errno == errno.EADDRINUSE


async def test_ports_are_shared_only_when_all_say_so() -> None:
    first = await listen("127.0.0.1", 0, reuse_port=True)
    with accepting(first), accepting(await listen("127.0.0.1", first[0].getsockname()[1], reuse_port=True)):
        pass


async def test_without_descriptors_it_waits_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptor, "RETRY", 0.05)
    caplog.set_level(logging.WARNING, "fanwire")
    with accepting(await listen("127.0.0.1", 0, reuse_port=False)) as (one, made), closing(dial(one)):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Those that are open stay open; not one more is to be had.
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            await until(lambda: "cannot accept" in caplog.text)
            assert not made
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await until(lambda: len(made) == 1)


async def test_it_can_be_closed_while_it_waits_for_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    with accepting(await listen("127.0.0.1", 0, reuse_port=False)) as (one, _), closing(dial(one)):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            await until(lambda: "cannot accept" in caplog.text)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        one.close()
