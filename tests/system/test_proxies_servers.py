"""The way from the proxies of ops/proxies to the servers behind them: servers that are not ready or drain, and TLS."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from helpers.behind import Before, Behind, Tls, answer_to, client, with_ports
from helpers.certificates import Authority
from helpers.fallback import Fallback
from helpers.listening import free_port
from helpers.serving import Book, take
from helpers.wait import until

from fanwire.backplane import MemoryBackplane, MemoryBus

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

CLOSE = {"Connection": "close"}
"""So that nobody waits until the proxy has enough of a quiet connection."""

QUICK = {"haproxy": {"inter 2s fall 3": "inter 100ms fall 1"}}
"""So that a server that is not ready is found out at once."""


async def test_clients_are_served_while_no_server_is_ready(before: Before, tls: Tls) -> None:
    bus = MemoryBus()
    server = Behind(backplane=MemoryBackplane(bus), api_keys=["key"])
    server.room("chat", publish=True)
    async with server:
        edge = await before(server, QUICK).start()
        async with Fallback(edge.port, "long-poll", context=tls[1]) as polling, client(edge, tls, "/chat") as raw:
            polling.headers = CLOSE
            await polling.open()
            await polling.say({"type": "join", "id": "j", "room": "chat"})
            await polling.hear_type("joined")
            bus.set_up(False)
            assert await answer_to(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", edge, tls) == 503
            if edge.name == "haproxy":
                await until(lambda: "backend fanwire has no server available" in edge.logs)
            await polling.say({"type": "publish", "id": "p", "room": "chat", "payload": 1})
            assert (await polling.hear_type("message"))["payload"] == 1
            assert await take(raw, 1) == ["1"]
            body = b"2"
            head = b"POST /rooms/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nContent-Length: 1\r\n\r\n"
            assert await answer_to(head + body, edge, tls) == 200
            assert await take(raw, 1) == ["2"]
            async with client(edge, tls, "/chat"):
                await until(lambda: server.count("chat") == 3)
            bus.set_up(True)


SECOND = {
    "nginx": {"        server 127.0.0.1:PORT;": "        server 127.0.0.1:GONE;\n        server 127.0.0.1:PORT;"},
    "haproxy": {
        "inter 2s": "inter 100s",
        "    server one 127.0.0.1:PORT check": (
            "    server one 127.0.0.1:GONE check\n    server two 127.0.0.1:PORT check"
        ),
    },
}
"""Before the server is one that has closed its listener, and no check has found that out."""


async def test_a_server_that_drains_is_passed_over(before: Before, tls: Tls) -> None:
    async with Behind() as server:
        edge = await before(server, with_ports(SECOND, PORT=server.port, GONE=free_port())).start()
        for _ in range(4):
            assert await answer_to(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", edge, tls) == 200
        async with Fallback(edge.port, "long-poll", context=tls[1]) as polling:
            polling.headers = CLOSE
            await polling.open()
            for _ in range(4):
                await polling.say({"type": "ping"})
                await polling.hear_type("pong")


def encrypted(server: Book, ca: Path) -> dict[str, dict[str, str]]:
    """As docs/tls.md has it."""
    there = f"127.0.0.1:{server.port}"
    more = f"ssl verify required ca-file {ca} sni str(localhost) check-sni localhost verifyhost localhost"
    return {
        "nginx": {
            "proxy_pass http://fanwire;": (
                f"proxy_pass https://fanwire; proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca};"
                "proxy_ssl_server_name on; proxy_ssl_name localhost;"
            )
        },
        "haproxy": {f"    server one {there}": f"    server one {there} {more}"},
    }


async def test_the_way_from_the_proxy_to_the_server_is_encrypted(
    before: Before, tls: Tls, pem: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fanwire.connections")
    async with Behind(tls=tls[0]) as server:
        edge = await before(server, encrypted(server, pem[0])).start()
        async with client(edge, tls, "/a"):
            await until(lambda: server.opened)
        ended = await server.ended()
        assert ended.request.tls is not None
        assert (ended.request.is_secure, ended.request.remote) == (True, "127.0.0.1")
        assert await answer_to(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", edge, tls) == 200
        await until(lambda: edge.is_up)
        await until(lambda: f" tls={ended.request.tls.version} " in caplog.text)
        # Another authority's certificate is not taken.
        edge = await before(server, encrypted(server, Authority(tmp_path).file)).start()
        assert await answer_to(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", edge, tls) in (502, 503)
