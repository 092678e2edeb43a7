"""`protocol.toml`, read and checked."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["ROOT", "Row", "Table", "load", "sentence"]

ROOT = Path(__file__).parents[1]

Row = dict[str, Any]
Table = dict[str, Any]


def load(path: Path = ROOT / "protocol" / "protocol.toml") -> Table:
    """The table, with every field of every row: what the file leaves out has its default.

    Raises:
        ValueError: a row lacks a field or has an unknown one, a name comes twice, or a word means nothing.
    """
    table = tomllib.loads(path.read_text())
    for kind, fields in FIELDS.items():
        for row in table[kind]:
            for name, default in fields.items():
                if name not in row and default is ...:
                    raise ValueError(f"[[{kind}]] {row} has no {name}")
                row.setdefault(name, default)
            if unknown := row.keys() - fields.keys():
                raise ValueError(f"[[{kind}]] {row} has fields without a meaning: {sorted(unknown)}")
            _check_meaning(row)
        _check_unique(kind, [tuple(row[name] for name in KEYS[kind]) for row in table[kind]])
    structs = {row["name"] for row in table["struct"]}
    for row in [*table["message"], *table["struct"]]:
        for payload in (row["payload"], row.get("reply_payload")):
            _check_payload(row, payload, structs)
    _check_messages(table)
    _check_codes(table)
    return table


def sentence(meaning: str, unit: str = "") -> str:
    """A meaning as a comment has it: without links, as a sentence."""
    text = re.sub(r" \(\[[^]]*\]\([^)]*\)\)", "", meaning)
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text) + (f" ({unit})" if unit else "")
    return text[0].upper() + text[1:] + "."


def _check_messages(table: Table) -> None:
    fields = {row["name"] for row in table["field"]}
    types = {row["type"] for row in table["message"]}
    limits = {row["name"] for row in table["limit"]}
    for row in table["field"]:
        if row["limit"] is not None and row["limit"] not in limits:
            raise ValueError(f"field {row['name']}: there is no limit {row['limit']!r}")
    for row in table["message"]:
        if row["from"] not in ("client", "server"):
            raise ValueError(f"message {row['type']}: from is client or server, got {row['from']!r}")
        for name in (*row["fields"], *row["reply"]):
            if name.removesuffix("?") not in fields:
                raise ValueError(f"message {row['type']}: there is no field {name!r}")
        if unknown := set(row["answer"]) - types:
            raise ValueError(f"message {row['type']}: there are no types {sorted(unknown)}")
    for row in table["reason"]:
        if row["of"] not in types:
            raise ValueError(f"reason {row['name']}: there is no type {row['of']!r}")


def _check_codes(table: Table) -> None:
    ranges = table["close_range"]
    for row in table["close"]:
        for is_yes, (first, last) in ((True, ranges["reconnect"]), (False, ranges["final"])):
            if first <= row["code"] <= last and row["reconnect"] is not is_yes:
                raise ValueError(f"close code {row['code']}: its number says that reconnect is {is_yes}")
        if row["by"] not in ("server", "client", "either", "neither"):
            raise ValueError(f"close code {row['code']}: by is server, client, either or neither, got {row['by']!r}")


def _check_payload(row: Row, payload: Any, structs: set[str]) -> None:
    name = row.get("type") or row["name"]
    if payload is None or payload == "any" or (isinstance(payload, str) and payload in structs):
        return
    if not isinstance(payload, list):
        raise ValueError(f"{name}: a payload is any, a list of fields or a struct, got {payload!r}")
    for field in payload:
        if not {"name", "type", "meaning"} <= field.keys() <= {"name", "type", "meaning", "optional"}:
            raise ValueError(f"{name}: a field has name, type, meaning and perhaps optional, got {field}")
        field.setdefault("optional", False)
        for part in field["type"].split(" or "):
            word = re.sub(r"^(list|map) of ", "", part)
            if word not in BASIC and word not in structs and word.strip('"') not in WORDS:
                raise ValueError(f"{name}: there is no type {word!r}")
    _check_unique(f"the payload of {name}", [(field["name"],) for field in payload])


def _check_meaning(row: Row) -> None:
    if "|" in row["meaning"] or "\n" in row["meaning"] or '"""' in row["meaning"]:
        raise ValueError(f"a meaning is a line of a table and of a comment: {row['meaning']!r}")


def _check_unique(what: str, keys: list[tuple[Any, ...]]) -> None:
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"{what}: {twice[0]} is there twice")


BASIC = {"string", "integer", "number", "boolean", "any", "true", "null"}
"""Types of values."""

WORDS = {"delivery", "error code", "base64"}
"""Sets of strings that a value may be one of."""

FIELDS: dict[str, dict[str, Any]] = {
    "subprotocol": {"name": ..., "codec": ..., "session": ..., "meaning": ...},
    "field": {"name": ..., "type": ..., "limit": None, "optional": False, "meaning": ...},
    "message": {
        "type": ..., "from": ..., "fields": [], "payload": None, "required": True, "counted": True, "answer": [],
        "reply": [], "reply_payload": None, "immediate": False, "urgent": False, "meaning": ...,
    },
    "struct": {"name": ..., "payload": ..., "meaning": ""},
    "delivery": {"name": ..., "droppable": ..., "keyed": ..., "meaning": ...},
    "reason": {"of": ..., "name": ..., "meaning": ...},
    "error": {"code": ..., "retry": ..., "meaning": ...},
    "http_error": {"status": ..., "code": ..., "meaning": ...},
    "close": {"code": ..., "name": ..., "reconnect": ..., "by": ..., "meaning": ...},
    "limit": {"name": ..., "value": ..., "unit": ..., "meaning": ...},
    "setting": {"field": ..., "default": ..., "unit": "", "meaning": ...},
}  # fmt: skip
"""The fields of each kind of row with their defaults; `...`: there is none."""

KEYS = {
    "subprotocol": ["name"], "field": ["name"], "message": ["type", "from"], "struct": ["name"], "delivery": ["name"],
    "reason": ["of", "name"], "error": ["code"], "http_error": ["status", "code"], "close": ["code"],
    "limit": ["name"], "setting": ["field"],
}  # fmt: skip
"""What tells the rows of a kind apart."""
