"""A provider of keys, and who asks for them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from fanwire.auth import JWT, Keys
from fanwire.errors import Refused
from helpers.tokens import NOW, jwk, jwks, private, showing, token
from helpers.wait import DEADLINE, within


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Provider:
    """An endpoint for keys that does as it is told, and counts."""

    def __init__(self) -> None:
        self.text = jwks(jwk("P-256", "a"))
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.elsewhere = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_endless = False
        self.port = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        await self.gate.wait()
        if self.is_endless:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"[" * 65536)
        return web.Response(body=self.text, status=self.status, headers=self.headers)

    async def other(self, request: web.Request) -> web.Response:
        self.elsewhere += 1
        return web.Response(body=self.text)

    @asynccontextmanager
    async def listens(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Provider]:
        app = web.Application()
        app.router.add_get("/keys", self.answer)
        app.router.add_get("/other", self.other)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=tls).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys"


def jwt_of(provider: Provider, clock: Clock, timeout: float = DEADLINE, **options: Any) -> JWT:
    keys = Keys.url(provider.url, clock=clock, timeout=timeout, **options)
    return JWT(keys, algorithms=["ES256"], clock=lambda: NOW)


async def ask(authenticator: JWT, kid: str = "a", number: int = 0) -> str:
    """Who it is, or what is answered instead."""
    shown = token(private("P-256", number), "ES256", {"kid": kid})
    try:
        return (await within(authenticator(showing(shown)))).subject
    except Refused as refused:
        after = "" if refused.retry_after is None else f", after {refused.retry_after}"
        return f"{refused.status.value}: {refused}{after}"


UNKNOWN = "401: no key for kid 'b' and ES256"
