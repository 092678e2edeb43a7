"""`fanwire recording` and `fanwire replay` as processes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.program import Program
from helpers.recording_bytes import Missing, One, file_of

from fanwire.cli.recording_commands import line_of
from fanwire.recording.record import RecordedMessage

SECOND = 1_000_000_000
BEGAN = 1_700_000_000 * SECOND


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A recording of three messages in a tenth of a second, with a gap, whose end is torn."""
    path = tmp_path / "r"
    path.mkdir()
    entries = [
        One("a", 1, b'{"x":1.50}', "json", BEGAN),
        One("b", 1, "é".encode(), "text", BEGAN + SECOND // 20),
        Missing("b", 2, 4, 3, time_ns=BEGAN + SECOND // 20),
        One("b", 5, b"\xff", "binary", BEGAN + SECOND // 10),
    ]
    (path / f"r-{BEGAN}.fanwire").write_bytes(file_of(entries) + b"torn")
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Program]:
    config = tmp_path / "server.toml"
    config.write_text('[limits]\ndrain_spread = 0.5\n[[rooms]]\npattern = "again.*"\npublish = true\n')
    with Program("serve", "--insecure", "--config", str(config), "--port", "0", "--api-key", "secret") as program:
        yield program


def lines_of(*args: str) -> list[str]:
    with Program(*args) as program:
        assert program.exit_code() == 0
        return program.out.rest()


def test_what_a_recording_contains(directory: Path) -> None:
    (line, total) = lines_of("recording", "info", str(directory))
    assert "3 messages in" in line
    assert "2023-11-14 22:13:20+00:00 to 2023-11-14 22:13:20.100000+00:00" in line
    assert "4 bytes at the end are no whole block; rooms: *" in line
    assert total == "3 messages in 1 file"
    (summary,) = json.loads("".join(lines_of("recording", "info", "--json", str(directory))))
    assert (summary["messages"], summary["torn"], summary["first_ns"]) == (3, 4, BEGAN)


def test_its_messages_are_lines_of_json(directory: Path) -> None:
    text = lines_of("recording", "cat", str(directory))
    # As it was published, with its zero.
    assert '"payload":{"x":1.50}' in text[0]
    lines = [json.loads(line) for line in text]
    assert [(line.get("seq"), line.get("payload")) for line in lines] == [
        (1, {"x": 1.5}), (1, "é"), (None, None), (5, "/w=="),
    ]  # fmt: skip
    assert (lines[2]["missing"], lines[2]["first"], lines[2]["last"], lines[2]["reason"]) == (3, 2, 4, "queue")
    assert len(lines_of("recording", "cat", str(directory), "--room", "b", "--count", "2")) == 2
    (last,) = lines_of("recording", "cat", str(directory), "--since", "2023-11-14T22:13:20.06Z", "--room", "b")[1:]
    assert json.loads(last)["seq"] == 5


def test_what_is_no_recording_and_no_time(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("something else")
    for args, text in [
        (("info", str(tmp_path / "other")), "this is no recording"),
        (("info", str(tmp_path)), "has no recording"),
        (("cat", str(tmp_path), "--since", "yesterday"), "is neither a time with a time zone"),
    ]:
        with Program("recording", *args) as program:
            assert program.exit_code() == 2
            assert text in "".join(program.err.rest())


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b'{\r\n "a": 12345678901234567890123,\n"b": "\\n"\n}', {"a": 12345678901234567890123, "b": "\n"}),
        (b'{"a":}', '{"a":}'),
        (b'"\xff"', '"\ufffd"'),
        (b"1\n2", "1\n2"),
    ],
)
def test_each_entry_is_one_line_of_json(payload: bytes, shown: object) -> None:
    record = RecordedMessage(1, 1, "r", "e", 1, 0, None, "json", "reliable", None, payload, 0)
    line = line_of(record)
    assert line.index(b"\n") == len(line) - 1
    assert json.loads(line)["payload"] == shown


def test_a_recording_is_published_again(server: Program, directory: Path) -> None:
    url = server.url()
    with Program("subscribe", "again.b", "--url", url, "--count", "2") as reader:
        assert reader.err.next() == f"subscribed to again.b at {url}"
        with Program("replay", str(directory), "--to", url, "--api-key", "secret", "--prefix", "again.") as program:
            assert program.exit_code() == 0
            (line,) = program.err.rest()
            assert re.match(r"published 3 messages in \d", line)
            assert line.endswith("; 3 are missing in the recording, 0 forgotten keys were left out")
        assert reader.exit_code() == 0
        assert reader.out.rest() == ["é", "/w=="]


def test_a_server_that_refuses_a_message(server: Program, directory: Path) -> None:
    with Program("replay", str(directory), "--to", server.url(), "--speed", "inf", "--prefix", "no.") as program:
        assert program.exit_code() == 1
        assert "cannot be published in room" in "".join(program.err.rest())
    with Program("replay", str(directory), "--speed", "0") as program:
        assert program.exit_code() == 2


def test_a_server_records_what_its_settings_say(tmp_path: Path) -> None:
    config = tmp_path / "server.toml"
    config.write_text('[limits]\ndrain_spread = 0.5\n[recording]\nrooms = ["a.*"]\ndirectory = "r"\n')
    with Program("serve", "--insecure", "--config", str(config), "--port", "0", "--api-key", "secret") as server:
        url = server.url()
        for room in ("a.x", "b"):
            with Program("publish", room, "--url", url, "--api-key", "secret") as writer:
                writer.feed(b"one\ntwo\n", end=True)
                assert writer.exit_code() == 0
        server.process.terminate()
        assert server.exit_code() in (0, -15)
    lines = [json.loads(line) for line in lines_of("recording", "cat", str(tmp_path / "r"))]
    assert [(line["room"], line["payload"]) for line in lines] == [("a.x", "one"), ("a.x", "two")]


@pytest.mark.parametrize(
    ("more", "options", "text"),
    [
        ("keep_bytes = 5", (), "recording: keep_bytes must be at least twice rotate_bytes"),
        ("", ("--workers", "2", "--nats", "embedded"), "recording: several workers cannot write the same files"),
    ],
)
def test_settings_of_a_recording_that_cannot_be(tmp_path: Path, more: str, options: tuple[str, ...], text: str) -> None:
    config = tmp_path / "server.toml"
    config.write_text(f'[recording]\nrooms = ["a.*"]\ndirectory = "r"\n{more}\n')
    with Program("serve", "--insecure", "--config", str(config), "--port", "0", *options) as server:
        assert server.exit_code() == 2
        assert text in "".join(server.err.rest())
