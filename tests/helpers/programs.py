"""A program to be served, and what its processes do."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Callable

import psutil

from helpers.program import Program

APP = """
import fanwire
from fanwire.backplane.memory import MemoryBackplane, MemoryBus

server = fanwire.Server(port=0, insecure=True)
server.room("news", publish=True, history=100)

@server.on("pid")
def pid(conn, payload):
    import os
    return os.getpid()

def make():
    return server

class Mine(fanwire.Server):
    def __init__(self):
        super().__init__(port=0, insecure=True)

together = fanwire.Server(port=0, insecure=True, backplane=MemoryBackplane(MemoryBus()))
elsewhere = fanwire.Server(unix="own.sock", insecure=True)

class holder:
    server = server

def broken():
    return {}["database"]

def nothing():
    pass

def wants(config):
    return server

async def late():
    return server

async def asgi(scope, receive, send):
    pass

class Asgi:
    async def __call__(self, scope, receive, send):
        pass

app = Asgi()
"""

Run = Callable[..., Program]


def stop(program: Program) -> None:
    program.kill(signal.SIGTERM)
    assert program.exit_code() == 0


def errors(program: Program) -> list[str]:
    """What it says, without its log."""
    return [line for line in program.err.rest() if not re.match(r"\d{4}-", line)]


def children(program: Program) -> list[psutil.Process]:
    return psutil.Process(program.process.pid).children(recursive=True)


def workers(program: Program) -> set[int]:
    found = set()
    for child in children(program):
        # One that ends while it is looked at is none.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "serve" in child.cmdline():
                found.add(child.pid)
    return found
