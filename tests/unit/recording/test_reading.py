"""Reading files that something else has written as docs/recording.md says."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from helpers.recording_bytes import LOG, Missing, One, block, entry_of, file_of, read

import fanwire
from fanwire import RecordedGap, RecordedMessage
from fanwire.recording.reading import nanoseconds

SECOND = 1_000_000_000
BEGAN = 1_700_000_000 * SECOND


def at(seconds: float) -> int:
    return BEGAN + int(seconds * SECOND)


def named(name: str, seconds: float) -> str:
    return f"{name}-{at(seconds)}.fanwire"


def seqs(recording: fanwire.Recording) -> list[int]:
    return [record.seq for record in recording.records()]


def test_what_is_read_is_what_the_format_says(tmp_path: Path) -> None:
    file = tmp_path / "any name"
    data = file_of(
        [
            One("a", 1, b"\x00\xff"), One("b", 5, "é".encode(), "text", key="k", delivery="latest"),
            One("a", 2, b"[1]", "json", origin=0xABC), Missing("a", 3, 9, 6), One("a", 10, epoch=0xF, origin=LOG),
        ],
        [One("b", 6, b"", "forgotten", key="k", delivery="latest"), Missing("", 0, 0, 4, 2)],
    )  # fmt: skip
    file.write_bytes(data)
    found = list(fanwire.open_recording(file))
    assert [tuple(entry) for entry in found] == list(read(data))
    assert [type(entry) for entry in found] == [
        RecordedMessage,
        RecordedMessage,
        RecordedMessage,
        RecordedGap,
        RecordedMessage,
        RecordedMessage,
        RecordedGap,
    ]
    assert [gap.missing for gap in fanwire.open_recording(file).gaps()] == [6, 4]


def test_types_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "file"
    later = file_of([One("a", 1)])
    body = entry_of(200, b"later")
    file.write_bytes(later + block(9, b"later") + block(2, body, 0, (at(0), at(0))) + file_of([One("a", 2)])[8:])
    assert seqs(fanwire.open_recording(file)) == [1, 2]


def test_rooms_and_times_are_chosen(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(
        file_of(*([One(room, seq, time_ns=at(seq)) for room in ("a.x", "a.y", "b")] for seq in range(1, 5)))
    )
    time = datetime.fromtimestamp(BEGAN // SECOND + 2, timezone.utc)
    assert seqs(fanwire.open_recording(file, rooms="b")) == [1, 2, 3, 4]
    assert seqs(fanwire.open_recording(file, rooms=["a.*"], since=time)) == [2, 2, 3, 3, 4, 4]
    assert seqs(fanwire.open_recording(file, rooms="b", since=time, until=time + timedelta(seconds=2))) == [2, 3]
    assert seqs(fanwire.open_recording(file, since=at(9))) == []


def test_the_files_of_a_directory_are_read_in_their_order(tmp_path: Path) -> None:
    for place, seconds in enumerate((0, 100, 1_000)):
        (tmp_path / named("r", seconds)).write_bytes(file_of([One("a", place + 1, time_ns=at(seconds + 1))]))
    (tmp_path / "r.lock").write_bytes(b"")
    (tmp_path / "other.txt").write_bytes(b"other")
    assert seqs(fanwire.open_recording(tmp_path)) == [1, 2, 3]
    assert seqs(fanwire.open_recording(tmp_path, until=at(500))) == [1, 2]
    # A file that ends before the time is not even opened.
    (tmp_path / named("r", 0)).write_bytes(b"broken")
    assert seqs(fanwire.open_recording(tmp_path, since=at(500))) == [3]
    (tmp_path / named("s", 0)).write_bytes(file_of([One("a", 7)]))
    with pytest.raises(ValueError, match="several recordings: choose one with name, of r, s"):
        fanwire.open_recording(tmp_path)
    assert seqs(fanwire.open_recording(tmp_path, name="s")) == [7]
    with pytest.raises(ValueError, match="no recording named 't'"):
        fanwire.open_recording(tmp_path, name="t")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="has no recording"):
        fanwire.open_recording(empty)


def test_messages_that_waited_for_the_next_file_are_of_their_own_time(tmp_path: Path) -> None:
    (tmp_path / named("r", 0)).write_bytes(file_of([One("a", 1, time_ns=at(1))]))
    (tmp_path / named("r", 10)).write_bytes(file_of([One("a", 2, time_ns=at(9)), One("a", 3, time_ns=at(11))]))
    (tmp_path / named("r", 100)).write_bytes(b"broken: long after the end")
    assert seqs(fanwire.open_recording(tmp_path, until=at(10))) == [1, 2]
    assert seqs(fanwire.open_recording(tmp_path, since=at(9), until=at(9.5))) == [2]


def test_what_a_file_contains_is_known_by_its_heads(tmp_path: Path) -> None:
    file = tmp_path / "file"
    data = file_of([One("a", 1, time_ns=at(1)), One("a", 2, time_ns=at(4))], [One("a", 3, time_ns=at(3))])
    file.write_bytes(data + b"FWB1 torn")
    (summary,) = fanwire.open_recording(file).summaries()
    assert summary._asdict() == {
        "path": file, "header": {"version": 1, "rooms": ["*"]}, "bytes": len(data) + 9, "blocks": 2, "messages": 3,
        "first_ns": at(1), "last_ns": at(4), "torn": 9,
    }  # fmt: skip
    assert seqs(fanwire.open_recording(file)) == [1, 2, 3]


def test_damaged_bytes_are_told_and_the_rest_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    first = file_of([One("a", 1, time_ns=at(1))])
    data = bytearray(file_of([One("a", 1)], [One("a", 2), One("a", 3)], [One("a", 4)]))
    data[len(first) + 60] ^= 1
    file.write_bytes(data)
    found = list(fanwire.open_recording(file))
    assert [entry.reason if isinstance(entry, RecordedGap) else entry.seq for entry in found] == [1, "damaged", 4]
    assert [entry.missing for entry in found if isinstance(entry, RecordedGap)] == [2]


def test_what_is_no_recording(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"file: this is no recording"):
        list(fanwire.open_recording(file))
    # Also when it is opened; and the text is that of any file.
    with pytest.raises(FileNotFoundError, match=r"^\[Errno 2\] No such file or directory: '.*/none'$"):
        fanwire.open_recording(tmp_path / "none")
    file.write_bytes(file_of([One("a", 1)]))
    recording = fanwire.open_recording(file)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"^\[Errno 2\] No such file or directory: '.*/file'$"):
        list(recording)
    with pytest.raises(TypeError, match="path must be a str or a Path, got 7"):
        fanwire.open_recording(7)  # type: ignore[arg-type]  # that is the mistake


def test_times() -> None:
    assert nanoseconds("since", None, 5) == 5
    assert nanoseconds("since", -1, 5) == 0
    assert nanoseconds("since", datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=timezone.utc), 0) == SECOND + 5_000
    with pytest.raises(ValueError, match="since must have a time zone"):
        nanoseconds("since", datetime(2026, 1, 1), 0)
    with pytest.raises(TypeError, match="since must be a datetime or an int"):
        nanoseconds("since", "yesterday", 0)  # type: ignore[arg-type]  # that is the mistake
