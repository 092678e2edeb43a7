"""The settings of a recording, and what is said when one fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fanwire.observability.health import Health
from fanwire.recording.recorder import Recorder, RecorderStats, Recordings, RecordOptions


def options(**given: Any) -> RecordOptions:
    return RecordOptions.of(
        **{
            "rooms": "a.*", "directory": "r", "name": "recording", "rotate_bytes": 1 << 20, "rotate_seconds": 60.0,
            "keep_bytes": 1 << 30, "flush_interval": 0.1, "sync": "close", "queue_bytes": 1 << 20, **given,
        }
    )  # fmt: skip


def test_right_settings() -> None:
    found = options()
    assert (found.rooms, found.directory, found.keep_bytes) == (("a.*",), Path("r"), 1 << 30)
    assert options(keep_bytes=None, rooms=["a", "b"]).keep_bytes == 0


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"rooms": []}, "rooms must"),
        ({"rooms": 5}, "rooms must"),
        ({"rooms": ["a"] * 65}, "rooms must be 1 to 64"),
        ({"rooms": [""]}, "rooms"),
        ({"directory": 5}, "directory must be a path"),
        ({"name": "a/b"}, "name must be 1 to 64 letters"),
        ({"name": ""}, "name"),
        ({"rotate_bytes": 100}, "rotate_bytes must be at least 65536"),
        ({"rotate_seconds": 0}, "rotate_seconds must"),
        ({"keep_bytes": 1 << 20}, "keep_bytes must be at least twice rotate_bytes"),
        ({"flush_interval": -1}, "flush_interval must"),
        ({"sync": "often"}, "sync must be"),
        ({"queue_bytes": 5}, "queue_bytes must be at least 65536"),
    ],
)
def test_wrong_settings(given: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        options(**given)


class Told(Health):
    """A health that keeps its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def warning(self, message: str, *args: object) -> None:
        self.lines.append(message % args)


def test_a_failure_is_said_once_and_its_end_too() -> None:
    health = Told()
    recordings = Recordings(health)
    recorder = Recorder(options(), lambda _: None)
    full = RecorderStats(failure="no space left")
    for _ in range(3):
        recordings._told(recorder, full)
    assert health.lines == [
        "recording recording in r cannot write, tries again each second, and leaves out what its queue cannot hold: "
        "no space left"
    ]
    assert health.troubles == {"recording recording in r": "no space left"}
    assert recordings.failing == 1
    assert health.faults == {}
    recordings._told(recorder, RecorderStats(left_out=7))
    assert health.lines[1:] == [
        "recording recording in r has left out 7 messages: the disk is too slow",
        "recording recording in r goes on; 7 messages were left out since its start",
    ]
    assert (recordings.failing, health.troubles) == (0, {})
    recordings._told(recorder, RecorderStats(left_out=7))
    recordings._told(recorder, RecorderStats(left_out=9))
    assert health.lines[3:] == ["recording recording in r has left out 2 messages: the disk is too slow"]


class Disk:
    """The part of an engine that records; it takes nothing."""

    def record(self, *args: Any, **more: Any) -> int:
        return 1

    def recordings(self) -> list[dict[str, Any]]:
        return []

    def stop_recording(self, id: int, timeout: float) -> None:
        return None


async def test_they_are_looked_at_while_there_are_some() -> None:
    recordings = Recordings(Told())
    recordings.begin(Disk(), "n")  # type: ignore[arg-type]  # the part that is used
    assert recordings._timer is None
    # From another thread, as an application may.
    recorder = await asyncio.to_thread(recordings.add, options())
    await asyncio.sleep(0)
    timer = recordings._timer
    assert timer is not None
    # A second one needs no second timer.
    other = recordings.add(options(name="other"))
    await asyncio.sleep(0)
    assert recordings._timer is timer
    for each in (recorder, other):
        await each.stop()
    timer.cancel()
    recordings._watch()
    assert recordings._timer is None
    recordings.end()
