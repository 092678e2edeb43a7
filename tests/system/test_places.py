"""A server at a Unix socket, at an inherited one, and at all addresses of both families: what clients see of it."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from helpers.behind import Tls
from helpers.behind import client as client_behind
from helpers.edge import Edge, program_of
from helpers.listening import needs_ipv6
from helpers.serving import Book, take
from helpers.wait import DEADLINE, until, within
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import InvalidStatus

import fanwire


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fanwire.sock"


def client(path: Path, target: str = "/a", **options: Any) -> unix_connect:
    """A client at a Unix socket, to be awaited or entered."""
    scheme = "ws" if "ssl" not in options else "wss"
    options = {"max_queue": None, "close_timeout": DEADLINE, **options}
    return unix_connect(str(path), f"{scheme}://localhost{target}", compression=None, open_timeout=DEADLINE, **options)


def is_there(path: Path) -> bool:
    return path.is_socket()


async def hears(server: Book, member: ClientConnection, text: str) -> None:
    server.publish("a", text)
    assert await take(member, 1) == [text]


# Unix sockets.


async def test_clients_at_a_unix_socket(path: Path) -> None:
    server = Book(unix=path).listens()
    for _ in range(2):
        async with server:
            assert (server.url, server.port, server.host) == (f"ws+unix:{path}", None, None)
            async with client(path) as member:
                await hears(server, member, "hello")
                await member.send("back")
                await until(lambda: server.heard)
                conn = server.opened[-1]
                assert (conn.request.remote, conn.request.is_secure) == (None, False)
                await within(server.stop())
                await within(member.wait_closed())
                assert member.close_code == 1001
        assert not is_there(path)
        server.heard.clear()


async def test_tls_at_a_unix_socket(path: Path, tls: Tls) -> None:
    async with Book(unix=path, tls=tls[0]) as server:
        assert server.url == f"wss+unix:{path}"
        async with client(path, ssl=tls[1], server_hostname="localhost") as member:
            await hears(server, member, "hello")


async def test_plain_http_at_a_unix_socket(path: Path) -> None:
    key = "a-key-that-is-long-enough"
    async with Book(unix=path, api_keys=[key]) as server, client(path) as member:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http:
            async with http.get("http://localhost/healthz") as answer:
                assert (answer.status, await answer.text()) == (200, "ok\n")
            headers = {"Authorization": f"Bearer {key}"}
            async with http.post("http://localhost/rooms/a", data='{"x":1}', headers=headers) as answer:
                assert answer.status == 200, await answer.text()
        assert await take(member, 1) == ['{"x":1}']
        assert server.count("a") == 1


async def test_a_reader_at_a_unix_socket_that_is_slow_is_found_out(path: Path) -> None:
    async with (
        Book({"connection_bytes": 256 << 10}, unix=path) as server,
        client(path) as fast,
        # It reads nothing more once its queue is full.
        client(path, max_queue=1, close_timeout=0.1),
    ):
        published = 0
        while server.stats()["closed_slow"] == 0:
            assert published < 20_000
            server.publish("a", bytes(4096))
            await take(fast, 1)
            published += 1


@pytest.mark.parametrize(
    ("trusted", "remote", "is_secure"), [([], None, False), (["127.0.0.1"], None, False), (["unix"], "192.0.2.7", True)]
)
async def test_a_proxy_at_a_unix_socket_is_believed_by_name(
    path: Path, trusted: list[str], remote: str, is_secure: bool
) -> None:
    async with Book(unix=path, trusted_proxies=trusted) as server:
        said = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        async with client(path, additional_headers=said):
            request = server.opened[0].request
            assert (request.remote, request.is_secure) == (remote, is_secure)


async def test_limits_by_address_hold_behind_a_proxy_at_a_unix_socket(path: Path) -> None:
    one, other = ({"additional_headers": {"X-Forwarded-For": f"192.0.2.{n}"}} for n in (7, 8))
    async with Book({"max_address_connections": 1}, unix=path, trusted_proxies=["unix"]), client(path, **one):
        with pytest.raises(InvalidStatus, match="429"):
            await within(client(path, **one))
        async with client(path, **other):
            pass


async def test_a_second_server_at_the_same_socket_is_told_and_the_first_goes_on(path: Path) -> None:
    async with Book(unix=path) as first:
        second = Book(unix=path)
        with pytest.raises(OSError, match=f"cannot listen at {path}: Address already in use"):
            await second.start()
        async with client(path) as member:
            await hears(first, member, "still here")
    async with second, client(path) as member:
        await hears(second, member, "now me")


def test_a_server_whose_loop_has_ended_can_be_started_again(path: Path) -> None:
    server = Book(unix=path)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start())
    loop.close()

    async def again() -> None:
        async with server, client(path) as member:
            await hears(server, member, "again")

    asyncio.run(again())
    assert not is_there(path)


@pytest.mark.skipif(program_of("nginx") is None, reason="nginx is not installed (Debian: apt install nginx-light)")
async def test_behind_nginx(path: Path, tmp_path: Path, pem: tuple[Path, Path], tls: Tls) -> None:
    # Its workers are another user's, who may not look into the folder of the test.
    changes = {"user www-data;": "user root;"} if os.geteuid() == 0 else None
    edge = Edge("nginx", tmp_path, path, pem, changes)
    async with Book(unix=path, unix_mode=0o660, trusted_proxies=["unix"]) as server:
        try:
            await edge.start()
            for address in ("127.0.0.1", "127.0.0.2"):
                async with client_behind(edge, tls, "/a", address) as member:
                    await hears(server, member, "hello")
                    request = server.opened[-1].request
                    assert (request.remote, request.is_secure) == (address, True)
        finally:
            edge.stop()


# TCP.


@needs_ipv6
async def test_both_families_at_one_port() -> None:
    async with Book(host="::") as server:
        assert server.url == f"ws://[::]:{server.port}"
        remotes = []
        for host in ("127.0.0.1", "[::1]"):
            async with connect(
                f"ws://{host}:{server.port}/a", compression=None, proxy=None, open_timeout=DEADLINE
            ) as member:
                await hears(server, member, host)
                remotes.append(server.opened[-1].request.remote)
        assert remotes == ["127.0.0.1", "::1"]


async def test_two_servers_that_want_one_port() -> None:
    async with Book() as first:
        second = Book(port=first.port)
        with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1:{first.port}: .*choose another port"):
            await second.start()
        with pytest.raises(fanwire.Closed):
            second.publish("a", "x")


# Inherited sockets.


async def test_clients_at_an_inherited_socket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        port = given.getsockname()[1]
        server = Book(fd=given.fileno())
        assert server.port is None
        with pytest.raises(fanwire.Closed, match="is not known before the server has started"):
            _ = server.url
        for text in ("one", "two"):
            # Who connects while the server does not run waits for it.
            coming = asyncio.ensure_future(
                connect(f"ws://127.0.0.1:{port}/a", compression=None, proxy=None, open_timeout=DEADLINE).__aenter__()
            )
            async with server:
                assert (server.url, server.port) == (f"ws://127.0.0.1:{port}", port)
                member = await within(coming)
                await hears(server, member, text)
                await member.close()


@needs_ipv6
@pytest.mark.parametrize("trusted", [[], ["127.0.0.1"]])
async def test_peers_of_a_socket_for_both_families_show_their_own_address(trusted: list[str]) -> None:
    # As systemd makes them: ListenStream=8000.
    with socket.socket(socket.AF_INET6) as given:
        given.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        given.bind(("::", 0))
        given.listen()
        async with Book(fd=given.fileno(), trusted_proxies=trusted) as server:
            url = f"ws://127.0.0.1:{server.port}/a"
            said = {"X-Forwarded-For": "192.0.2.7"}
            async with connect(url, compression=None, proxy=None, open_timeout=DEADLINE, additional_headers=said):
                remote = server.opened[0].request.remote
                assert remote == ("192.0.2.7" if trusted else "127.0.0.1")
