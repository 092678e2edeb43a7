"""How every engine lets newcomers in, or does not; and that the fake has the interface of the real one."""

from __future__ import annotations

import inspect

import pytest
from helpers.fake.engine import FakeEngine
from helpers.rig import Rig

from fanwire._engine import Engine

SOCKETS = {"fileno", "listen", "open", "resume_socket", "send_raw", "set_tls", "take_back"}
"""What has to do with sockets or TLS, so that a fake engine has no use for it."""


def test_a_request_is_told_with_all_that_the_host_needs(rig: Rig) -> None:
    peer = rig.newcomer("/a?b=c", "fanwire.v1.json", "X-One: 1")
    target, headers, remote, is_secure, is_origin_allowed, subprotocol, transport, tls, is_compressed = peer.asked
    assert (target, is_secure, is_origin_allowed, subprotocol) == (b"/a?b=c", False, False, "fanwire.v1.json")
    assert (transport, tls, is_compressed) == ("websocket", None, False)
    assert b"X-One: 1\r\n" in headers
    assert remote
    assert rig.engine.waiting == 1
    conn = rig.engine.accept(peer.request, "json", b'{"type":"welcome"}')
    assert isinstance(conn, int)
    assert peer.envelope() == {"type": "welcome"}
    assert rig.engine.waiting == 0
    assert rig.engine.stats()["handshakes"] == {101: 1}


def test_a_request_is_decided_once(rig: Rig) -> None:
    peer = rig.newcomer()
    with pytest.raises(ValueError, match="codec must be raw, json or msgpack"):
        rig.engine.accept(peer.request, "xml")
    conn = rig.engine.accept(peer.request)
    assert rig.engine.accept(peer.request) is None
    rig.engine.refuse(peer.request, 403)
    rig.engine.send(conn, "text")
    assert peer.frames(1) == ["text"]


def test_a_newcomer_that_is_refused(rig: Rig) -> None:
    peer = rig.newcomer()
    rig.engine.refuse(peer.request, 503, ["Retry-After: 7"], "for the log", "/a", "x" * 300)
    link, (_, status, reason, suppressed, *about) = rig.event("turned_away")
    assert (link, status, reason, suppressed) == (0, 503, "for the log", 0)
    assert about == ["/a", "x" * 200]
    status, headers = peer.refusal()
    assert (status, headers["Retry-After"]) == (503, "7")
    assert rig.engine.accept(peer.request) is None
    assert rig.engine.stats()["handshakes"] == {503: 1}


def test_a_newcomer_that_goes(rig: Rig) -> None:
    peer = rig.newcomer()
    peer.leaves()
    assert rig.event("gone") == (peer.request, None)
    assert rig.engine.accept(peer.request) is None
    rig.engine.refuse(peer.request, 403)
    assert rig.engine.waiting == 0


def test_the_fields_of_stats(rig: Rig) -> None:
    stats = rig.engine.stats()
    assert sorted(stats) == sorted(STATS)
    assert sorted(stats["rules"][""]) == [
        "bytes", "delivered", "drops", "latency_sum_us", "latency_us", "published", "spread_sum_us", "spread_us",
    ]  # fmt: skip
    assert sorted(stats["drops"]) == ["budget", "closed", "filtered", "newest", "oldest", "rate", "replaced"]


STATS = [
    "connections", "rooms", "published", "refused", "late", "delivered", "bytes", "writes", "blocked", "held",
    "pings", "closed_slow", "closed_unanswered", "compressed", "deltas", "history_bytes", "waiting_bytes",
    "waiting_bytes_limit", "drops", "inbound_bytes", "limits", "taken_age", "handshakes", "ticks", "tls_handshakes",
    "latency_us", "latency_sum_us", "handshake_us", "handshake_sum_us", "received", "received_bytes", "recording",
    "rules",
]  # fmt: skip


def test_the_fake_has_all_calls_with_the_same_arguments() -> None:
    public = {name for name in dir(Engine) if not name.startswith("_")}
    missing = {name for name in public if not hasattr(FakeEngine, name)}
    assert missing == SOCKETS
    for name in public - SOCKETS:
        theirs, ours = getattr(Engine, name), getattr(FakeEngine, name)
        assert callable(theirs) == callable(ours), name
        if callable(theirs):
            assert arguments(theirs) == arguments(ours), name


def arguments(call: object) -> list[tuple[str, bool, bool]]:
    """Names, whether they are keywords only, and whether they have a default."""
    parameters = inspect.signature(call).parameters.values()
    return [(each.name, each.kind is each.KEYWORD_ONLY, each.default is each.empty) for each in parameters]
