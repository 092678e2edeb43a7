"""Every form of the wire (codec, transport, compression, TLS, batches) delivers the same messages in the same order,
resumes, and keeps the limits."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
import ssl
from pathlib import Path
from typing import Any

import pytest
from helpers.any_form import Client, Form, all_forms, open_form
from helpers.serving import Book
from helpers.wait import until

import fanwire

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

Pem = tuple[Path, Path]
Tls = tuple[ssl.SSLContext, ssl.SSLContext]

WALKS = int(os.environ.get("FANWIRE_WALKS", "2"))
"""Random walks of the model test."""

TLS = pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "tls"])


def forms(has_tls: bool) -> list[Form]:
    return [form for form in all_forms() if form.has_tls == has_tls]


def serving(pem: Pem, has_tls: bool, **config: Any) -> Book:
    """A server whose rooms `quotes.*` compress, and whose rooms `plain.*` do not."""
    server = Book(config, tls=fanwire.TLS(*pem) if has_tls else None).listens()
    server.room("quotes.*", compress=True, history=1000)
    server.room("prices.*", compress=True, delivery="latest")
    server.room("plain.*", history=1000)
    return server


def quote(number: int) -> dict[str, Any]:
    levels = [{"price": 100 + number + level, "size": level * number % 7} for level in range(10)]
    return {"n": number, "symbol": "EURUSD", "venue": "prüfung", "bids": levels, "asks": levels}


def payloads(count: int) -> list[Any]:
    """Documents of all sizes, text and bytes; a third of them small."""
    odd = ["", b"", "é" * 40_000, bytes(range(256)) * 20, [], {"deep": [[[[None]]]]}, '\0\n\r"\\', bytes(70_000)]
    return [odd[n // 10 % len(odd)] if n % 10 == 0 else {"n": n} if n % 5 < 3 else quote(n) for n in range(count)]


def payload_of(message: dict[str, Any]) -> Any:
    if message.get("encoding") == "base64":
        return base64.b64decode(message["payload"])
    return message["payload"]


async def messages(client: Client, count: int) -> list[tuple[str, int, Any]]:
    """Room, number and payload of the next messages."""
    found = [await client.hear_type("message") for _ in range(count)]
    return [(message["room"], message["seq"], payload_of(message)) for message in found]


async def all_clients(
    stack: contextlib.AsyncExitStack, server: Book, has_tls: bool, context: ssl.SSLContext, path: str
) -> list[Client]:
    """A client of each form, until the stack ends."""
    return [await stack.enter_async_context(await open_form(server, form, context, path)) for form in forms(has_tls)]


@TLS
async def test_all_forms_get_the_same_messages_in_the_same_order(pem: Pem, tls: Tls, has_tls: bool) -> None:
    async with serving(pem, has_tls) as server, contextlib.AsyncExitStack() as stack:
        clients = await all_clients(stack, server, has_tls, tls[1], "/quotes.a,plain.a")
        reading = [asyncio.ensure_future(messages(client, 120)) for client in clients]
        sent: list[tuple[str, int, Any]] = []
        rounds = random.Random(7)
        everything = payloads(120)
        while everything:
            # Several at once, so that the engine joins them, and one alone.
            for payload in [everything.pop(0) for _ in range(min(rounds.choice([1, 5, 20]), len(everything)))]:
                room = rounds.choice(["quotes.a", "quotes.a", "quotes.a", "plain.a"])
                sent.append((room, server.publish(room, payload), payload))
            await asyncio.sleep(0.001)
        for client, read in zip(clients, reading, strict=True):
            assert await read == sent, str(client.form)
            assert (client.compressed > 0) == client.form.has_deflate, str(client.form)
            assert (client.arrays > 0) == client.form.has_batches, str(client.form)


@TLS
async def test_latest_rooms_end_at_the_newest_value_in_every_form(pem: Pem, tls: Tls, has_tls: bool) -> None:
    async with serving(pem, has_tls) as server, contextlib.AsyncExitStack() as stack:
        clients = await all_clients(stack, server, has_tls, tls[1], "/prices.a")
        for number in range(300):
            server.publish("prices.a", quote(number), key=f"k{number % 60}")
            if number % 50 == 0:
                await asyncio.sleep(0)
        newest = {f"k{number % 60}": number for number in range(240, 300)}
        for client in clients:
            values: dict[str, int] = {}
            while values != newest:
                message = await client.hear()
                if message["type"] == "message":
                    assert values.get(message["key"], -1) < message["payload"]["n"], str(client.form)
                    values[message["key"]] = message["payload"]["n"]


@TLS
async def test_a_session_resumes_in_the_same_form(pem: Pem, tls: Tls, has_tls: bool) -> None:
    async def one(form: Form) -> None:
        room = f"quotes.{form}"
        client = await open_form(server, form, tls[1], f"/{room}")
        taken: list[int] = []
        sent = 0
        for _ in range(3):
            for _ in range(40):
                server.publish(room, quote(sent))
                sent += 1
            taken += [seq for _, seq, _ in await messages(client, 25)]
            client.cut()
            client = await open_form(server, form, tls[1], after=client)
        taken += [seq for _, seq, _ in await messages(client, sent - len(taken))]
        assert taken == list(range(1, sent + 1)), str(form)
        client.cut()

    async with serving(pem, has_tls) as server:
        await asyncio.gather(*map(one, forms(has_tls)))


@TLS
async def test_what_clients_say_arrives_in_every_form(pem: Pem, tls: Tls, has_tls: bool) -> None:
    async with serving(pem, has_tls) as server:
        for form in forms(has_tls):
            async with await open_form(server, form, tls[1]) as client:
                server.heard.clear()
                await client.say(*({"type": "message", "payload": quote(number)} for number in range(5)))
                await until(lambda: len(server.heard) == 5, str(form))
                assert server.heard == [quote(number) for number in range(5)], str(form)


@TLS
async def test_a_message_above_the_limit_ends_the_connection_in_every_form(pem: Pem, tls: Tls, has_tls: bool) -> None:
    async with serving(pem, has_tls, max_message=20_000) as server:
        for form in forms(has_tls):
            if form.transport != "websocket":
                continue
            async with await open_form(server, form, tls[1]) as client:
                # Compressed it is far below the limit.
                await client.say({"type": "message", "payload": "x" * 20_000})
                assert await client.closed() == 1009, str(form)


@TLS
async def test_a_reader_that_takes_nothing_is_ended_in_every_form(pem: Pem, tls: Tls, has_tls: bool) -> None:
    limits = {"connection_bytes": 64 << 10, "replay_bytes": 64 << 10, "unsent_bytes": 4096}
    async with serving(pem, has_tls, **limits) as server, contextlib.AsyncExitStack() as stack:
        rooms = {form: f"quotes.{form}" for form in forms(has_tls)}
        for form, room in rooms.items():
            await stack.enter_async_context(await open_form(server, form, tls[1], f"/{room}"))
        noise = random.Random(1)
        for _ in range(1000):
            for room in rooms.values():
                # Compression makes half of it at most.
                server.publish(room, noise.randbytes(30_000).hex())
            await asyncio.sleep(0.01)
            if len(server.closed) == len(rooms):
                break
        # A session that was ended for this cannot be resumed, whatever its form.
        await server.ended(len(rooms))
        assert [conn._session and conn._session.ended for conn in server.closed] == ["overflow"] * len(rooms)


@TLS
async def test_random_walks_through_all_forms_lose_double_and_reorder_nothing(
    pem: Pem, tls: Tls, has_tls: bool
) -> None:
    async def walk(seed: int) -> None:
        """One session that changes its form at every turn of its way."""
        chance = random.Random(seed)
        room = f"quotes.{seed}"
        codec = chance.choice(["json", "msgpack"])
        ways = [form for form in forms(has_tls) if form.codec == codec]
        client = await open_form(server, chance.choice(ways), tls[1], f"/{room}")
        everything = payloads(150)
        sent: list[tuple[str, int, Any]] = []
        taken: list[tuple[str, int, Any]] = []
        while len(taken) < len(everything):
            for payload in everything[len(sent) : len(sent) + chance.randint(0, 20)]:
                sent += [(room, server.publish(room, payload), payload)]
            await asyncio.sleep(chance.choice([0, 0, 0.002]))
            taken += await messages(client, chance.randint(0, len(sent) - len(taken)))
            if chance.random() < 0.5:
                before, form = client, chance.choice(ways)
                if chance.random() < 0.5:
                    before.cut()
                # Otherwise the new link takes the session from the old one.
                client = await open_form(server, form, tls[1], after=before)
                before.cut()
        assert taken == sent, seed
        client.cut()

    async with serving(pem, has_tls) as server:
        start = random.randrange(1 << 32)
        await asyncio.gather(*(walk(start + number) for number in range(4 * WALKS)))
