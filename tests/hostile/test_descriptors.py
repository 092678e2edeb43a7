"""Descriptors that run out, because strangers hold them: whoever is in stays, and it passes by itself."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest
from helpers.script import Script
from helpers.wait import within
from helpers.wire import FIN, TEXT, Peer, frame, request

import fanwire

LIMIT = 100
SERVE = f"""
    import asyncio, logging, resource
    import fanwire

    logging.basicConfig(level=logging.INFO)
    timeout = float(sys.argv[2])
    config = fanwire.Config(ping_interval=0, drain_timeout=1, close_timeout=1, handshake_timeout=timeout)
    tls = fanwire.TLS(*sys.argv[3:], handshake_timeout=timeout) if sys.argv[3:] else None
    server = fanwire.Server(port=0, insecure=True, config=config, tls=tls)
    server.on_connect(lambda conn: conn.join("a"))
    server.on_message(lambda conn, message: server.publish("a", message))

    async def main():
        async with server:
            # After the start, which would take care that it is never reached: the application may open files, too.
            resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))
            print(server.port, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

    if sys.argv[1] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
"""

HOLDS = {
    "nothing": b"",
    "half a head": b"GET / HTTP/1.1\r\nX: ",
    "a request": b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a bad head": b"\0\0\0\0",
}
"""What those say who hold them."""


async def hold(port: int, data: bytes, done: asyncio.Event) -> None:
    """Comes, says it, and comes again when it is sent away."""
    while not done.is_set():
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            async with await Peer.dial("127.0.0.1", port) as peer:
                await peer.send(data)
                await peer.reader.read(1000)
                await peer.reader.read(1000)


async def try_until_in(port: int) -> Peer:
    while True:
        peer = await Peer.dial("127.0.0.1", port)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            await peer.send(request())
            response = await asyncio.wait_for(peer.response(), 2)
            if response.status == 101:
                return peer
        peer.close()


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize(("loop", "said"), [("asyncio", "nothing"), *(("uvloop", said) for said in HOLDS)])
async def test_descriptors_that_strangers_hold(loop: str, said: str) -> None:
    with Script(SERVE, loop, "1") as server:
        port = int(await asyncio.to_thread(server.line))
        async with await (await Peer.dial("127.0.0.1", port)).upgrade() as bystander:
            done = asyncio.Event()
            strangers = [asyncio.ensure_future(hold(port, HOLDS[said], done)) for _ in range(2 * LIMIT)]
            for number in range(30):
                await bystander.send(frame(TEXT, b"%d" % number))
                assert await bystander.frame() == (FIN | TEXT, b"%d" % number)
                await asyncio.sleep(0.03)
            done.set()
            for stranger in strangers:
                stranger.cancel()
            await asyncio.gather(*strangers, return_exceptions=True)
            async with await within(try_until_in(port)) as newcomer:
                await newcomer.send(frame(TEXT, b"hello"))
                for peer in (newcomer, bystander):
                    assert await peer.frame() == (FIN | TEXT, b"hello")
        status, _, errors = await asyncio.to_thread(server.end)
    assert status == 0, errors[-2000:]
    assert len(errors.splitlines()) < 300, errors[:2000]
    # Said at its beginning and its end, and not each second.
    assert errors.count("cannot accept connections") <= 1, errors[:2000]


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_descriptors_that_run_out_under_tls(
    pem: tuple[Path, Path], tls: tuple[fanwire.TLS, ssl.SSLContext]
) -> None:
    with Script(SERVE, "asyncio", "60", *map(str, pem)) as server, contextlib.ExitStack() as stack:
        port = int(await asyncio.to_thread(server.line))
        async with await (await Peer.dial("127.0.0.1", port, context=tls[1])).upgrade() as bystander:
            strangers = [await Peer.dial("127.0.0.1", port) for _ in range(2 * LIMIT)]
            for stranger in strangers:
                stack.callback(stranger.close)
            # They have a minute. Nobody is dropped before: who finds no descriptor waits.
            await asyncio.sleep(0.4)
            assert not any(stranger.reader.at_eof() or stranger.reader.exception() for stranger in strangers)
            await bystander.send(frame(TEXT, b"hello"))
            assert await bystander.frame() == (FIN | TEXT, b"hello")
        status, _, errors = await asyncio.to_thread(server.end)
    assert status == 0, errors[-2000:]
    assert errors.count("cannot accept connections") == 1, errors[:2000]
