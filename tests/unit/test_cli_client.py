"""What the command line needs to publish and to subscribe: addresses, keys, names and lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.commands import run

import fanwire.cli.lines as reading
from fanwire.cli.address import check_room, server_url
from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.cli.lines import read_lines


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://h:1", "ws://h:1/"),
        ("ws://h:1/", "ws://h:1/"),
        ("https://h/sub?a=b#c", "wss://h/sub?a=b"),
        ("wss://[::1]:2", "wss://[::1]:2/"),
    ],
)
def test_server_url(base: str, url: str) -> None:
    assert server_url(base) == url


@pytest.mark.parametrize("base", ["127.0.0.1:8000", "ftp://h", "ws://", "", "localhost", "ws://h:x"])
def test_what_is_no_url_is_told(base: str) -> None:
    with pytest.raises(Misuse, match="no URL"):
        server_url(base)
    assert run("subscribe", "a", "--url", base).exit_code == 2


@pytest.mark.parametrize("base", ["http://h\r\nX: y", "ws://h/a\n", "ws://h/a b", "ws://h/?a=\0", "ws://a:b@h/"])
def test_a_url_that_no_request_can_carry_is_told(base: str) -> None:
    with pytest.raises(Misuse, match=r"(?i)url"):
        server_url(base)
    assert run("subscribe", "a", "--url", base).exit_code == 2


@pytest.mark.parametrize("key", ["a\r\nX: y", "a\n", "a b", "", "\u560a"])
def test_a_key_that_no_request_can_carry_is_told(key: str) -> None:
    for command in ("subscribe", "publish"):
        assert run(command, "a", "--api-key", key).exit_code == 2


@pytest.mark.parametrize("name", ["a\nb", "a\r", "\x1b[2J", "\udcff", "\u2028"])
def test_a_name_with_control_characters_is_told(name: str) -> None:
    with pytest.raises(Misuse, match="no control characters"):
        check_room(name)
    assert run("subscribe", name).exit_code == 2


@pytest.mark.parametrize("name", ["", "ü" * 128])
def test_what_is_no_name_is_told(name: str) -> None:
    with pytest.raises(Misuse, match="1 to 255 bytes"):
        check_room(name)
    assert run("subscribe", name).exit_code == 2


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)


async def test_lines_come_whole_however_they_are_cut(pipe: tuple[int, int]) -> None:
    read, write = pipe
    lines = read_lines(read)
    os.write(write, b"one\nt")
    assert await anext(lines) == b"one"
    os.write(write, b"w")
    os.write(write, b"o\n\nthr")
    assert [await anext(lines), await anext(lines)] == [b"two", b""]
    os.write(write, b"ee")
    os.close(write)
    # The last one has no end, and is one all the same.
    assert [line async for line in lines] == [b"three"]


async def test_no_lines_of_nothing(pipe: tuple[int, int]) -> None:
    os.close(pipe[1])
    assert [line async for line in read_lines(pipe[0])] == []


async def test_files_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%d\n" % n for n in range(50_000)))
    with path.open("rb") as file:
        assert [line async for line in read_lines(file.fileno())] == [b"%d" % n for n in range(50_000)]


async def test_a_line_without_end_has_an_end(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LINE_MAX", 1000)
    os.write(pipe[1], b"x" * 2000)
    with pytest.raises(CommandFailed, match="longer than 1000"):
        await anext(read_lines(pipe[0]))
    os.close(pipe[1])
