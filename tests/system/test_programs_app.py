"""`fanwire serve MODULE:SERVER` for a server that has an ASGI application beside it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest
from helpers.program import Program
from helpers.wait import within

import fanwire

SHOP = """
import contextlib

import fanwire
from fastapi import FastAPI

@contextlib.asynccontextmanager
async def lifespan(app):
    print("the shop opens", flush=True)
    server.publish("news", "opened")
    yield
    print("the shop closes", flush=True)

app = FastAPI(lifespan=lifespan)
server = fanwire.Server(port=0, insecure=True, app=app)
server.room("news", history=10)

@app.post("/say")
async def say(text: str):
    return {"seq": await server.publish_acked("news", text)}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("several", [[], ["--workers", "2", "--nats", "embedded"]])
async def test_the_application_runs_beside_it(shop: Path, several: list[str]) -> None:
    with Program("serve", "shop:server", *several, cwd=shop) as program:
        if not several:
            assert program.out.next() == "the shop opens"
        url = program.url()
        async with fanwire.connect(url) as client, aiohttp.ClientSession() as http:
            room = await within(client.join("news"))
            for text in ("one", "two"):
                address = url.replace("ws:", "http:").removesuffix("/fanwire") + "/say"
                # Each time perhaps another worker.
                async with http.post(address, params={"text": text}, headers={"Connection": "close"}) as answer:
                    assert answer.status == 200, await answer.text()
                # The application of another worker may open meanwhile.
                while (message := await within(anext(room))).data == "opened":
                    pass
                assert message.data == text
        await asyncio.to_thread(program.kill, signal.SIGTERM)
        assert await asyncio.to_thread(program.exit_code) == 0
        if not several:
            assert program.out.rest() == ["the shop closes"]


def test_an_application_is_no_server(shop: Path) -> None:
    with Program("serve", "shop:app", cwd=shop) as program:
        assert program.exit_code() == 2
        (line,) = program.err.rest()
        assert "fanwire.Server(app=...)" in line
