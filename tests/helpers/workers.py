"""The workers of `fanwire serve --workers 2`, and clients that are spread over them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import psutil

import fanwire
from helpers.program import Program
from helpers.wait import within

CLIENTS = 8


def children(program: Program) -> list[psutil.Process]:
    return psutil.Process(program.process.pid).children(recursive=True)


def workers(program: Program) -> list[psutil.Process]:
    found = []
    for child in children(program):
        # One that ends while it is looked at is none.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "serve" in child.cmdline():
                found.append(child)
    return found


def clients_at(worker: psutil.Process, url: str) -> int:
    """How many connections a worker has."""
    port = urlsplit(url).port
    return sum(
        peer.status == psutil.CONN_ESTABLISHED and peer.laddr.port == port for peer in worker.net_connections("tcp")
    )


@contextlib.asynccontextmanager
async def readers(program: Program, url: str) -> AsyncIterator[list[fanwire.Room]]:
    """The same room of several clients, spread over the workers as the kernel has it."""
    async with contextlib.AsyncExitStack() as stack:
        rooms = []
        for _ in range(4 * CLIENTS):
            client = await within(stack.enter_async_context(fanwire.connect(url)))
            rooms.append(await within(client.join("news")))
            if len(rooms) >= CLIENTS and all(clients_at(worker, url) for worker in workers(program)):
                break
        yield rooms


async def take(room: fanwire.Room, count: int) -> list[fanwire.Message]:
    return [await within(anext(room)) for _ in range(count)]
