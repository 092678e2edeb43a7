"""Behind the proxies of ops/proxies, with those very files: all that the server promises still holds.

The loop makes no difference to a proxy, so these run on one of them.
"""

from __future__ import annotations

import contextlib

import psutil
import pytest
from helpers.behind import Before, Behind, Tls, answer_to, client, refusal, with_ports
from helpers.serving import Book, take
from helpers.site import Noting
from helpers.wait import DEADLINE, until, within
from helpers.wire import Peer
from websockets.exceptions import ConnectionClosed

import fanwire

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])


async def test_messages(before: Before, tls: Tls) -> None:
    server = Behind({"connection_bytes": 2 << 20})
    server.on_message(lambda conn, message: conn.send(message))
    async with server:
        edge = await before(server).start()
        async with client(edge, tls, "/a") as one, client(edge, tls, "/a") as other:
            for message in ("text", b"bytes", "", bytes(1 << 20), "\u20ac" * 300_000):
                await one.send(message)
                assert await take(one, 1) == [message]
            await within(await one.ping(b"payload"))
            await until(lambda: server.count("a") == 2)
            for number in range(2000):
                server.publish("a", str(number))
            for member in (one, other):
                assert await take(member, 2000) == [str(number) for number in range(2000)]
            await within(one.close(3000, "bye"))
            ended = await server.ended()
            assert (ended.close_code, ended.close_reason) == (3000, "bye")
            server.opened[1].close(4001, "enough")
            with pytest.raises(ConnectionClosed):
                await within(other.recv())
            assert (other.close_code, other.close_reason) == (4001, "enough")


async def test_compressed_messages_pass(before: Before, tls: Tls) -> None:
    server = Behind()
    server.room("zip", publish=True, compress=True)
    async with server:
        edge = await before(server).start()
        async with fanwire.connect(edge.url, ssl=tls[1], compression="deflate") as one:
            assert one.is_compressed
            room = await within(one.join("zip"))
            for number in range(20):
                data = {"text": f"{number} " * 1000}
                await within(one.publish("zip", data))
                assert (await within(anext(room))).data == data
        assert server.stats()["compressed"]["messages"] == 20


@pytest.mark.usefixtures("eager_clients")
@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_a_session_outlives_the_proxy(before: Before, tls: Tls, encoding: str) -> None:
    server = Behind()
    server.room("chat", publish=True)
    async with server:
        edge = await before(server).start()
        async with fanwire.connect(edge.url, ssl=tls[1], encoding=encoding) as client:
            room = await within(client.join("chat"))
            session = client.session
            await within(client.publish("chat", {"n": 0}))
            # An attempt before may have been given up by the client alone.
            opened = list(server.opened)
            # While the proxy is there, while it is gone, and when it is there again.
            numbers = iter(range(1, 300))
            for _ in range(100):
                server.publish("chat", {"n": next(numbers)})
            edge.stop()
            for _ in range(100):
                server.publish("chat", {"n": next(numbers)})
            await until(lambda: opened[-1].is_reconnecting)
            await edge.start()
            for number in numbers:
                server.publish("chat", {"n": number})
            messages = [await within(anext(room)) for _ in range(300)]
            assert [message.data["n"] for message in messages] == list(range(300))
            assert not any(message.gap for message in messages)
            assert client.session == session
        assert server.opened == opened


FORGED = {"X-Forwarded-For": "10.9.9.9", "X-Forwarded-Proto": "http", "x-forwarded-for": "10.8.8.8, 127.0.0.1"}


async def test_who_asks_is_what_the_proxy_says(before: Before, tls: Tls) -> None:
    async with Behind() as server:
        edge = await before(server).start()
        async with client(edge, tls, "/", "127.0.0.2", additional_headers=list(FORGED.items())):
            asked = server.opened[0].request
            assert (asked.remote, asked.is_secure) == ("127.0.0.2", True)


async def test_credentials_come_through(before: Before, tls: Tls) -> None:
    found: list[tuple[str | None, ...]] = []

    def note(asking: fanwire.Request) -> fanwire.Identity:
        found.append((asking.bearer, asking.query_token, asking.subprotocol_token))
        return fanwire.Identity(subject="someone")

    async with Behind(authenticate=note) as server:
        edge = await before(server).start()
        offers = ["fanwire.v1.raw", "fanwire.token.three"]
        head = {"Authorization": "Bearer one"}
        async with client(edge, tls, "/?token=two", additional_headers=head, subprotocols=offers) as let_in:
            assert let_in.subprotocol == "fanwire.v1.raw"
        assert found == [("one", "two", "three")]


async def test_cookies_are_believed_of_the_servers_own_pages(before: Before, tls: Tls) -> None:
    def by_cookie(asking: fanwire.Request) -> fanwire.Identity:
        return fanwire.Identity(subject=asking.cookie("sid") or "nobody")

    cookie = {"Cookie": "sid=alice"}
    async with Behind(authenticate=by_cookie) as server:
        edge = await before(server).start()
        own = f"https://127.0.0.1:{edge.port}"
        async with client(edge, tls, origin=own, additional_headers=cookie):
            assert server.opened[0].identity.subject == "alice"
        for origin in ("https://127.0.0.1", f"http://127.0.0.1:{edge.port}", "https://evil.example", "null", None):
            assert (await refusal(edge, tls, origin=origin, additional_headers=cookie)).status_code == 403


async def test_each_client_has_a_limit_of_its_own(before: Before, tls: Tls) -> None:
    async with Behind({"max_address_connections": 1}) as server:
        edge = await before(server).start()
        async with client(edge, tls, address="127.0.0.2"):
            response = await refusal(edge, tls, address="127.0.0.2", additional_headers={"X-Forwarded-For": "10.1.1.1"})
            assert (response.status_code, response.headers["Retry-After"]) == (429, "5")
            async with client(edge, tls, address="127.0.0.3"):
                pass


