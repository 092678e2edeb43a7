"""A server whose limit of open files is far below `max_connections`: it is full before its files are used up."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from helpers.script import Script
from helpers.wait import within
from helpers.wire import FIN, TEXT, Peer, frame, request

import fanwire

LIMIT = 120
SERVE = f"""
    import asyncio, logging, resource
    import fanwire

    logging.basicConfig(level=logging.WARNING)
    resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT - 20}, {LIMIT}))
    config = fanwire.Config(shards=2, ping_interval=0, drain_timeout=1, close_timeout=1, **eval(sys.argv[1]))
    tls = fanwire.TLS(*sys.argv[2:]) if sys.argv[2:] else None
    server = fanwire.Server(port=0, insecure=True, config=config, tls=tls)
    server.on_message(lambda conn, message: conn.send(message))

    async def main():
        async with server:
            shown = server._limits()["max_connections"]
            print(server.port, resource.getrlimit(resource.RLIMIT_NOFILE)[0], shown, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

    asyncio.run(main())
"""


async def ask(port: int, path: str) -> tuple[int, bytes]:
    async with await Peer.dial("127.0.0.1", port) as peer:
        await peer.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        response = await peer.response()
        return response.status, response.body


async def fill(port: int, context: ssl.SSLContext | None = None) -> list[Peer]:
    """Those who came in, until one was refused."""
    inside: list[Peer] = []
    while True:
        try:
            peer = await Peer.dial("127.0.0.1", port, context=context)
        except ConnectionError:
            return inside
        await peer.send(request())
        try:
            response = await within(peer.response())
        except (ConnectionError, asyncio.IncompleteReadError):
            peer.close()
            return inside
        if response.status != 101:
            peer.close()
            assert (response.status, "retry-after" in response.headers) == (503, True)
            return inside
        inside.append(peer)


async def refill(port: int) -> list[Peer]:
    """Those who come in as soon as somebody does."""
    while True:
        if inside := await fill(port):
            return inside
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("options", "is_warned"), [({}, True), ({"max_connections": 0}, False)])
async def test_a_full_server_answers_health_checks_and_refuses(options: dict[str, int], is_warned: bool) -> None:
    with Script(SERVE, repr(options)) as server:
        port, files, most = map(int, (await asyncio.to_thread(server.line)).split())
        assert files == LIMIT, "the soft limit is raised"
        inside = await within(fill(port))
        try:
            assert len(inside) == most
            assert LIMIT // 3 < most < LIMIT
            answers = await within(asyncio.gather(*(ask(port, path) for path in ("/healthz", "/readyz") * 3)))
            assert answers == [(200, b"ok\n"), (200, b"ready\n")] * 3
            # Who is in is served, and one that leaves makes place for another.
            await inside[0].send(frame(TEXT, b"hello"))
            assert await within(inside[0].frame()) == (FIN | TEXT, b"hello")
            inside.pop().close()
            inside += await within(refill(port))
            assert len(inside) == most
        finally:
            for peer in inside:
                peer.close()
        status, _, errors = await asyncio.to_thread(server.end)
    assert status == 0, errors[-2000:]
    said = f"open files: soft {LIMIT}, hard {LIMIT}; limits.max_connections needs 102000: "
    assert errors.count(f"{said}this process serves at most {most} connections") == is_warned, errors[:2000]
    assert "cannot accept connections" not in errors, errors[:2000]


async def test_a_full_server_with_tls(pem: tuple[Path, Path], tls: tuple[fanwire.TLS, ssl.SSLContext]) -> None:
    with Script(SERVE, "{}", *map(str, pem)) as server:
        port, _, most = map(int, (await asyncio.to_thread(server.line)).split())
        inside = await within(fill(port, tls[1]))
        for peer in inside:
            peer.close()
        status, _, errors = await asyncio.to_thread(server.end)
    assert len(inside) == most
    assert status == 0, errors[-2000:]
    assert "cannot accept connections" not in errors, errors[:2000]
