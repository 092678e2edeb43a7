"""`rust/wire/table.rs`."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from table import Table, sentence

__all__ = ["source"]


def source(table: Table) -> str:
    """The module, formatted as rustfmt does."""
    messages = list({row["type"]: row for row in table["message"]}.values())
    uncounted = [f"kind::{_const(row['type'])}" for row in messages if not row["counted"]]
    names = [f"subprotocol::{_const(row['codec'])}" for row in table["subprotocol"]]
    classes = [f"delivery::{_const(row['name'])}" for row in table["delivery"]]
    first, last = table["close_range"]["reconnect"]
    parts = [
        _module(
            "kind",
            "Types of messages.",
            [(row["type"], f'"{row["type"]}"', sentence(row["meaning"])) for row in messages],
        ),
        _array("UNCOUNTED", uncounted, "Types that neither side counts."),
        _module(
            "delivery",
            "Delivery classes.",
            [(row["name"], f'"{row["name"]}"', sentence(row["meaning"])) for row in table["delivery"]],
        ),
        _array("DELIVERIES", classes, "Delivery classes by their numbers between nodes, from 1."),
    ]
    for of in dict.fromkeys(row["of"] for row in table["reason"]):
        rows = [
            (row["name"], f'"{row["name"]}"', sentence(row["meaning"])) for row in table["reason"] if row["of"] == of
        ]
        parts.append(_module(f"{of}_reason", f"Reasons in the payload of `{of}`.", rows))
    parts += [
        _module(
            "error_code",
            "Codes in the payload of `error`.",
            [(row["code"], f'"{row["code"]}"', sentence(row["meaning"])) for row in table["error"]],
        ),
        _module(
            "close_code",
            "Close codes.",
            [(row["name"], row["code"], sentence(row["meaning"])) for row in table["close"]],
            "u16",
        ),
        "/// Codes of an application with which the other side comes back.\n"
        f"pub const RECONNECT: std::ops::RangeInclusive<u16> = {first}..={last};\n",
        _module(
            "subprotocol",
            "Subprotocols by their codecs.",
            [(row["codec"], f'"{row["name"]}"', sentence(row["meaning"])) for row in table["subprotocol"]],
        ),
        _array("SUBPROTOCOLS", names, "All of them."),
        _module(
            "limit",
            "Limits that no setting changes.",
            [(row["name"], _number(row["value"]), sentence(row["meaning"], row["unit"])) for row in table["limit"]],
            "usize",
        ),
    ]
    return HEAD + "\n".join(parts) + TAIL


def _module(name: str, doc: str, rows: Sequence[tuple[str, object, str]], kind: str = "&str") -> str:
    lines = []
    for word, value, meaning in rows:
        number = "u64" if isinstance(value, str) and len(value) > len("4_294_967_295") else "usize"
        of = number if kind == "usize" else kind
        lines += [f"    /// {line}" for line in wrap(meaning, 112)]
        lines.append(f"    pub const {_const(word)}: {of} = {value};")
    return "\n".join([f"/// {doc}", f"pub mod {name} {{", *lines, "}", ""])


def _array(name: str, items: list[str], doc: str) -> str:
    head = f"pub const {name}: [&str; {len(items)}] ="
    line = f"{head} [{', '.join(items)}];"
    if len(line) > 120:
        line = f"{head}\n    [{', '.join(items)}];"
    return f"/// {doc}\n{line}\n"


def _const(word: str) -> str:
    return word.upper().replace("-", "_").replace(" ", "_")


def _number(value: int) -> str:
    return f"{value:_}" if value >= 10_000 else str(value)


HEAD = """\
//! The words and numbers of the protocol. Made from protocol/protocol.toml by `make protocol`: change that file.

"""

TAIL = """
#[cfg(test)]
mod tests;
"""
