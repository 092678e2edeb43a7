"""Each format of the log: its fields, tracebacks, and what a client cannot do to it."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from typing import Any

import pytest

from fanwire.cli.failure import CommandFailed
from fanwire.cli.log_format import formatter_of, log_to_stderr
from fanwire.observability.fields import write


def line_of(log_format: Any, text: str, *args: object, **extra: Any) -> str:
    """The line of a record of the logger `shop`."""
    record = logging.getLogger("shop").makeRecord("shop", logging.WARNING, "shop.py", 7, text, args, None, extra=extra)
    record.created = 1_767_225_600.25
    return formatter_of(log_format).format(record)


def test_json_is_one_object_with_all_fields() -> None:
    found = json.loads(line_of("json", "%d of %s", 3, "tea\nJuice", order="A-7", weight=1.5))
    assert isinstance(found.pop("process"), int)
    assert found == {
        "time": "2026-01-01T00:00:00.250Z",
        "level": "warning",
        "logger": "shop",
        "message": "3 of tea\nJuice",
        "order": "A-7",
        "weight": 1.5,
    }


def test_a_field_may_have_any_name() -> None:
    names = {"event": "order", "_record": 1, "_from_structlog": True, "positional_args": 2, "a\nb": 3, "": 4}
    found = json.loads(line_of("json", "text", **names, level="error"))
    assert found == found | names
    assert (found["message"], found["level"]) == ("text", "warning")
    line = line_of("logfmt", "text", **names)
    assert " message=text " in line
    assert " event=order " in line
    assert " a_b=3 " in line


class Silent:
    """Has no text."""

    def __str__(self) -> str:
        raise ValueError


def circle() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["self"] = found
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ({"x": [math.nan]}, "{'x': [nan]}"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (circle(), "{'self': {...}}"),
        (b"\xff", "b'\\xff'"),
        (Silent(), "<Silent whose text failed: ValueError>"),
    ],
)
def test_no_value_of_a_field_loses_the_record(value: object, text: str) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    # RFC 8259 has no NaN and no Infinity.
    found = json.loads(line_of("json", "text", value=value, other=1), parse_constant=refuse)
    assert (found["message"], found["value"], found["other"]) == ("text", text, 1)
    line = line_of("logfmt", "text", value=value, other=1)
    assert line.endswith(" other=1")
    assert json.dumps(text) in line or f"value={text}" in line


def test_the_fields_of_a_connection_stand_beside_the_others() -> None:
    lines = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.extend([formatter_of("json").format(record), formatter_of("logfmt").format(record)])

    logger = logging.Logger("fanwire.connections")
    logger.addHandler(Keep())
    write(logger, logging.INFO, {"event": "connection_ended", "id": "0x7", "compressed": False, "subject": 'a"\nid=8'})
    found = json.loads(lines[0])
    assert (found["message"], found["event"], found["id"]) == ("connection_ended", "connection_ended", "0x7")
    assert (found["compressed"], found["subject"], found["level"]) == (False, 'a"\nid=8', "info")
    line = re.sub(r"^time=\S+ |process=\d+ ", "", lines[1])
    assert line == (
        "level=info logger=fanwire.connections message=connection_ended event=connection_ended id=0x7 "
        'compressed=false subject="a\\"\\nid=8"'
    )


@pytest.mark.parametrize("log_format", ["json", "logfmt"])
def test_no_text_makes_a_second_line_or_another_field(log_format: Any) -> None:
    evil = 'x\r\n\x1b[31m\u2028{"level":"error"} level=error "'
    line = line_of(log_format, evil, name_of_it=evil)
    assert line.isascii()
    assert line.isprintable()
    if log_format == "json":
        assert json.loads(line)["message"] == evil
    else:
        assert line.startswith("time=2026-01-01T00:00:00.250Z level=warning logger=shop message=")


def test_a_field_of_the_application_does_not_pass_for_one_of_the_record() -> None:
    found = json.loads(line_of("json", "text", level="none", logger="other", connection="a string"))
    assert (found["level"], found["logger"], found["connection"]) == ("warning", "shop", "a string")


def test_a_value_that_json_does_not_know_is_written_all_the_same() -> None:
    assert "object object" in json.loads(line_of("json", "text", thing=object()))["thing"]


@pytest.mark.parametrize("log_format", ["json", "logfmt"])
def test_a_traceback_is_a_field(log_format: Any) -> None:
    try:
        raise ValueError("no tea")
    except ValueError:
        record = logging.getLogger("shop").makeRecord("shop", logging.ERROR, "", 1, "broken", (), sys.exc_info())
    line = formatter_of(log_format).format(record)
    assert "\n" not in line
    assert "exception" in line
    assert "ValueError: no tea" in line


def test_without_structlog_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "structlog.processors", None)
    monkeypatch.setitem(sys.modules, "structlog", None)
    assert formatter_of("console").format(logging.makeLogRecord({"msg": "text"})).endswith(": text")
    with pytest.raises(CommandFailed, match=r"--log-format json needs structlog: pip install 'fanwire\[logs\]'"):
        formatter_of("json")


def test_the_log_of_a_program_stays_unless_a_format_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.RootLogger(logging.ERROR)
    own = logging.NullHandler()
    root.addHandler(own)
    monkeypatch.setattr(logging, "root", root)
    log_to_stderr("debug", "console")
    assert (root.handlers, root.level) == ([own], logging.ERROR)
    log_to_stderr("debug", "json", replaces=True)
    assert own not in root.handlers
    assert root.level == logging.DEBUG


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


def cycle() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def deep() -> list[Any]:
    made: list[Any] = []
    for _ in range(100_000):
        made = [made]
    return made


@pytest.mark.parametrize("log_format", ["json", "logfmt"])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (cycle(), "[[...]]"),
        (deep(), "<list whose text failed: RecursionError>"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (Unshowable(), "<Unshowable whose text failed: RuntimeError>"),
    ],
    ids=["nan", "infinite", "cycle", "deep", "keys", "unshowable"],
)
def test_no_field_loses_the_line(log_format: Any, value: object, text: str) -> None:
    line = line_of(log_format, "paid", order=value)
    if log_format == "json":
        found = json.loads(line, parse_constant=pytest.fail)
        assert (found["message"], found["order"]) == ("paid", text)
    else:
        assert " message=paid " in line
        assert line.endswith((f" order={text}", f" order={json.dumps(text)}"))


@pytest.mark.parametrize("name", ["event", "_record", "_from_structlog", "record"])
def test_no_field_takes_the_place_of_the_record(name: str) -> None:
    found = json.loads(line_of("json", "paid", **{name: "mine"}))
    assert (found["message"], found["level"], found["logger"]) == ("paid", "warning", "shop")
    if name in ("event", "record"):
        assert found[name] == "mine"


@pytest.mark.parametrize("name", ["a b", "a=b", 'a"b', "a\nb"])
def test_a_name_in_logfmt_has_no_mark_that_ends_it(name: str) -> None:
    assert line_of("logfmt", "paid", **{name: 1}).endswith(" a_b=1")
