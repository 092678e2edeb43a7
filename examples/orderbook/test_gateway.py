"""The exchange that is played, and what readers of the gateway get: on one node and two, late, slow and cut."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from book import Book, OutOfSequence
from exchange import SYMBOLS, Exchange
from gateway import WHOLE_EVERY, Books, Gateway, make_server
from load import Reader, report
from pages import BODIES

import fanwire
from fanwire.backplane import MemoryBackplane, MemoryBus
from fanwire.testing import ServerRun, until

SYMBOL = "EURUSD"
ROOM = f"book.{SYMBOL}"


class Node:
    """A node that runs, and its books."""

    def __init__(self, run: ServerRun, books: Books) -> None:
        self.run = run
        self.books = books


@pytest.fixture
async def start(fanwire_start: Callable[..., Awaitable[ServerRun]]) -> AsyncIterator[Callable[[], Awaitable[Node]]]:
    """Starts a node of a cluster."""
    bus = MemoryBus()
    tasks: list[asyncio.Task[None]] = []

    async def start() -> Node:
        server, books = make_server(backplane=MemoryBackplane(bus))
        run = await fanwire_start(server)
        tasks.append(asyncio.create_task(books.follow(server)))
        await asyncio.wait_for(books.is_following.wait(), 20)
        return Node(run, books)

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def fed(gateway: Gateway, exchange: Exchange, count: int) -> None:
    """The gateway takes so many changes."""
    for _ in range(count):
        increment = exchange.feed()
        if increment is not None:
            gateway.take(increment)


def begun(node: Node, loses: int = 0) -> tuple[Exchange, Gateway]:
    exchange = Exchange(seed=1, loses=loses)
    gateway = Gateway(node.run.server, exchange)
    gateway.begin()
    return exchange, gateway


async def read_upto(room: fanwire.Room, book: Book, seq: int) -> int:
    """Reads changes into a book; returns how often it was compared with the whole one."""
    compared = 0
    while book.seq < seq:
        message = await asyncio.wait_for(anext(room), 20)
        assert message.gap is None
        compared += book.take(message.data)
    return compared


async def joined(client: fanwire.Client) -> tuple[fanwire.Room, Book]:
    room = await asyncio.wait_for(client.join(ROOM), 20)
    book = Book()
    book.take(room.snapshot)
    return room, book


def test_increments_make_the_book_of_the_exchange() -> None:
    exchange = Exchange(seed=2, loses=0)
    books = {symbol: exchange.book(symbol) for symbol in SYMBOLS}
    for _ in range(5000):
        increment = exchange.feed()
        assert increment is not None
        book = books[increment.symbol]
        book.apply(increment.seq, increment.bids, increment.asks)
        assert book.best_bid < book.best_ask
    for symbol, book in books.items():
        assert book.whole() == exchange.book(symbol).whole()
        assert min(len(book.bids), len(book.asks)) > 5


def test_a_hole_is_found() -> None:
    book = Book()
    book.replace(5, [(99, 10)], [(101, 10)])
    with pytest.raises(OutOfSequence, match="after 5 comes 7"):
        book.apply(7, [], [])
    assert not book.take({"full": True, "seq": 7, "bids": [(98, 1)], "asks": []})
    assert book.take({"full": True, "seq": 7, "bids": [[98, 1]], "asks": []})


async def test_a_reader_that_joins_in_the_middle_has_the_book(start: Callable[[], Awaitable[Node]]) -> None:
    node = await start()
    exchange, gateway = begun(node)
    fed(gateway, exchange, 500)
    room, book = await joined(await node.run.client())
    fed(gateway, exchange, 1000)
    compared = await read_upto(room, book, exchange.book(SYMBOL).seq)
    assert book.whole() == exchange.book(SYMBOL).whole()
    assert compared > 0


async def test_a_cut_loses_no_change(start: Callable[[], Awaitable[Node]]) -> None:
    node = await start()
    exchange, gateway = begun(node)
    proxy = await node.run.proxy()
    room, book = await joined(await node.run.client(url=proxy.url))
    for _ in range(5):
        fed(gateway, exchange, 100)
        proxy.cut()
        fed(gateway, exchange, 100)
        await read_upto(room, book, exchange.book(SYMBOL).seq)
        assert book.whole() == exchange.book(SYMBOL).whole()


async def test_who_was_away_for_long_gets_the_whole_book(start: Callable[[], Awaitable[Node]]) -> None:
    node = await start()
    exchange, gateway = begun(node)
    room, _ = await joined(await node.run.client())
    # All of it is kept, and is many times the bytes of a book.
    fed(gateway, exchange, 2000)
    again = await asyncio.wait_for((await node.run.client()).join(ROOM, room.position, repair="cheapest"), 20)
    assert again.repair == "snapshot"
    fed(gateway, exchange, 100)
    book = Book()
    while book.seq < exchange.book(SYMBOL).seq:
        message = await asyncio.wait_for(anext(again), 20)
        if message.gap is not None:
            book.take(message.gap.snapshot)
        book.take(message.data)
    assert book.whole() == exchange.book(SYMBOL).whole()


async def test_a_reader_proves_that_it_has_everything(start: Callable[[], Awaitable[Node]]) -> None:
    node = await start()
    exchange, gateway = begun(node)
    proxy = await node.run.proxy()
    reader = Reader(await node.run.client(url=proxy.url), SYMBOL, "fast")
    reading = asyncio.create_task(reader.read())
    await until(lambda: reader.checker.report().epoch)  # it has joined
    for _ in range(3):
        fed(gateway, exchange, 500)
        proxy.cut()
    await until(lambda: reader.book.seq == exchange.book(SYMBOL).seq)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    proof = reader.checker.report()
    assert proof.is_complete
    assert (reader.changes, reader.holes) == (proof.received, 0)
    assert reader.verified > 0
    assert ", 0 are missing" in report([reader], 1.0)


async def test_what_the_feed_loses_is_repaired(start: Callable[[], Awaitable[Node]]) -> None:
    node = await start()
    exchange, gateway = begun(node, loses=50)
    room, book = await joined(await node.run.client())
    fed(gateway, exchange, 1000)
    gateway.begin()  # the last one may have been lost
    holes = 0
    while book.seq < exchange.book(SYMBOL).seq:
        message = await asyncio.wait_for(anext(room), 20)
        holes += bool(message.data.get("full")) and message.data["seq"] > book.seq + 1
        book.take(message.data)
    assert book.whole() == exchange.book(SYMBOL).whole()
    assert gateway.repairs >= holes > 0


async def test_a_node_that_starts_later_has_the_books(start: Callable[[], Awaitable[Node]]) -> None:
    first = await start()
    exchange, gateway = begun(first)
    fed(gateway, exchange, 4 * WHOLE_EVERY)
    second = await start()
    room, book = await joined(await second.run.client())
    fed(gateway, exchange, 300)
    await read_upto(room, book, exchange.book(SYMBOL).seq)
    assert book.whole() == exchange.book(SYMBOL).whole()


async def test_a_slow_reader_ends_with_the_newest_quote(start: Callable[[], Awaitable[Node]]) -> None:
    node = await start()
    exchange, gateway = begun(node)
    proxy = await node.run.proxy()
    quotes = await (await node.run.client(url=proxy.url)).join("quotes")
    proxy.pause()
    fed(gateway, exchange, 3000)
    proxy.resume()
    book = exchange.book(SYMBOL)
    newest = {"symbol": SYMBOL, "bid": book.best_bid, "ask": book.best_ask}
    last, read = None, 0
    while last != newest:
        message = await asyncio.wait_for(anext(quotes), 20)
        read += 1
        if message.key == SYMBOL:
            last = message.data
    assert read < 3000


async def test_a_phone_gets_the_newest_quote_as_often_as_it_asks_for(start: Callable[[], Awaitable[Node]]) -> None:
    node = await start()
    exchange, gateway = begun(node)
    fed(gateway, exchange, 50)
    quotes = await (await node.run.client()).join("quotes", max_rate=20)
    assert quotes.max_rate == 20
    fed(gateway, exchange, 3000)
    book = exchange.book(SYMBOL)
    newest = {"symbol": SYMBOL, "bid": book.best_bid, "ask": book.best_ask}
    last, read = None, 0
    while last != newest:
        message = await asyncio.wait_for(anext(quotes), 20)
        assert message.gap is None
        read += 1
        if message.key == SYMBOL:
            last = message.data
    assert read < 3000


async def test_the_page_and_the_client_come_from_one_port(start: Callable[[], Awaitable[Node]]) -> None:
    node = await start()

    def body(path: str) -> bytes:
        with urllib.request.urlopen(node.run.http_url + path, timeout=20) as answer:
            found: bytes = answer.read()
        return found

    assert await asyncio.to_thread(body, "/") == BODIES["index.html"]
    assert b"fanwire" in await asyncio.to_thread(body, "/fanwire.js")
    for name in BODIES:
        assert await asyncio.to_thread(body, f"/{name}") == BODIES[name]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        await asyncio.to_thread(body, "/../gateway.py")


async def test_a_client_may_not_publish(start: Callable[[], Awaitable[Node]]) -> None:
    node = await start()
    client = await node.run.client()
    with pytest.raises(fanwire.RequestFailed, match="forbidden"):
        await client.publish(ROOM, {"seq": 1})
    await until(lambda: node.run.server.count(ROOM) == 0)
