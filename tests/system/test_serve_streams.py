"""`fanwire serve` and programs that know no WebSocket: curl, and a page's EventSource."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from helpers.program import Lines, Program
from helpers.wait import DEADLINE

KEY = "secret"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    config = tmp_path / "server.toml"
    config.write_text('[[rooms]]\npattern = "kept.*"\nhistory = 100\n')
    options = ("--insecure", "--config", str(config), "--port", "0", "--api-key", KEY)
    with Program("serve", *options) as program:
        yield program.url().replace("ws://", "http://")


def publish(url: str, room: str, text: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "text/plain"}
    with urlopen(Request(f"{url}/rooms/{room}", text.encode(), headers), timeout=DEADLINE) as answer:
        assert answer.status == 200


def publish_often(url: str, is_over: threading.Event) -> None:
    while not is_over.wait(0.02):
        publish(url, "news", "one")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_reads_a_room(url: str) -> None:
    with subprocess.Popen(["curl", "-sN", f"{url}/rooms/news"], stdout=subprocess.PIPE) as curl:
        is_over = threading.Event()
        publisher = threading.Thread(target=publish_often, args=(url, is_over))
        try:
            assert curl.stdout is not None
            lines = Lines(curl.stdout, "stdout")
            # Again and again, because curl does not say when it has joined.
            publisher.start()
            for _ in range(3):
                assert lines.next().startswith("id: ")
                assert (lines.next(), lines.next()) == ("data: one", "")
        finally:
            is_over.set()
            if publisher.ident is not None:
                publisher.join()
            curl.kill()


def test_a_page_goes_on_where_it_was(url: str) -> None:
    headers = {"Accept": "text/event-stream"}
    last = ""
    with urlopen(Request(f"{url}/rooms/kept.a", headers=headers), timeout=DEADLINE) as stream:
        publish(url, "kept.a", "one")
        last = stream.readline().decode().removeprefix("id: ").strip()
        assert stream.readline() == b"data: one\n"
    publish(url, "kept.a", "two")
    headers["Last-Event-ID"] = last
    with urlopen(Request(f"{url}/rooms/kept.a", headers=headers), timeout=DEADLINE) as stream:
        assert stream.readline().startswith(b"id: ")
        assert stream.readline() == b"data: two\n"
