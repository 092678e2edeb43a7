"""The PROXY protocol: who a client is says a header before its first byte, if a trusted proxy has sent it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from helpers.behind import Tls
from helpers.behind import client as client_behind
from helpers.edge import Edge, program_of
from helpers.proxy_header import LOCAL, PROXY, SIGNATURE, TCP4, UDP4, UNIX, UNKNOWN, binary, raw, text, tlv
from helpers.serving import Book
from helpers.wait import DEADLINE, until, within
from helpers.wire import TEXT, Peer, frame, request

import fanwire

SSL_TLV = tlv(0x20, b"\x07" + bytes(4) + tlv(0x21, b"TLSv1.3"))
"""As `send-proxy-v2-ssl` adds it."""


class Proxied(Book):
    """A server behind a proxy at 127.0.0.1."""

    def __init__(self, config: dict[str, Any] | None = None, **options: Any) -> None:
        options.setdefault("trusted_proxies", ["127.0.0.1"])
        super().__init__(config, proxy_protocol=True, **options)


async def status_of(server: Book, *chunks: bytes) -> int | None:
    """The status of the answer to these bytes; None: the connection ends without one."""
    async with await server.dial() as peer:
        try:
            await peer.send(*chunks)
            return (await peer.response()).status
        except (ConnectionError, EOFError):
            return None


@pytest.mark.parametrize(
    ("header", "remote"),
    [
        (text("192.0.2.7"), "192.0.2.7"),
        (text("2001:db8::7"), "2001:db8::7"),
        (text("::ffff:192.0.2.7"), "192.0.2.7"),
        (text("192.0.2.7", port=65535, destination="198.51.100.1"), "192.0.2.7"),
        (binary("192.0.2.7"), "192.0.2.7"),
        (binary("2001:db8::7"), "2001:db8::7"),
        (binary("::ffff:192.0.2.7"), "192.0.2.7"),
        (binary("192.0.2.7", tlvs=SSL_TLV), "192.0.2.7"),
        (binary("192.0.2.7", tlvs=tlv(0x05, bytes(128)) + tlv(0xEE, b"\xff" * 200)), "192.0.2.7"),
        # Without an address it is the proxy itself.
        (UNKNOWN, "127.0.0.1"),
        (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", "127.0.0.1"),
        (binary(None), "127.0.0.1"),
        (binary(None, command=LOCAL), "127.0.0.1"),
        (binary("192.0.2.7", command=LOCAL), "127.0.0.1"),
        (raw(PROXY, UNIX, b"/run/client".ljust(108, b"\0") + bytes(108)), "127.0.0.1"),
        (raw(PROXY, UDP4, binary("192.0.2.7")[16:]), "127.0.0.1"),
    ],
)
async def test_the_client_is_the_one_in_the_header(header: bytes, remote: str) -> None:
    async with Proxied().listens() as server:
        # With the request, before it, and byte by byte.
        for chunks in (
            [header + request("/a")],
            [header, request("/a")],
            [bytes([byte]) for byte in header + request("/a")],
        ):
            async with await server.dial() as peer:
                for chunk in chunks:
                    await peer.send(chunk)
                    await asyncio.sleep(0)
                assert (await peer.response()).status == 101
                conn = server.opened[-1]
                assert conn.request.remote == remote
                await peer.send(frame(TEXT, b"hello"))
                await until(lambda: len(server.heard) == len(server.opened))
                server.publish("a", "to all")
                assert await peer.message() == b"to all"
        assert set(server.heard) == {"hello"}


async def test_what_follows_the_request_at_once_is_not_lost() -> None:
    async with Proxied().listens() as server, await server.dial() as peer:
        await peer.send(binary("192.0.2.7") + request("/a") + frame(TEXT, b"first"))
        assert (await peer.response()).status == 101
        await until(lambda: server.heard == ["first"])


@pytest.mark.parametrize("header", [text("192.0.2.7"), binary("2001:db8::7"), binary(None, command=LOCAL)])
async def test_plain_http(header: bytes) -> None:
    plain = {"Upgrade": None, "Connection": "close"}
    async with Proxied(api_keys=["key"]) as server:
        assert await status_of(server, header + request("/healthz", plain)) == 200
        assert await status_of(server, header, request("/readyz", plain)) == 200
        async with await server.dial() as member:
            await member.send(header)
            await member.upgrade("/a")
            body = b"POST /rooms/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nContent-Length: 7\r\n\r\n[1,2,3]"
            assert await status_of(server, header + body) == 200
            assert await member.message() == b"[1,2,3]"


async def test_limits_hold_for_the_client_and_not_for_the_proxy() -> None:
    async with Proxied({"max_address_connections": 2}) as server:
        peers = []
        for source in ("192.0.2.7", "192.0.2.7", "192.0.2.8", "2001:db8::7"):
            peer = await server.dial()
            peers.append(peer)
            await peer.send(binary(source))
            await peer.upgrade("/a")
        assert await status_of(server, binary("192.0.2.7") + request("/a")) == 429
        assert await status_of(server, text("192.0.2.7") + request("/a")) == 429
        peers.pop(0).close()
        await until(lambda: len(server.closed) == 1)
        async with await server.dial() as again:
            await again.send(binary("192.0.2.7"))
            await again.upgrade("/a")
        for peer in peers:
            peer.close()


@pytest.mark.parametrize(
    ("source", "remote", "is_secure"), [("192.0.2.7", "192.0.2.7", False), ("127.0.0.1", "198.51.100.1", True)]
)
async def test_forwarded_headers_are_believed_of_a_proxy_only(source: str, remote: str, is_secure: bool) -> None:
    said = {"X-Forwarded-For": "198.51.100.1", "X-Forwarded-Proto": "https"}
    async with Proxied() as server, await server.dial() as peer:
        await peer.send(binary(source) + request("/a", said))
        assert (await peer.response()).status == 101
        found = server.opened[0].request
        assert (found.remote, found.is_secure) == (remote, is_secure)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"PROXY TCP4 192.0.2.7 127.0.0.1 1 443\n",
        b"PROXY TCP4 192.0.2.7 127.0.0.1 1\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 1 443\r\n",
        b"PROXY TCP4 192.0.2.777 127.0.0.1 1 443\r\n",
        b"PROXY TCP4 192.0.2.7 127.0.0.1 1 65536\r\n",
        b"proxy TCP4 192.0.2.7 127.0.0.1 1 443\r\n",
        b"PROXY TCP4 " + b"1" * 200,
        SIGNATURE[:-1] + b"X" + bytes(4),
        raw(0x11, TCP4, bytes(12)),
        raw(0x22, TCP4, bytes(12)),
        raw(PROXY, TCP4, bytes(3)),
        raw(PROXY, TCP4, b"", length=0xFFFF),
    ],
)
async def test_what_is_no_header_is_refused(header: bytes) -> None:
    async with Proxied() as server:
        assert await status_of(server, header + request("/a")) == 400
        assert not server.opened


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 192", binary("192.0.2.7")[:20], binary("192.0.2.7")])
async def test_a_header_has_to_come_in_time(begun: bytes) -> None:
    async with Proxied({"handshake_timeout": 0.2}) as server, await server.dial() as peer:
        # It may be answered before it has begun.
        with contextlib.suppress(ConnectionError):
            await peer.send(begun)
        assert (await peer.end()).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("header", [text("192.0.2.7"), binary("192.0.2.7"), binary("127.0.0.1"), b""])
async def test_only_trusted_proxies_may_connect(header: bytes) -> None:
    async with Proxied(trusted_proxies=["192.0.2.1", "unix"]) as server:
        assert await status_of(server, header + request("/a")) == 403
        assert not server.opened


async def test_without_the_argument_a_header_is_no_request() -> None:
    async with Book(trusted_proxies=["127.0.0.1"]) as server:
        for header in (text("192.0.2.7"), binary("192.0.2.7")):
            assert await status_of(server, header + request("/a")) == 400


@pytest.mark.parametrize(("trusted", "status"), [(["unix"], 101), (["127.0.0.1"], 403)])
async def test_a_proxy_at_a_unix_socket(tmp_path: Path, trusted: list[str], status: int) -> None:
    path = tmp_path / "fanwire.sock"
    async with Proxied(unix=path, trusted_proxies=trusted) as server:
        async with Peer(*await asyncio.open_unix_connection(str(path))) as peer:
            await peer.send(binary("192.0.2.7") + request("/a"))
            assert (await peer.response()).status == status
        assert [conn.request.remote for conn in server.opened] == (["192.0.2.7"] if status == 101 else [])


@pytest.mark.parametrize("header", [text("192.0.2.7"), binary("192.0.2.7")])
async def test_tls_begins_behind_the_header(header: bytes, tls: Tls) -> None:
    """As a proxy has it that passes TLS on without looking into it."""
    async with Proxied(tls=tls[0]) as server:
        sock = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE)
        sock.sendall(header)
        sock.setblocking(False)
        opened = await within(asyncio.open_connection(sock=sock, ssl=tls[1], server_hostname="localhost"))
        async with Peer(*opened) as peer:
            await peer.upgrade("/a")
            found = server.opened[0].request
            assert (found.remote, found.is_secure) == ("192.0.2.7", True)
            server.publish("a", "hello")
            assert await peer.message() == b"hello"


@pytest.mark.parametrize("begun", [b"", b"PROXY TCP4 192", binary("192.0.2.7")[:20]])
async def test_a_proxy_that_ends_within_the_header_has_gone(begun: bytes, pem: tuple[Path, Path]) -> None:
    # No deadline ends it.
    tls = fanwire.TLS(*pem, handshake_timeout=60.0)
    async with Proxied({"handshake_timeout": 60.0}, tls=tls) as server, await server.dial() as peer:
        await peer.send(begun)
        await until(lambda: server._engine.waiting == 1)
        await asyncio.sleep(0.05)
        peer.writer.write_eof()
        await until(lambda: server._engine.waiting == 0)


async def test_tls_without_a_header_is_refused(tls: Tls) -> None:
    async with Proxied(tls=tls[0]) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await within(asyncio.open_connection("127.0.0.1", server.port, ssl=tls[1], server_hostname="localhost"))
        assert not server.opened


# HAProxy itself, with the file of ops/proxies.

needs_haproxy = pytest.mark.skipif(program_of("haproxy") is None, reason="haproxy is not installed")


@needs_haproxy
@pytest.mark.parametrize("send", ["send-proxy-v2", "send-proxy", "send-proxy-v2-ssl"])
async def test_behind_haproxy(tmp_path: Path, pem: tuple[Path, Path], tls: Tls, send: str) -> None:
    async with Proxied(origins=["https://www.example.com"]) as server:
        edge = Edge("haproxy-tcp", tmp_path, server.port, pem, {"send-proxy-v2": send})
        try:
            await edge.start()
            for address in ("127.0.0.2", "127.0.0.3"):
                async with client_behind(edge, tls, "/a", address, origin="https://www.example.com") as member:
                    server.publish("a", "hello")
                    assert await within(member.recv()) == "hello"
                    assert server.opened[-1].request.remote == address
        finally:
            edge.stop()


@needs_haproxy
async def test_checks_of_haproxy_find_out_that_the_server_drains(
    tmp_path: Path, pem: tuple[Path, Path], tls: Tls
) -> None:
    server = Proxied({"drain_timeout": 20.0})
    async with server:
        # A check may take longer than the interval.
        often = {"default-server inter 2s": "timeout check 20s\n    default-server inter 100ms"}
        edge = Edge("haproxy-tcp", tmp_path, server.port, pem, often)
        try:
            await edge.start()
            async with client_behind(edge, tls, "/a"):
                await until(lambda: edge.is_up)
            await server.stop()
            await until(lambda: not edge.is_up)
        finally:
            edge.stop()
