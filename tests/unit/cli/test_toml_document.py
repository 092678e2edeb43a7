"""TOML with the lines of its keys: what the scan finds is what the standard library reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.cli.toml_document import KeyPath, TomlError, parse_toml, parse_toml_value

TEXT = '''# a comment with [brackets] and = signs
title = "not # a comment"
"quoted key" = 'single # quotes'

[server]   # a table
host = "a\\"b"
origins = [
    "https://one.example",  # ] in a comment
    "]",
]
port = 1

[a."b.c".d]
text = """
[not.a.table]
x = 1 \\""" still
"""
raw = \'\'\'
y = 2
\'\'\'
after = 1

[[rooms]]
pattern = "a"
[rooms.more]
inner = 1

[[rooms]]
pattern = "b"

[[rooms.parts]]
one = 1
[[rooms.parts]]
two = 2
inline = { x = 1, y = [1, 2], z = "}" }
dotted . "key" = 3
'''
LINES: dict[KeyPath, str] = {
    ("title",): "title",
    ("quoted key",): '"quoted key"',
    ("server",): "[server]",
    ("server", "host"): "host",
    ("server", "origins"): "origins",
    ("server", "port"): "port",
    ("a", "b.c", "d"): "[a.",
    ("a", "b.c", "d", "text"): "text",
    ("a", "b.c", "d", "raw"): "raw",
    ("a", "b.c", "d", "after"): "after",
    ("rooms", 0, "pattern"): 'pattern = "a"',
    ("rooms", 0, "more"): "[rooms.more]",
    ("rooms", 0, "more", "inner"): "inner",
    ("rooms", 1, "pattern"): 'pattern = "b"',
    ("rooms", 1, "parts", 0, "one"): "one",
    ("rooms", 1, "parts", 1, "two"): "two",
    ("rooms", 1, "parts", 1, "inline"): "inline",
    ("rooms", 1, "parts", 1, "dotted", "key"): "dotted",
}


@pytest.mark.parametrize("path", LINES, ids=str)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_of_each_key_and_table(path: KeyPath, end: str) -> None:
    document = parse_toml(TEXT.replace("\n", end).encode())
    line = document.line(path)
    assert line is not None
    assert TEXT.split("\n")[line - 1].startswith(LINES[path])


def test_a_value_inside_has_the_line_of_its_key() -> None:
    document = parse_toml(TEXT.encode())
    assert document.line(("server", "origins", 1)) == document.line(("server", "origins"))
    assert document.line(("nothing",)) is None


NAMES = st.text(st.sampled_from("ab-_ .#='\"[]é"), max_size=4)
TEXTS = st.text(st.sampled_from("ab #=[]{}'\"\n\\é,"), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-5, 5) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def basic(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def long(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"""\n{escaped}"""'


def written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return long(value) if "\n" in value else basic(value)
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(written, value)) + "\n]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{basic(name)} = {written(one)}" for name, one in value.items()) + "}"
    return str(value)


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=4))
def test_every_key_of_any_document_has_its_line(tables: dict[str, dict[str, Any]]) -> None:
    lines: dict[KeyPath, int] = {}
    text = ""
    for table, values in tables.items():
        text += "\n# [comment]\n"
        lines[table,] = text.count("\n") + 1
        text += f"[{basic(table)}]\n"
        for name, value in values.items():
            lines[table, name] = text.count("\n") + 1
            text += f"{basic(name)} = {written(value)} # x = [\n"
    document = parse_toml(text.encode())
    assert document.values == tables
    assert document.lines == lines


@pytest.mark.parametrize("content", [b"a = ", b"[", b"a = [[[", b"\xff", b"a = 1\na = 2", b"a = '\r'"])
def test_what_is_no_toml_has_a_line_and_one_sentence(content: bytes) -> None:
    with pytest.raises(TomlError) as refused:
        parse_toml(content)
    assert refused.value.line == content.count(b"\n") + 1
    assert "\n" not in str(refused.value)


def test_one_value() -> None:
    assert parse_toml_value('["a", 1]') == ["a", 1]
    for text in ("", "1\nother = 2", "a b", "[" * 10_000):
        with pytest.raises(ValueError, match=r"\w"):
            parse_toml_value(text)


@pytest.mark.parametrize(
    "text",
    [
        "[admin.keys]\nhush = read",
        '[admin.keys]\nhush = ["read"]\nhush = ["read"]',
        '[admin]\nkeys = {hush = ["read"], hush = ["read"]}',
        "[admin]\nkeys = {hush.a = 1, hush = 2}",
        "[admin]\nkeys.hush = read",
        "[admin]\nkeys.hush.x = 1\nkeys.hush = 1",
        "admin.keys.hush = read",
        "[admin.keys.hush]\n[admin.keys.hush]",
        "[ admin . keys ]\nport = 1\nhush = [",
    ],
)
def test_no_error_quotes_a_key_of_the_admin_api(text: str) -> None:
    with pytest.raises(TomlError) as refused:
        parse_toml(text.encode())
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("text", ["{hush = 1, hush = 2}", "{hush.a = 1, hush = 2}", "{hush = 1", "{hush = x}"])
def test_no_error_quotes_a_key_of_a_single_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refused:
        parse_toml_value(text)
    assert "hush" not in str(refused.value)