@pytest.mark.parametrize(("status", "after"), [(401, None), (403, None), (429, 7), (503, 9)])
async def test_refusals_come_through(before: Before, tls: Tls, status: int, after: int | None) -> None:
    def refuse(asking: fanwire.Request) -> None:
        raise fanwire.Refused(status, "for the log alone", retry_after=after)

    async with Behind(authenticate=refuse) as server:
        edge = await before(server).start()
        response = await refusal(edge, tls)
        assert response.status_code == status
        assert response.headers.get("Retry-After") == (str(after) if after else None)
        assert b"log" not in (response.body or b"")


SHORT = {
    "nginx": {"proxy_read_timeout    75s;": "proxy_read_timeout 8s;"},
    "haproxy": {"timeout tunnel          75s": "timeout tunnel 8s"},
}


async def test_pings_keep_a_quiet_connection_open(before: Before, tls: Tls) -> None:
    # Both proxies cut off what has been quiet for 8 s: the one connection, and meanwhile not the other, which has begun
    # before. A busy machine has time enough for each ping and its pong.
    async with Behind({"ping_interval": 0.5, "ping_timeout": 3.5}) as pinging, Behind() as quiet:
        edge = await before(pinging, SHORT).start()
        other = await before(quiet, SHORT).start()
        async with client(edge, tls, "/a") as stays:
            async with client(other, tls) as goes:
                with pytest.raises(ConnectionClosed):
                    await within(goes.recv())
            pinging.publish("a", "still there")
            assert await take(stays, 1) == ["still there"]
        assert len(pinging.closed) <= 1


async def test_a_client_that_is_gone_is_gone(before: Before, tls: Tls) -> None:
    async with Behind() as server:
        edge = await before(server).start()
        for how in ("close", "reset"):
            async with await Peer.dial("127.0.0.1", edge.port, context=tls[1]) as peer:
                await peer.upgrade("/a")
                peer.reset() if how == "reset" else peer.close()
                await until(lambda: server.count("a") == 0)


async def test_a_reader_that_is_slow_is_found_out(before: Before, tls: Tls) -> None:
    # The proxy holds some of what it does not take, and no more.
    async with Behind({"connection_bytes": 256 << 10}) as server:
        edge = await before(server).start()
        async with client(edge, tls, "/a") as fast:
            slow = await Peer.dial("127.0.0.1", edge.port, rcvbuf=4096, context=tls[1])
            async with slow:
                await slow.upgrade("/a")
                slow.stall()
                published = 0
                while server.stats()["closed_slow"] == 0:
                    assert published < 20_000
                    server.publish("a", bytes(4096))
                    await take(fast, 1)
                    published += 1


async def test_the_server_stops_cleanly(before: Before, tls: Tls) -> None:
    server = Behind({"drain_timeout": DEADLINE, "close_timeout": DEADLINE})
    async with server:
        edge = await before(server).start()
        async with client(edge, tls, "/a") as member:
            for number in range(1000):
                server.publish("a", str(number))
            assert await within(server.stop())
            assert [message async for message in member] == [str(number) for number in range(1000)]
            assert member.close_code == 1001


MORE_PORTS = {
    "nginx": {
        "    upstream fanwire {": (
            '    split_clients "$remote_addr$remote_port" $source { 50% 127.0.0.2; * 127.0.0.3; }\n'
            "    upstream fanwire {"
        ),
        "proxy_http_version 1.1;": "proxy_http_version 1.1; proxy_bind $source;",
    },
    "haproxy": {
        # No check is so late that a server counts as not ready.
        "inter 2s": "inter 100s",
        "    server one 127.0.0.1:PORT check": (
            "    server one 127.0.0.1:PORT source 127.0.0.2 check\n    server two 127.0.0.1:PORT source 127.0.0.3 check"
        ),
    },
}
"""As docs/deployment.md has it."""


async def test_more_ports_by_more_addresses(before: Before, tls: Tls) -> None:
    async with Book(trusted_proxies=["127.0.0.0/8"]) as server, contextlib.AsyncExitStack() as clients:
        edge = await before(server, with_ports(MORE_PORTS, PORT=server.port)).start()
        for _ in range(40):
            await clients.enter_async_context(client(edge, tls))
        peers = psutil.Process().net_connections("tcp")
        used = {peer.raddr.ip for peer in peers if peer.laddr.port == server.port and peer.raddr}
        assert used >= {"127.0.0.2", "127.0.0.3"}


async def test_haproxy_asks_whether_the_server_is_ready(before: Before, tls: Tls) -> None:
    app = Noting()
    # Its health is asked of the application here, which hears of it.
    async with Behind(app=app) as server:
        edge = before(server)
        if edge.name == "nginx":
            pytest.skip("nginx has no checks of its own")
        await edge.start()
        await until(lambda: "/readyz" in [scope["path"] for scope in app.scopes])


async def test_an_upgrade_may_come_on_a_kept_connection(before: Before, tls: Tls) -> None:
    def ports() -> set[int]:
        """Of the proxy, at its connections to the server."""
        peers = psutil.Process().net_connections("tcp")
        return {peer.raddr.port for peer in peers if peer.laddr.port == server.port and peer.raddr}

    async with Behind() as server:
        edge = await before(server).start()
        kept: set[int] = set()
        for _ in range(3):
            assert await answer_to(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", edge, tls) == 200
            if edge.name == "nginx":
                kept = kept or ports()
                assert ports() == kept
                assert len(kept) == 1
        async with client(edge, tls, "/a"):
            await until(lambda: server.count("a") == 1)
            if edge.name == "nginx":
                assert ports() == kept
