"""docs/protocol.md, run: the client's examples are sent, what the server sends is like its examples, and the tables are
those of the code."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until, within
from websockets.exceptions import ConnectionClosed

import fanwire
from fanwire.codes import CloseCode, should_reconnect
from fanwire.protocol.envelopes import JSON
from fanwire.protocol.table import RESERVED

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
EXAMPLES = [(side, json.loads(text)) for side, text in re.findall(r"^([<>]) (\{.*\})$", TEXT, re.MULTILINE)]


def table(heading: str) -> Iterator[list[str]]:
    """The cells of each row of the table under a heading."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    for row in [line for line in section.splitlines() if line.startswith("|")][2:]:
        yield [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.parametrize(("side", "message"), EXAMPLES)
def test_each_example_is_an_envelope(side: str, message: dict[str, Any]) -> None:
    assert JSON.decode(json.dumps(message)).type == message["type"]
    # What the server names and dates, and what it does not.
    is_named = message["type"] not in ("ping", "pong", "received", "window")
    assert side == ">" or {"id", "ts"} <= set(message) or not is_named


def test_the_tables_name_every_type_and_nearly_all_have_an_example() -> None:
    types = {}
    for heading, side in (("From the client", ">"), ("From the server", "<")):
        types[side] = {cells[0].strip("`") for cells in table(heading)}
        examples = {message["type"] for found, message in EXAMPLES if found == side}
        assert examples - types[side] <= {"order"}
        assert types[side] == examples - {"order"}
    assert types["<"] | types[">"] == RESERVED


def test_the_close_codes_are_those_of_the_code() -> None:
    rows = {int(cells[0]): cells[1] for cells in table("Close codes")}
    assert set(rows) == {code.value for code in CloseCode}
    for code, advice in rows.items():
        assert (advice == "yes") == should_reconnect(code), code


def test_the_limits_are_those_of_the_code() -> None:
    units = {"KiB": 1 << 10, "MiB": 1 << 20}
    for _, default, field in table("Limits"):
        number, _, unit = default.partition(" ")
        assert int(number.replace(",", "")) * units.get(unit, 1) == getattr(fanwire.Config(), field.strip("`")), field


async def test_the_conversation() -> None:
    async def authenticate(request: fanwire.Request) -> fanwire.Identity:
        return fanwire.Identity(subject="alice", expires=time.time() + 3600)

    # The first ping comes at once, and nobody answers it.
    config = {"ping_interval": 0.05, "ping_timeout": 60.0, "token_grace": 20.0}
    server = Book(config, authenticate=authenticate)
    server.room("prices", history=10, publish=True, presence=True)
    server.room("quotes", delivery="latest", interest=True)
    server.room("arena", delivery="latest", tick=100)
    inputs = server.inputs("arena")

    @server.tick(100)
    def step(tick: fanwire.Tick) -> None:
        inputs.take("arena")

    server.room("fields", delivery="latest", delta=True)
    server.room("log", history=10)
    server.room("quotes.*")

    @server.on("order")
    def order(conn: fanwire.Connection, payload: dict[str, Any]) -> dict[str, Any]:
        if payload["buy"] == "gbp":
            raise fanwire.Reject("out_of_stock", "3 are left", data={"left": 3}, retry_after=2)
        return {"accepted": True}

    server.on_message(lambda conn, payload: None)
    got: list[dict[str, Any]] = []

    async def hear(talk: Talk) -> None:
        while True:
            got.append(await talk.hear())

    async def expire(conn: fanwire.Connection) -> None:
        # The hour goes by on the clock alone.
        lifetimes = server._running.host.registry.lifetimes
        life = lifetimes._lives[conn.id]
        assert life.expires is not None
        for left, kind in ((1, "token_expiring"), (0, "token_expired")):
            lifetimes._wall = lambda now=life.expires - left: now
            lifetimes._look(life)
            await until(lambda kind=kind: any(one["type"] == kind for one in got), f"{kind} has come")
        lifetimes._wall = time.time

    async def take(talk: Talk) -> None:
        # More than a window lets out, taken as soon as it comes.
        for number in range(100):
            server.publish("quotes", "x" * 1000, str(number))
        while not any(one["type"] == "window" for one in got):
            await talk.say("received", payload={"count": talk.received, "taken": {"quotes": {"count": talk.received}}})
            await asyncio.sleep(0.01)

    async with server:
        talk = await Talk.open(server, "/quotes")
        await until(lambda: server.opened)
        got.append({"type": "welcome", "id": "", "ts": 0, "payload": talk.welcome})
        listening = asyncio.ensure_future(hear(talk))
        for number in (1, 2, 3):
            server.publish("log", number)
            server.publish("quotes.eur", number)
        for side, message in EXAMPLES:
            if message["type"] == "token":
                await expire(server.opened[0])
            if side == ">":
                await within(talk.socket.send(json.dumps(message)))
            if message["type"] == "presence":
                # Before the examples leave the room: somebody comes and goes, and one message is not for all.
                await until(lambda: any(one.get("re") == message["id"] for one in got))  # noqa: B023 - awaited at once
                await (await Talk.open(server, "/prices")).close()
                await server.ended()
                server.publish("prices", 1, exclude=server.opened[0])
                server.opened[0].send({"only": "you"})
                server.publish("prices", 1.08, key="eur", delivery="latest")
                server.forget("prices", "eur")
        async with await Talk.open(server, "/fields", delta=True) as other:
            await other.hear("joined")
            for ask in (1.12, 1.11):
                value = {"bid": 1.1, "ask": ask, "venue": "XLON", "currency": "USD", "status": "open", "isin": "x" * 40}
                server.publish("fields", value, key="eur")
                got.append(await other.hear("message"))
        await within(take(talk))
        kinds = {message["type"] for side, message in EXAMPLES if side == "<"}
        # That the server closes comes at the end.
        for kind in kinds - {"closing"}:
            await until(lambda: any(one["type"] == kind for one in got), f"{kind} has come")  # noqa: B023 - awaited at once
        stopping = asyncio.ensure_future(server.stop())
        with pytest.raises(ConnectionClosed):
            await within(listening)
        await within(stopping)
    for side, message in EXAMPLES:
        if side == "<":
            alike = [one for one in got if one["type"] == message["type"]]
            assert any(_is_like(one, message) for one in alike), (message, alike)


def _is_like(one: Any, example: Any) -> bool:
    """Whether it has the fields of the example, and where those are the protocol's words, the same words."""
    if isinstance(example, dict):
        return isinstance(one, dict) and one.keys() == example.keys() and all(_is_like(one[k], example[k]) for k in one)
    if isinstance(example, list):
        return isinstance(one, list) and all(_is_like(item, example[0]) for item in one)
    return type(one) is type(example)
