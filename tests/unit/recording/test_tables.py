"""Recordings as tables. What is not installed here is tested by a stand-in, and by itself where it is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from helpers.recording_bytes import Missing, One, file_of

import fanwire
from fanwire.recording.tables import COLUMNS, columns_of


@pytest.fixture
def recording(tmp_path: Path) -> fanwire.Recording:
    file = tmp_path / "file"
    time_ns = 1_700_000_000_123_456_000
    file.write_bytes(
        file_of(
            [One("a", 1, b"1", "json", time_ns), Missing("a", 2, 2, 1), One("b", 3, b"x", "text", time_ns, key="k")],
            [One("a", 4, b"\xff", time_ns=time_ns, origin=0xA)],
        )
    )
    return fanwire.open_recording(file)


def test_the_columns_have_the_values_of_the_records(recording: fanwire.Recording) -> None:
    columns = columns_of(list(recording.records()))
    assert tuple(columns) == COLUMNS
    assert columns["room"] == ["a", "b", "a"]
    assert columns["seq"] == [1, 3, 4]
    assert columns["key"] == [None, "k", None]
    assert columns["node"] == [None, None, "a"]
    assert columns["payload"] == [b"1", b"x", b"\xff"]
    assert columns_of([]) == {name: [] for name in COLUMNS}


def test_a_package_that_is_missing_is_named(recording: fanwire.Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pyarrow is not installed: pip install 'fanwire\[recording\]'"):
        recording.to_arrow()
    with pytest.raises(ImportError, match="pyarrow is not installed"):
        recording.arrow_batches()
    with pytest.raises(ImportError, match="pandas is not installed"):
        recording.to_pandas()


def test_arrow(recording: fanwire.Recording) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is large, and not one of the tools")
    table = recording.to_arrow()
    assert table.column_names == list(COLUMNS)
    assert table.column("seq").to_pylist() == [1, 3, 4]
    assert table.column("room").to_pylist() == ["a", "b", "a"]
    assert table.column("payload").to_pylist() == [b"1", b"x", b"\xff"]
    assert str(table.schema.field("time").type) == "timestamp[ns, tz=UTC]"
    assert [batch.num_rows for batch in recording.arrow_batches(rows=1)] == [2, 1]


def test_pandas(recording: fanwire.Recording) -> None:
    pytest.importorskip("pandas", reason="pandas is large, and not one of the tools")
    frame = recording.to_pandas()
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame["seq"]) == [1, 3, 4]
    assert str(frame["time"][0]) == "2023-11-14 22:13:20.123456+00:00"
