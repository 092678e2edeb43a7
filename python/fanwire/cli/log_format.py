"""The log of `fanwire serve`: its level and its format. The library itself only uses `logging`.

`console` is for people. `json` and `logfmt` write one line for each record, with its fields, for programs that collect
logs.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from datetime import datetime, timezone
from functools import partial
from typing import Any, Literal, get_args

from fanwire.cli.failure import CommandFailed
from fanwire.cli.log_writer import LogWriter
from fanwire.observability.fields import logfmt

__all__ = ["LOG_FORMATS", "LogFormat", "count_missing_lines", "formatter_of", "log_to_stderr"]

LogFormat = Literal["console", "json", "logfmt"]

LOG_FORMATS: tuple[str, ...] = get_args(LogFormat)


def log_to_stderr(level: str, log_format: LogFormat, *, replaces: bool = False) -> None:
    """Writes the log of all loggers to the standard error, by a thread, so that a stalled reader stops nothing.

    Args:
        level: the least severe level: "debug", "info", "warning" or "error".
        log_format: see the head of this file.
        replaces: whether it takes the place of a log that was configured before; otherwise that stays.

    Raises:
        CommandFailed: the format needs structlog, which is not installed.
    """
    handler: logging.Handler
    try:
        handler = LogWriter(sys.stderr)
    except (AttributeError, OSError, ValueError):
        # There is no standard error, or a program has put an object without a descriptor in its place.
        handler = logging.StreamHandler()
    handler.setFormatter(formatter_of(log_format))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=replaces)


def count_missing_lines(count: Callable[[int, int], object]) -> None:
    """Has the lines counted that the log's target does not take.

    Args:
        count: is called with the level and the number of such lines, from any thread.
    """
    for handler in logging.root.handlers:
        if isinstance(handler, LogWriter):
            handler.count_by(count)


def formatter_of(log_format: LogFormat) -> logging.Formatter:
    """The formatter of a format.

    Raises:
        CommandFailed: the format needs structlog, which is not installed.
    """
    if log_format == "console":
        return logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        from structlog.processors import StackInfoRenderer, format_exc_info
        from structlog.stdlib import ExtraAdder, ProcessorFormatter
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("structlog"):
            raise
        raise CommandFailed(f"--log-format {log_format} needs structlog: pip install 'fanwire[logs]'") from error
    render = as_json if log_format == "json" else as_logfmt
    return ProcessorFormatter(
        processors=[StackInfoRenderer(), format_exc_info, partial(one_level, ExtraAdder()), render],
    )


def one_level(
    extras: Callable[..., Mapping[str, Any]], _: object, __: str, event: MutableMapping[str, Any]
) -> Mapping[str, Any]:
    """All fields of a record side by side: when, how severe, which logger, the text, and the fields that it came with.
    A traceback is the field `exception`.

    Args:
        extras: adds the fields that other code has given as `extra`, whatever their names are.
        event: what structlog has of the record.
    """
    record: logging.LogRecord = event.pop("_record")
    event.pop("_from_structlog", None)
    message = event.pop("event")
    added = {**extras(None, "", {"_record": record})}
    if added["_record"] is record:
        del added["_record"]
    event = {**added, **event}
    fields = event.pop("connection", None)
    if isinstance(fields, Mapping):
        message = fields.get("event", message)
        event = {**fields, **event}
    elif fields is not None:
        # Another program's field of this name.
        event["connection"] = fields
    if "event" in vars(record):
        # A field of the application, and not the text.
        event.setdefault("event", vars(record)["event"])
    moment = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
    head = {
        "time": moment.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": message,
        "process": record.process,
    }
    # A field of the application must not pass for one of the record's own.
    return {**head, **{name: value for name, value in event.items() if name not in head}}


def as_json(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    """The line of a record as JSON (RFC 8259). A field that JSON cannot hold is its text: no record is lost for it."""
    try:
        return _json(event)
    except (TypeError, ValueError, RecursionError):
        return _json({str(name): value if _is_json(value) else _text(value) for name, value in event.items()})


def as_logfmt(_: object, __: str, event: MutableMapping[str, Any]) -> str:
    """The line of a record, in the notation of the connection log."""
    return logfmt(
        {
            NO_NAME.sub("_", str(name)) or "_": value if isinstance(value, (bool, str)) else _text(value)
            for name, value in event.items()
        }
    )


def _json(value: object) -> str:
    return json.dumps(value, default=_text, allow_nan=False)


def _is_json(value: object) -> bool:
    try:
        _json(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _text(value: object) -> str:
    """The text of an object of the application, whose methods may fail."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - the rest of the record is worth more
        return f"<{type(value).__name__} whose text failed: {type(error).__name__}>"


NO_NAME = re.compile(r'[\s="]+')
"""What would end a name in logfmt."""
