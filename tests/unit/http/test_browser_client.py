"""The browser client as a file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from fanwire.http.browser_client import FILE, BrowserClient

BROTLI = FILE.with_name("fanwire.js.br")


def asking(**headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/fanwire.js", "headers": named})


async def asked(client: BrowserClient, **headers: str) -> Response:
    return await client.answer(asking(**headers))


async def test_the_file_and_its_tag(tmp_path: Path) -> None:
    path = tmp_path / "a.js"
    path.write_text("export const a = 1;\n")
    client = BrowserClient(path)
    answer = await asked(client)
    assert (answer.status_code, answer.body) == (200, b"export const a = 1;\n")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert (answer.headers["access-control-allow-origin"], answer.headers["cache-control"]) == ("*", "no-cache")
    again = await asked(client, if_none_match=f'"x", {answer.headers["etag"]}')
    assert (again.status_code, again.body) == (304, b"")
    assert (await asked(client, if_none_match='"x"')).status_code == 200
    path.write_text("export const a = 2;\n")
    assert (await asked(BrowserClient(path))).headers["etag"] != answer.headers["etag"]


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip;q=1.0, BR ; q=0.5", "br"),
        ("gzip, br;q=0", "gzip"),
        ("br;q=0.000, GZIP", "gzip"),
        ("gzip, brotli", "gzip"),
        ("gzip;q=0", None),
        ("identity", None),
        ("", None),
    ],
)
async def test_the_smallest_form_that_the_client_takes(accepted: str, coding: str | None) -> None:
    answer = await asked(BrowserClient(), accept_encoding=accepted)
    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["vary"] == "Accept-Encoding"
    body = bytes(answer.body)
    if coding == "br":
        assert body == BROTLI.read_bytes()
        assert len(body) < len(gzip.compress(FILE.read_bytes(), 9))
    else:
        assert (gzip.decompress(body) if coding else body) == FILE.read_bytes()


async def test_a_file_without_a_form_in_brotli(tmp_path: Path) -> None:
    path = tmp_path / "a.js"
    path.write_text("export const a = 1;\n")
    answer = await asked(BrowserClient(path), accept_encoding="gzip, br")
    assert answer.headers["content-encoding"] == "gzip"
