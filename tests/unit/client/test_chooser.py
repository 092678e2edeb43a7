"""Which transport comes next, and when a better one is tried."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from fanwire.client.chooser import FIRST_UPGRADE, TRANSPORTS, UPGRADE_EVERY, Chooser, ends_round, told
from fanwire.client.failures import Failure
from fanwire.client.link import Unreachable


def chooser(*transports: str, open_timeout: float = 10.0) -> Chooser:
    return Chooser(transports or TRANSPORTS, open_timeout, Random(1))


def refused(status: int) -> Unreachable:
    return Unreachable("no", Failure.of_status(status), status=status)


LATE = Unreachable("no answer", Failure.NETWORK)


def test_a_round_begins_with_the_best_and_the_last_has_the_longest() -> None:
    assert chooser().round() == [("websocket", 2.0), ("sse", 3.0), ("long-poll", 10.0)]
    assert chooser("websocket").round() == [("websocket", 10.0)]
    assert chooser(open_timeout=1.0).round() == [("websocket", 1.0), ("sse", 1.0), ("long-poll", 1.0)]


def test_what_worked_is_tried_first() -> None:
    one = chooser()
    one.opened("long-poll", 0.0)
    assert [transport for transport, _ in one.round()] == ["long-poll", "websocket", "sse"]
    one.opened("websocket", 0.0)
    assert [transport for transport, _ in one.round()] == ["websocket", "sse", "long-poll"]


def test_limits_double_with_each_round_that_fails() -> None:
    one = chooser()
    limits = []
    for _ in range(4):
        limits.append(one.round()[0][1])
        one.failed()
    assert limits == [2.0, 4.0, 8.0, 10.0]
    for _ in range(2000):
        one.failed()
    assert one.round()[0][1] == 10.0
    one.opened("sse", 0.0)
    assert one.limit("websocket") == 2.0


def test_a_fallback_is_left_after_a_while_and_then_again_and_again() -> None:
    one = chooser()
    assert one.upgrade_at == inf
    one.opened("sse", 100.0)
    assert 0.8 * FIRST_UPGRADE <= one.upgrade_at - 100.0 <= 1.2 * FIRST_UPGRADE
    one.upgrade_failed(200.0)
    assert 0.8 * UPGRADE_EVERY <= one.upgrade_at - 200.0 <= 1.2 * UPGRADE_EVERY
    one.closed()
    assert one.upgrade_at == inf


def test_the_best_is_not_left() -> None:
    one = chooser()
    one.opened("websocket", 100.0)
    assert one.upgrade_at == inf
    one = chooser("sse", "long-poll")
    one.opened("sse", 100.0)
    assert one.upgrade_at == inf
    one.opened("long-poll", 100.0)
    assert (one.best, one.upgrade_at < inf) == ("sse", True)


@pytest.mark.parametrize(
    ("transport", "error", "is_end"),
    [
        ("websocket", refused(403), False),
        ("sse", refused(403), True),
        ("websocket", refused(401), True),
        ("websocket", refused(429), True),
        ("websocket", refused(503), True),
        ("websocket", refused(409), True),
        ("websocket", refused(502), False),
        ("websocket", refused(426), False),
        ("websocket", LATE, False),
        ("websocket", Unreachable("refused", Failure.NETWORK, is_reached=False), True),
        ("websocket", Unreachable("no name", Failure.UNKNOWN_HOST, is_reached=False), True),
        ("websocket", Unreachable("expired", Failure.CERTIFICATE), True),
    ],
)
def test_what_no_other_transport_would_change_ends_the_round(transport: str, error: Unreachable, is_end: bool) -> None:
    assert ends_round(transport, error) is is_end


def test_a_server_without_fallbacks_says_nothing_by_refusing_them() -> None:
    proxied, unknown = ("websocket", refused(403)), ("websocket", refused(404))
    no_fallback, late = ("sse", refused(426)), ("sse", LATE)
    assert told([proxied, no_fallback]) is proxied[1]
    assert told([unknown, no_fallback]) is unknown[1]
    assert told([proxied, late]) is LATE
    assert told([late, unknown]) is LATE


def test_a_proxy_that_refuses_upgrades_says_nothing_about_the_server() -> None:
    proxied, late, denied = ("websocket", refused(403)), ("sse", LATE), ("sse", refused(403))
    assert told([late, proxied]) is LATE
    assert told([denied, proxied]) is denied[1]
