"""What `fanwire top` shows of readings."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from fanwire.cli.top_screen import ms, number, screen, size


def reading(**fields: Any) -> dict[str, Any]:
    return {
        "node": {"id": "this", "name": "host:1", "ready": True, "reasons": [], "troubles": []},
        "now": {
            "connections": 9001, "parked_sessions": 2, "rooms": 3, "slow": 1, "waiting_bytes": 2048, "nodes": 0,
        },
        "rates": {"published": 1.5, "received": 0.0, "delivered": 47243.6, "delivered_bytes": 5 << 20},
        "drops": {"replaced": 7.0}, "handshakes": {}, "closes": {"4008": 12},
        "transports": {"websocket": 9001, "sse": 0},
        "p50_ms": 0.1, "p99_ms": 31.7, "p999_ms": None,
        "rooms": [["quotes [bold]x[/bold]", 681, 46.9, 31969.0]],
        "readers": [["a.1f", "ann", "::1", "websocket", 3 << 20, 682, 27.4, "socket", 5, 0]],
        "loop_late_ms": 2.5, "cpu": 0.29, "memory": 100 << 20, **fields,
    }  # fmt: skip


def shown(*arguments: Any, width: int = 140) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(screen(*arguments, width=width))
    return capture.get()


@pytest.mark.parametrize("width", [80, 140])
def test_all_of_a_reading_is_on_the_screen(width: int) -> None:
    one = reading()
    text = shown(one, [one], {}, "", width=width)
    for part in (
        "ready",
        "9,001",
        "47,244",
        "31,969",
        "ann",
        "3.0 MiB",
        "27.4 s",
        "socket",
        "4008 12",
        "32 ms",
        "29 %",
    ):
        assert part in text, part
    # A name of a room is no markup.
    assert "quotes [bold]x" in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("text", ["\x1b[2Jx", "\x1b]0;x\x07", "\x9b31mx", "x\ny", "x\ry", "x\u202ey", "\x00x"])
def test_names_of_clients_and_rooms_do_nothing_to_the_terminal(text: str) -> None:
    bad = reading(
        rooms=[[text, 1, 1.0, 1.0]],
        readers=[
            ["a.1", text, "", "websocket", 1, 1, 0.1, "socket", 0, 0],
            ["a.2", "", text, "sse", 1, 1, 0, "x", 0, 0],
        ],
        node={"id": "a", "name": text, "ready": False, "reasons": [text], "troubles": [text]},
    )
    for nodes in ([], [bad, bad]):
        for state in ("", text):
            told = shown(bad, nodes, {text: 4.0}, state)
            assert all(line.isprintable() for line in told.split("\n"))
            assert ascii(text)[1:-1] in told


def test_what_is_wrong_is_said() -> None:
    node = {"id": "this", "name": "host:1", "ready": False, "reasons": ["NATS is away"], "troubles": []}
    bad = reading(node=node)
    assert "not ready for new clients; NATS is away" in shown(bad, [bad], {}, "")
    # What does not work beside the serving of clients does not make it unready.
    troubled = shown(reading(node={**node, "ready": True, "troubles": ["the disk is full"]}), [bad], {}, "")
    assert "ready  the disk is full" in troubled
    assert "no connection" in shown(bad, [bad], {}, "no connection; what you see is old")
    assert "waiting for readings" in shown(None, [], {}, "")


def test_several_nodes_have_a_table() -> None:
    one, two = reading(), reading(node={"id": "b", "name": "host:2", "ready": False, "reasons": [], "troubles": []})
    text = shown(one, [one, two], {"c": 12.0}, "")
    assert "b (host:2)" in text
    assert "not heard for 12 s" in text


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (number(0), "0"), (number(1.5), "1.5"), (number(2.0), "2"), (number(1234.5), "1,234"), (size(0), "0 B"),
        (size(1536), "1.5 KiB"), (size(200 << 20), "200 MiB"), (size(5 << 40), "5.0 TiB"), (ms(None), "-"),
        (ms(0.126), "0.13 ms"), (ms(12.6), "13 ms"), (ms(1500), "1.50 s"),
    ],
)  # fmt: skip
def test_numbers_are_short(found: str, expected: str) -> None:
    assert found == expected
