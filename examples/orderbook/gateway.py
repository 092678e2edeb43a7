"""An order-book gateway: one feed of an exchange becomes rooms that any number of readers join, on two nodes."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time

from book import Book, OutOfSequence
from exchange import SYMBOLS, Exchange, Increment
from nodes import run_nodes, serve
from pages import pages

import fanwire
from fanwire.auth import ANONYMOUS
from fanwire.backplane import Backplane

RATE = 100.0
"""Changes a second, of all books."""
WHOLE_EVERY = 200
"""Changes of a book after which the whole book is published, too: nodes begin with it, and readers compare."""


class Books:
    """The books of this node, as its readers see them: it follows the rooms. So every node can tell a new reader the
    state at a number of the room, whichever node has the feed."""

    def __init__(self) -> None:
        self._books: dict[str, tuple[Book, int]] = {}
        self._changed = asyncio.Event()
        self.is_following = asyncio.Event()

    async def follow(self, server: fanwire.Server) -> None:
        """Follows all books until it is cancelled."""
        async with server.subscribe("book.*", history=2 * WHOLE_EVERY) as messages:
            self.is_following.set()
            async for message in messages:
                self._take(message)

    def _take(self, message: fanwire.Message) -> None:
        assert message.room is not None
        assert message.seq is not None
        known = self._books.get(message.room)
        if known is None and not message.data.get("full"):
            return  # the beginning of what is kept; a whole book comes
        book = Book() if known is None else known[0]
        try:
            book.take(message.data)
        except OutOfSequence:
            del self._books[message.room]
        else:
            self._books[message.room] = (book, message.seq)
            self._changed.set()

    async def snapshot(self, room: str) -> fanwire.Snapshot:
        """The state of a book, for who joins. A node that has just started waits for the first whole book."""
        while room not in self._books:
            self._changed.clear()
            await self._changed.wait()
        book, seq = self._books[room]
        return fanwire.Snapshot(book.whole(), seq)


class Gateway:
    """Publishes what the exchange sends. It finds what the feed has lost, and repairs the book."""

    def __init__(self, server: fanwire.Server, exchange: Exchange) -> None:
        self._server = server
        self._exchange = exchange
        self._books: dict[str, Book] = {}
        self.repairs = 0

    def begin(self) -> None:
        """Publishes each book as it is."""
        for symbol in SYMBOLS:
            self._publish_whole(symbol)

    def take(self, increment: Increment) -> None:
        """Publishes a change."""
        symbol, book = increment.symbol, self._books[increment.symbol]
        if increment.seq <= book.seq:
            return  # older than the whole book that the exchange has given
        try:
            book.apply(increment.seq, increment.bids, increment.asks)
        except OutOfSequence:
            self.repairs += 1
            self._publish_whole(symbol)
        else:
            update = {"seq": increment.seq, "bids": increment.bids, "asks": increment.asks}
            self._server.publish(f"book.{symbol}", update)
            if book.seq % WHOLE_EVERY == 0:
                self._server.publish(f"book.{symbol}", book.whole())
        if increment.trade is not None:
            self._server.publish("trades", {"symbol": symbol, **vars(increment.trade), "at": time.time()})
        book = self._books[symbol]
        self._server.publish("quotes", {"symbol": symbol, "bid": book.best_bid, "ask": book.best_ask}, key=symbol)

    def _publish_whole(self, symbol: str) -> None:
        """Takes the whole book from the exchange, and publishes it."""
        book = self._books[symbol] = self._exchange.book(symbol)
        self._server.publish(f"book.{symbol}", book.whole())

    async def run(self, rate: float) -> None:
        """Takes the feed, so many changes a second, until it is cancelled."""
        self.begin()
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            # By the clock, so that the rate holds however late the loop is, but never a burst after a long wait.
            due = max(due + 1 / rate, loop.time() - 0.1)
            await asyncio.sleep(due - loop.time())
            increment = self._exchange.feed()
            if increment is not None:
                self.take(increment)


def make_server(port: int = 8000, backplane: Backplane | None = None) -> tuple[fanwire.Server, Books]:
    """A node, and its books. Anybody reads, nobody but the program publishes."""
    books = Books()
    server = fanwire.Server(port=port, authenticate=lambda request: ANONYMOUS, backplane=backplane, app=pages, mount="")
    # Every change counts: a reader joins with the whole book, and who was away gets what it has missed.
    server.room("book.*", history=1000, history_age=60, snapshot=books.snapshot)
    # A newer quote replaces a waiting one of its symbol: what a slow reader gets is fresh.
    server.room("quotes", delivery="latest")
    server.room("trades", history=50)
    return server, books


async def node(port: int, backplane: Backplane | None, rate: float) -> None:
    """Runs a node; with a rate it has the feed."""
    server, books = make_server(port, backplane)

    async def feed() -> None:
        await books.is_following.wait()
        await Gateway(server, Exchange()).run(rate)

    await serve(server, books.follow(server), *([feed()] if rate else []))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="of the first node; the second has the next one")
    parser.add_argument("--rate", type=float, default=RATE, help="changes a second")
    parser.add_argument("--alone", action="store_true", help="one node, without NATS")
    parser.add_argument("--nats", help="the URL of a NATS server: this process is one more node, without a feed")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run_nodes(node, given.port, given.rate, alone=given.alone, nats=given.nats))


if __name__ == "__main__":
    main()
