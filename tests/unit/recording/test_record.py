"""What a record says of itself."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from fanwire import RecordedMessage
from fanwire.recording.record import as_datetime


def record(kind: str, payload: bytes) -> RecordedMessage:
    return RecordedMessage(1_700_000_000_123_456_789, 1, "r", "ab", 7, 6, None, kind, "reliable", None, payload, 0)


def test_the_data_is_what_was_published() -> None:
    assert record("binary", b"\xff").data == b"\xff"
    assert record("text", "é".encode()).data == "é"
    assert record("json", b'{"a":[1,2.5]}').data == {"a": [1, 2.5]}
    assert record("forgotten", b"").data is None
    with pytest.raises(ValueError, match="unexpected end"):
        record("json", b"{").data  # noqa: B018 - reading it fails


def test_the_time_and_the_id() -> None:
    one = record("text", b"")
    assert one.time == datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=timezone.utc)
    assert one.id == "ab-7"
    assert as_datetime(0).isoformat() == "1970-01-01T00:00:00+00:00"
