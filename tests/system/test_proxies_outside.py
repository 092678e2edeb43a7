"""What comes by the proxies of ops/proxies from outside, and what does not: heads, paths, upgrades, secrets in logs."""

from __future__ import annotations

import logging

import pytest
from helpers.behind import Before, Behind, Tls, answer_to, by_hand, client, refusal
from helpers.edge import Edge
from helpers.serving import take
from helpers.site import Noting
from helpers.wait import until
from helpers.wire import request

import fanwire

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

METRICS = [
    "/metrics", "/metrics?", "/metrics?x=/", "//metrics", "///metrics", "/./metrics", "/.//metrics", "/%6detrics",
    "/%6Detric%73", "/%2fmetrics", "/%2Fmetrics", "/%2e/metrics", "/x/../metrics", "/x/%2e%2e/metrics", "/metrics/",
    "/metrics/.", "/metrics#x", "/METRICS", "/metrics%3f", "/metrics%00", "/metrics;x", "/%256detrics", "/metrics%20",
    "https://127.0.0.1/metrics", "https://127.0.0.1//metrics", "/rooms/../metrics", "/\\metrics",
]  # fmt: skip


async def test_metrics_are_not_for_outside(before: Before, tls: Tls) -> None:
    head = {"Authorization": "Bearer key", "Upgrade": None, "Connection": "close"}
    async with Behind(api_keys=["key"]) as server:
        async with await server.dial() as peer:
            await peer.send(request("/metrics", head))
            assert (await peer.response()).status == 200
        edge = await before(server).start()
        for path in METRICS:
            async with by_hand(edge, tls) as peer:
                await peer.send(request(path, head))
                assert (await peer.response()).status in (400, 404), path
        for path in ("/healthz", "/readyz"):
            async with by_hand(edge, tls) as peer:
                await peer.send(request(path, head))
                assert (await peer.response()).status == 200


async def test_an_upgrade_after_other_requests(before: Before, tls: Tls) -> None:
    async with Behind() as server:
        edge = await before(server).start()
        for _ in range(2):
            async with by_hand(edge, tls) as peer:
                for _ in range(2):
                    await peer.send(request("/healthz", {"Upgrade": None, "Connection": "keep-alive"}))
                    assert (await peer.response()).status == 200
                await peer.upgrade("/a")


async def test_no_other_upgrade(before: Before, tls: Tls) -> None:
    app = Noting()
    async with Behind(app=app) as server:
        edge = await before(server).start()
        for wanted in ("h2c", "h2c, websocket", "TLS/1.0"):
            head = {"Upgrade": wanted, "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": ""}
            async with by_hand(edge, tls) as peer:
                await peer.send(request("/any", head))
                assert (await peer.response()).status == 200
        assert app.scopes
        assert all(b"upgrade" not in dict(scope["headers"]) for scope in app.scopes)


async def test_publishing_by_http(before: Before, tls: Tls) -> None:
    async def post(edge: Edge, size: int, sent: int, key: str = "key") -> int | None:
        lines = (f"Content-Length: {size}", "Content-Type: application/octet-stream")
        head = {"Authorization": f"Bearer {key}", "Upgrade": None, "Connection": "close"}
        return await answer_to(request("/rooms/a", head, *lines).replace(b"GET", b"POST", 1) + bytes(sent), edge, tls)

    async with Behind(api_keys=["key"]) as server:
        edge = await before(server).start()
        async with client(edge, tls, "/a", max_size=None) as member:
            # What may wait for a connection is 1 MiB, what comes with a message included.
            size = (1 << 20) - 4096
            assert await post(edge, size, size) == 200
            assert await take(member, 1) == [bytes(size)]
            # What is refused is refused by its head, whether or not the body comes.
            size = (1 << 20) + 1
            for sent in (0, 10_000):
                assert await post(edge, size, sent) == 413
                assert await post(edge, size, sent, "another") == 401
            # Who sends all of it may lose the answer with the connection.
            assert await post(edge, size, size) in (413, None)
            assert await post(edge, size, size, "another") in (401, None)


async def test_heads(before: Before, tls: Tls) -> None:
    def big(size: int) -> bytes:
        lines = [f"X-{number}: {'x' * 1000}" for number in range(size // 1000)]
        return request("/", {"Origin": "https://example.com"}, *lines)

    async with Behind() as server:
        edge = await before(server).start()
        async with by_hand(edge, tls) as peer:
            await peer.send(big(10_000))
            assert (await peer.response()).status == 101
        async with by_hand(edge, tls) as peer:
            await peer.send(request("/", {"Authorization": "Bearer " + 7000 * "x"}))
            assert (await peer.response()).status == 101
        for wrong in (big(30_000), request("/", None, f"X: {30_000 * 'x'}"), request("/" + 30_000 * "x")):
            assert await answer_to(wrong, edge, tls) in (400, 414, 431, None)
        # What a proxy lets through with all that it adds, the server takes as well.
        for size in range(13_000, 18_000, 1000):
            assert await answer_to(big(size), edge, tls) in (101, 400, None)


async def test_no_secret_in_the_logs(before: Before, tls: Tls, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def only_alice(asking: fanwire.Request) -> fanwire.Identity:
        if asking.query_token != "SECRET-alice":
            raise fanwire.Refused(401)
        return fanwire.Identity(subject="alice")

    async with Behind(authenticate=only_alice, api_keys=["SECRET-key"]) as server:
        edge = await before(server).start()
        async with client(edge, tls, "/open?session=SECRET-session&token=SECRET-alice&received=0"):
            pass
        head = {"Authorization": "Bearer SECRET-header", "Cookie": "sid=SECRET-cookie"}
        offers = ["fanwire.v1.raw", "fanwire.token.SECRET-offer"]
        options = {"additional_headers": head, "subprotocols": offers}
        assert (await refusal(edge, tls, "/shut?token=SECRET-mallory", **options)).status_code == 401
        await answer_to(request("/large?token=SECRET-large", None, f"X: {30_000 * 'x'}"), edge, tls)
    # And when there is nobody behind it.
    assert (await refusal(edge, tls, "/down?token=SECRET-late")).status_code in (502, 503)
    for path in ("/open", "/shut", "/down"):
        await until(lambda path=path: path in edge.logs, path)
    edge.stop()
    assert "SECRET" not in edge.logs
    # The client's own log has what it has sent.
    log = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("websockets"))
    assert "event=handshake_refused status=401" in log
    assert "SECRET" not in log
