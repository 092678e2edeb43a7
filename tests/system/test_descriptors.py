"""At the limit of open files: who is in stays, who is new waits or is refused, and it passes by itself."""

from __future__ import annotations

import asyncio

import pytest
from helpers.script import Script
from helpers.wait import DEADLINE, until, within
from helpers.wire import FIN, TEXT, Peer, frame, request

LIMIT = 100
SERVE = f"""
    import asyncio, logging, resource, time
    import fanwire

    logging.basicConfig(level=logging.WARNING)
    config = fanwire.Config(ping_interval=0, drain_timeout=1, close_timeout=1)
    server = fanwire.Server(port=0, insecure=True, config=config)
    server.on_connect(lambda conn: conn.join("a"))
    server.on_message(lambda conn, message: server.publish("a", message))

    async def main():
        async with server:
            # After the start, which would take care that it is never reached: the application may open files, too.
            resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))
            print(server.port, flush=True)
            loop = asyncio.get_running_loop()
            # Every line asks for the processor time used so far; the end of input ends it.
            while await loop.run_in_executor(None, sys.stdin.readline):
                print(time.process_time(), flush=True)

    if sys.argv[1] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
"""


async def enter(port: int) -> Peer | None:
    """A peer that is in; None for one that was refused. One that is left waiting goes on to."""
    peer = await Peer.dial("127.0.0.1", port)
    try:
        await peer.send(request())
        response = await peer.response()
        if response.status == 101:
            return peer
        assert response.status == 503
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    except BaseException:
        peer.close()
        raise
    peer.close()
    return None


async def try_until_in(port: int) -> Peer:
    while True:
        if (peer := await enter(port)) is not None:
            return peer
        await asyncio.sleep(0.05)


async def exchange(peers: list[Peer], word: bytes) -> None:
    """One says it, all hear it."""
    await peers[0].send(frame(TEXT, word))
    for peer in peers:
        while (got := await peer.frame()) != (FIN | TEXT, word):
            assert got[0] == FIN | TEXT


def results(attempts: list[asyncio.Task[Peer | None]]) -> list[Peer]:
    return [peer for one in attempts if one.done() and not one.cancelled() and (peer := one.result()) is not None]


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_at_the_limit_of_open_files(loop: str) -> None:
    with Script(SERVE, loop) as server:

        async def processor_time() -> float:
            server.say("?")
            return float(await asyncio.to_thread(server.line))

        port = int(await asyncio.to_thread(server.line))
        attempts: list[asyncio.Task[Peer | None]] = []
        inside: list[Peer] = []
        try:
            # One after the other until one is refused, or has waited for a second where the limit may be.
            while True:
                attempt = asyncio.ensure_future(enter(port))
                await asyncio.wait([attempt], timeout=DEADLINE if len(inside) <= LIMIT - 40 else 1)
                if not attempt.done() or attempt.result() is None:
                    attempts.append(attempt)
                    break
                inside.append(attempt.result())
            # One descriptor for each, and some for the process.
            assert LIMIT - 40 < len(inside) < LIMIT
            attempts += [asyncio.ensure_future(enter(port)) for _ in range(LIMIT)]
            before = await processor_time()
            await exchange(inside, b"at the limit")
            # Not a wait for something to happen, but the time in which it must not: spinning.
            await asyncio.sleep(2)
            assert await processor_time() - before < 1, "seconds of processor time in two seconds of doing nothing"
            await exchange(inside, b"still at the limit")

            leavers, stayers = inside[:15], inside[15:]
            for peer in leavers:
                peer.close()
            await exchange(stayers, b"some have left")
            # Those who have waited come in; where nobody has, whoever comes now.
            attempts.append(asyncio.ensure_future(try_until_in(port)))
            newcomers = await until(lambda: results(attempts), "somebody came in")
            await exchange([*newcomers, *stayers], b"welcome")
            # All others get their turn, too, as those before them leave.
            for peer in stayers:
                peer.close()
            await until(lambda: [peer.close() for peer in results(attempts)] and all(one.done() for one in attempts))
            last = await within(try_until_in(port))
            await exchange([last], b"alone")
            last.close()
        finally:
            for attempt in attempts:
                attempt.cancel()
            ends = await asyncio.gather(*attempts, return_exceptions=True)
            for peer in (*inside, *ends):
                if isinstance(peer, Peer):
                    peer.close()
        status, _, errors = await asyncio.to_thread(server.end)
        assert status == 0, errors[-2000:]
        # It says what is wrong, but not hundreds of times.
        assert len(errors.splitlines()) < 200, errors[:2000]
