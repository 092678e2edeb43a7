"""An application to be embedded, as somebody has it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, WebSocket
from starlette.requests import Request
from websockets.asyncio.client import connect

from helpers.serving import Book
from helpers.wait import DEADLINE


def chat(server: Book, path: str = "/chat", **options: Any) -> connect:
    """A client of a WebSocket of the application's."""
    options = {"compression": None, "proxy": None, "open_timeout": DEADLINE, "close_timeout": DEADLINE, **options}
    return connect(f"ws://127.0.0.1:{server.port}{path}", **options)


def shop() -> FastAPI:
    """An application as somebody has it who adds Fanwire to it."""
    app = FastAPI()

    @app.get("/healthz")
    async def healthz() -> str:
        return "the application's own"

    @app.get("/rooms/{name}")
    async def rooms(name: str) -> str:
        return f"a room of the hotel: {name}"

    @app.get("/who")
    async def who(request: Request) -> dict[str, Any]:
        return {"client": request.client, "url": str(request.url), "docs": request.scope["root_path"]}

    @app.websocket("/chat")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            await socket.send_text(f"{socket.url.scheme} {await socket.receive_text()}")

    return app
