"""A TOML document and the lines of its keys. Pure: bytes in, values and lines out.

The standard library reads the values. It does not say where a key stands, so `key_lines` looks through the text again.
That text is valid by then, so that the scan needs only strings, brackets, comments and keys.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["KeyPath", "TomlDocument", "TomlError", "parse_toml", "parse_toml_value", "toml_value"]

KeyPath = tuple[str | int, ...]
"""The keys from the top of a document to a value; a number is a place in a list."""


class TomlDocument(NamedTuple):
    """What a document says.

    Attributes:
        values: the tables and keys.
        lines: the number of the line of each key and each table header, from 1.
    """

    values: dict[str, Any]
    lines: dict[KeyPath, int]

    def line(self, path: KeyPath) -> int | None:
        """The line of a value, or of the key or table that contains it; None: it is not in the document."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return None


class TomlError(ValueError):
    """The text is not TOML.

    Attributes:
        line: the number of the line, from 1; None: unknown.
    """

    def __init__(self, text: str, line: int | None) -> None:
        super().__init__(text)
        self.line = line


def parse_toml(content: bytes) -> TomlDocument:
    """Reads a document.

    Raises:
        TomlError: it is not TOML. The text says what is wrong, in one line without the place.
    """
    try:
        # Some editors begin a file with a mark.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TomlError("the file must be TOML, which is UTF-8 text", line) from error
    text = text.replace("\r\n", "\n")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _in_our_words(error, text) from error
    except RecursionError as error:
        raise TomlError("lists and tables are nested too deeply", None) from error
    return TomlDocument(values, key_lines(text))


def parse_toml_value(text: str) -> Any:
    """Reads one value, such as `[1, 2]`.

    Raises:
        ValueError: it is no value of TOML, or more than one.
    """
    if "\n" in text:
        raise ValueError("a value must be in one line")
    try:
        values = tomllib.loads(f"value = {text}\n")
    except tomllib.TOMLDecodeError as error:
        # The parser's own text may quote keys, which may be secrets.
        raise ValueError(str(_in_our_words(error, f"value = {text}\n")).replace("the key value", "it")) from error
    except RecursionError as error:
        raise ValueError("lists and tables are nested too deeply") from error
    return values["value"]


def toml_value(value: Any) -> str:
    """A value as a document has it, in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # TOML wants the escapes of JSON, and one more.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int):
        return f"{value:_}" if value >= GROUPED else str(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml_value(str(name))} = {toml_value(item)}' for name, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    return repr(value)


GROUPED = 10_000
"""The smallest number whose digits are written in groups."""


def _in_our_words(error: ValueError, text: str) -> TomlError:
    said = str(error)
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", said)
    reason = said if place is None else said[: place.start()]
    lines = text.split("\n")
    if place is None:
        line = None
    elif place[1] is None:
        line = max(1, len(text.rstrip("\n").split("\n")))
    else:
        line, column = int(place[1]), int(place[2])
        if line > 1 and column <= 1 and not lines[line - 1].strip():
            # The end of the line before.
            line -= 1
    shown = lines[line - 1].strip() if line is not None and line <= len(lines) else ""
    # Not the whole line: it may have a secret. Below [admin] names are secrets, too.
    header = next((one for one in reversed(lines[:line]) if HEADER.match(one)), "") if line is not None else ""
    key = None if IS_ADMIN.search(f"{header} {shown}") else re.match(r"([\w.-]+)(?=\s*=)|\[+[\w. -]+\]*", shown)
    what = "this key" if key is None else f"the key {key[1]}" if key[1] else f"the table {key[0]}"
    for pattern, ours in WORDS:
        if found := re.search(pattern, reason):
            return TomlError(found.expand(ours).replace("KEY", what), line)
    return TomlError(f"{what} is not TOML: {reason[:1].lower()}{reason[1:]}", line)


HEADER = re.compile(r"\s*\[+[\s\w.\"'-]+\]")
"""The header of a table; a list of texts in a line of its own looks like one, too, which does no harm."""

IS_ADMIN = re.compile(r"\badmin\b")
"""Whether a header or a key is that of the table whose names are secrets."""

WORDS: tuple[tuple[str, str], ...] = (
    (r"^Cannot overwrite a value", "KEY is given twice: keep one of them"),
    (r"^Cannot declare .* twice", "KEY is given twice: write all its keys below one of them"),
    (r"^Duplicate inline table key", "a key of the table in this line is given twice: keep one of them"),
    (r"^Cannot mutate immutable namespace", "a key of KEY is given twice: keep one of them"),
    (r"^Cannot redefine namespace", "KEY is given twice: write all its keys below one of them"),
    (r"^Expected '=' after a key", 'expected "key = value" or "[table]"'),
    (r"^Expected '\]' at the end of a table declaration", 'expected "]" at the end of the table name'),
    (r"^Expected '\]\]' at the end of an array declaration", 'expected "]]" at the end of the table name'),
    (r"^Expected newline or end of document", "expected the end of the line after the value of KEY"),
    (r"^Unclosed array", 'the list of KEY has no "]" at its end'),
    (r"^Unclosed inline table", 'the table in the line of KEY has no "}" at its end'),
    (
        r"^Unterminated string|^Illegal character '\\n'|^Expected [\"']",
        "the text of KEY has no quotation mark at its end",
    ),
    (
        r"^Invalid value",
        "KEY has no valid value: give a text in quotation marks, a number, true, false, or a list in brackets",
    ),
    (r"^Invalid initial character for a key part|^Invalid statement", 'expected "key = value" or "[table]"'),
    (r"^Unescaped '\\' in a string", r'a backslash in a text must be written as "\\\\"'),
)
"""What the standard library's parser says, and our words for it."""


