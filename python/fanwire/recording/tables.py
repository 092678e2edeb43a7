"""Recordings as tables of pyarrow and pandas. Both are imported when they are used: neither is needed otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from fanwire.recording.record import RecordedGap, RecordedMessage

__all__ = ["COLUMNS", "arrow_batches", "to_arrow", "to_pandas"]

COLUMNS = ("time", "ts", "room", "epoch", "seq", "prev", "key", "kind", "delivery", "node", "payload")
"""The columns. `time` and `ts` are times in UTC; `payload` has bytes."""

Blocks = Iterable[list[RecordedMessage | RecordedGap]]


def to_arrow(blocks: Blocks) -> Any:
    """All messages as one table.

    Raises:
        ImportError: pyarrow is not installed.
    """
    arrow = needed("pyarrow")
    return arrow.Table.from_batches(list(arrow_batches(blocks, 65_536)), schema=schema_of(arrow))


def arrow_batches(blocks: Blocks, rows: int) -> Iterator[Any]:
    """The messages in batches.

    Raises:
        ImportError: pyarrow is not installed.
    """
    arrow = needed("pyarrow")
    schema = schema_of(arrow)

    def made() -> Iterator[Any]:
        records: list[RecordedMessage] = []
        for block in blocks:
            records += (entry for entry in block if isinstance(entry, RecordedMessage))
            if len(records) >= rows:
                yield batch_of(arrow, schema, records)
                records = []
        if records:
            yield batch_of(arrow, schema, records)

    return made()


def to_pandas(blocks: Blocks) -> Any:
    """All messages as a frame.

    Raises:
        ImportError: pandas is not installed.
    """
    pandas = needed("pandas")
    records = [entry for block in blocks for entry in block if isinstance(entry, RecordedMessage)]
    columns = columns_of(records)
    columns["time"] = pandas.to_datetime(columns["time"], unit="ns", utc=True)
    columns["ts"] = pandas.to_datetime(columns["ts"], unit="ms", utc=True)
    return pandas.DataFrame(columns)


def columns_of(records: list[RecordedMessage]) -> dict[str, Any]:
    """The values of each column."""
    # The last field is no column.
    values = zip(*records, strict=True) if records else [()] * len(COLUMNS)
    return dict(zip(COLUMNS, map(list, values), strict=False))


def schema_of(arrow: Any) -> Any:
    """The types of the columns."""
    names = arrow.dictionary(arrow.int32(), arrow.string())
    return arrow.schema(
        [
            ("time", arrow.timestamp("ns", "UTC")), ("ts", arrow.timestamp("ms", "UTC")), ("room", names),
            ("epoch", names), ("seq", arrow.uint64()), ("prev", arrow.uint64()), ("key", arrow.string()),
            ("kind", names), ("delivery", names), ("node", names), ("payload", arrow.binary()),
        ]
    )  # fmt: skip


def batch_of(arrow: Any, schema: Any, records: list[RecordedMessage]) -> Any:
    """One batch."""
    columns = columns_of(records)
    return arrow.RecordBatch.from_arrays(
        [arrow.array(columns[field.name], type=field.type) for field in schema], schema=schema
    )


def needed(name: str) -> Any:
    """A package that is not one of those that Fanwire needs.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} is not installed: pip install 'fanwire[recording]'") from error
