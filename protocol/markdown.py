"""The tables of the documentation: what stands between `<!-- protocol: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Callable

from table import Row, Table

__all__ = ["fill"]


def fill(page: str, table: Table) -> str:
    """A page with its tables written anew.

    Raises:
        ValueError: a marker names no table, or has no end.
    """

    def write(found: re.Match[str]) -> str:
        name = found[1]
        if name not in TABLES:
            raise ValueError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
        return f"<!-- protocol: {name} -->\n{TABLES[name](table)}\n<!-- end -->"

    if page.count("<!-- protocol: ") != page.count("<!-- end -->"):
        raise ValueError("a table has no end")
    return re.sub(r"<!-- protocol: ([\w ]+) -->\n.*?<!-- end -->", write, page, flags=re.DOTALL)


def _envelope(table: Table) -> str:
    limits = {row["name"]: row for row in table["limit"]}

    def kind(row: Row) -> str:
        limit = limits.get(row["limit"])
        return row["type"] if limit is None else f"{row['type']}, 1 to {limit['value']:,} {limit['unit']}"

    rows = [[f"`{row['name']}`", kind(row), row["meaning"]] for row in table["field"]]
    return _table(["field", "type", "meaning"], rows)


def _client(table: Table) -> str:
    rows = [[f"`{row['type']}`", _fields(row), row["meaning"], _answer(row)] for row in _sent_by("client", table)]
    return _table(["type", "fields", "meaning", "answer"], rows)


def _server(table: Table) -> str:
    rows = [[f"`{row['type']}`", _fields(row), row["meaning"] + _uncounted(row)] for row in _sent_by("server", table)]
    return _table(["type", "fields", "meaning"], rows)


def _payloads(table: Table) -> str:
    rows = []
    for row in table["message"]:
        for payload, whose in (
            (row["payload"], f"`{row['type']}` from the {row['from']}"),
            (row["reply_payload"], f"`reply` to `{row['type']}`"),
        ):
            if isinstance(payload, list):
                rows += _payload(whose, payload)
            elif payload not in (None, "any"):
                rows.append([whose, "", payload, "see below"])
    for row in table["struct"]:
        rows += _payload(row["name"], row["payload"])
    return _table(["payload of", "field", "type", "meaning"], rows)


def _payload(whose: str, payload: list[Row]) -> list[list[str]]:
    return [
        [whose if at == 0 else "", f"`{field['name']}`", _kind(field), field["meaning"]]
        for at, field in enumerate(payload)
    ]


def _classes(table: Table) -> str:
    rows = [
        [f"`{row['name']}`", _yes(row["droppable"]), _yes(row["keyed"]), row["meaning"]] for row in table["delivery"]
    ]
    return _table(["class", "droppable", "has keys", "meaning"], rows)


def _reasons(table: Table) -> str:
    rows = [[f"`{row['of']}`", f"`{row['name']}`", row["meaning"]] for row in table["reason"]]
    return _table(["of", "reason", "meaning"], rows)


def _errors(table: Table) -> str:
    rows = [[f"`{row['code']}`", _yes(row["retry"]), row["meaning"]] for row in table["error"]]
    return _table(["code", "`retry`", "meaning"], rows)


def _http_errors(table: Table) -> str:
    rows = [[str(row["status"]), f"`{row['code']}`", row["meaning"]] for row in table["http_error"]]
    return _table(["status", "code", "meaning"], rows)


def _closes(table: Table) -> str:
    rows = [[str(row["code"]), _yes(row["reconnect"]), BY[row["by"]], row["meaning"]] for row in table["close"]]
    return _table(["code", "reconnect", "sent by", "meaning"], rows)


def _subprotocols(table: Table) -> str:
    rows = [[f"`{row['name']}`", row["meaning"]] for row in table["subprotocol"]]
    return _table(["subprotocol", "what a client gets"], rows)


def _limits(table: Table) -> str:
    rows = [[row["meaning"], _amount(row["value"], row["unit"])] for row in table["limit"]]
    return _table(["of what", "most"], rows)


def _settings(table: Table) -> str:
    rows = [
        [row["meaning"], _size(row["default"]) if row["unit"] else f"{row['default']:,}", f"`{row['field']}`"]
        for row in table["setting"]
    ]
    return _table(["what", "default", "field"], rows)


def _sent_by(side: str, table: Table) -> list[Row]:
    return [row for row in table["message"] if row["from"] == side]


def _fields(row: Row) -> str:
    return "; ".join(part for part in (_names(row["fields"]), _told(row)) if part)


def _names(fields: list[str]) -> str:
    always = ", ".join(f"`{name}`" for name in fields if not name.endswith("?"))
    maybe = ", ".join(f"`{name[:-1]}`" for name in fields if name.endswith("?"))
    return ", ".join(part for part in (always, maybe and f"maybe {maybe}") if part)


def _told(row: Row) -> str:
    payload = row["payload"]
    if payload in (None, "any"):
        return ""
    text = f"payload: {payload}"
    if isinstance(payload, list):
        is_short = len(payload) <= SHORT
        text = f"payload: {_names([_marked(field) for field in payload])}" if is_short else "[payload](#payloads)"
    return text if row["required"] else f"{text}; or none"


def _marked(field: Row) -> str:
    return f"{field['name']}?" if field["optional"] else str(field["name"])


def _answer(row: Row) -> str:
    reply = row["reply_payload"]
    names = _names(row["reply"] + ([_marked(field) for field in reply] if isinstance(reply, list) else []))
    parts = [f"`{name}`" for name in row["answer"]]
    if names:
        parts = [f"`reply` with {names}" if part == "`reply`" else part for part in parts]
    if not row["counted"]:
        return (", then ".join(parts) or "none") + _uncounted(row)
    return (", or " if names else " or ").join(parts) or "none"


def _uncounted(row: Row) -> str:
    return "" if row["counted"] else "; not counted"


def _kind(field: Row) -> str:
    kind: str = field["type"].replace('"', "")
    return f"{kind}, optional" if field["optional"] else kind


def _yes(is_yes: bool) -> str:
    return "yes" if is_yes else "no"


def _amount(value: int, unit: str) -> str:
    if value == (1 << 63) - 1:
        return "2^63 - 1"
    return _size(value) if unit == "bytes" and value % 1024 == 0 else f"{value:,} {unit}".rstrip()


def _size(value: int) -> str:
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value % size == 0:
            return f"{value // size:,} {unit}"
    return f"{value:,} bytes"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
    lines.insert(1, "|---" * len(head) + "|")
    # An empty cell is one space.
    return re.sub(r"\|  (?=\|)", "| ", "\n".join(lines))


SHORT = 4
"""Fields of a payload that its row names."""

BY = {"server": "server", "client": "client", "either": "either", "neither": "not sent"}

TABLES: dict[str, Callable[[Table], str]] = {
    "subprotocols": _subprotocols, "envelope": _envelope, "client": _client, "server": _server, "payloads": _payloads,
    "delivery": _classes, "reasons": _reasons, "errors": _errors, "http errors": _http_errors, "close codes": _closes,
    "fixed limits": _limits, "settings": _settings,
}  # fmt: skip