def key_lines(text: str) -> dict[KeyPath, int]:
    """The lines of all keys and table headers of a valid document, whose lines end without a carriage return."""
    scan = _Scan(text)
    lines: dict[KeyPath, int] = {}
    sizes: dict[KeyPath, int] = {}
    table: KeyPath = ()

    def resolved(keys: list[str], *, is_array: bool = False) -> KeyPath:
        path: KeyPath = ()
        for place, key in enumerate(keys):
            path += (key,)
            if path in sizes and not (is_array and place == len(keys) - 1):
                path += (sizes[path] - 1,)
        return path

    while scan.skip_blank():
        line = scan.line
        if scan.take("[["):
            path = resolved(scan.keys(), is_array=True)
            lines.setdefault(path, line)
            sizes[path] = sizes.get(path, 0) + 1
            table = (*path, sizes[path] - 1)
            lines[table] = line
            scan.take("]]")
        elif scan.take("["):
            table = resolved(scan.keys())
            lines.setdefault(table, line)
            scan.take("]")
        else:
            path = table + tuple(scan.keys())
            lines.setdefault(path, line)
            scan.take("=")
            scan.skip_value()
    return lines


class _Scan:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.line = 1

    def skip_blank(self) -> bool:
        """Goes to the next key or header; False: there is none."""
        while found := BLANK.match(self._text, self._at):
            self._go(found.end())
        return self._at < len(self._text)

    def take(self, mark: str) -> bool:
        """Skips spaces and a mark, if it stands here."""
        self._skip_spaces()
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        return True

    def keys(self) -> list[str]:
        """Takes a key with dots."""
        found: list[str] = []
        while True:
            self._skip_spaces()
            part = KEY.match(self._text, self._at)
            if part is None:
                return found
            self._go(part.end())
            raw = part[0]
            found.append(next(iter(tomllib.loads(f"{raw} = 0"))) if raw[0] in "\"'" else raw)
            if not self.take("."):
                return found

    def skip_value(self) -> None:
        """Skips to the end of the value."""
        depth = 0
        while self._at < len(self._text):
            mark = self._text[self._at]
            if text := TEXT.match(self._text, self._at):
                self._go(text.end())
                continue
            if mark == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
                continue
            if mark == "\n" and depth == 0:
                return
            depth += (mark in "[{") - (mark in "]}")
            self._go(self._at + 1)

    def _skip_spaces(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t":
            self._at += 1

    def _go(self, end: int) -> None:
        self.line += self._text.count("\n", self._at, end)
        self._at = end


BLANK = re.compile(r"[ \t\n]+|#[^\n]*")
KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
TEXT = re.compile(
    r'''"""(?:\\.|[^\\])*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:'{0,2})|"(?:\\.|[^"\\\n])*"|'[^'\n]*\'''', re.DOTALL
)
"""A text of TOML. Three quotation marks may be followed by two that belong to the text."""
