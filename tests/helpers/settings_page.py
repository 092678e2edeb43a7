"""The tables of docs/configuration.md, from the settings and their docstrings. To write them:

python tests/helpers/settings_page.py --write
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from msgspec import NODEFAULT

from fanwire.cli.setting_key import TABLES, SettingKey, keys_of, table_text
from fanwire.cli.settings_reference import example, header, kind_line

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
BEGIN, END = "<!-- settings -->", "<!-- end -->"


def tables() -> str:
    """A section for each table of the file, with a row for each key."""
    parts = []
    for table in TABLES:
        title = f"### `{header(table)}`"
        rows = [row(key) for key in keys_of(table).values()]
        parts += [
            title,
            "",
            table_text(table),
            "",
            "| key | default | values | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    return "\n".join(parts)


def row(key: SettingKey) -> str:
    if key.default is NODEFAULT:
        default = "must be set"
    elif key.default is None:
        default = "not set"
    else:
        default = f"`{escaped(example(key))}`"
    return f"| `{key.name}` | {default} | {escaped(kind_line(key))} | {escaped(key.text)} |"


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


def with_tables(page: str) -> str:
    """The page with its tables made anew."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n\n{tables()}\n{END}", page, flags=re.DOTALL)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python tests/helpers/settings_page.py --write")
    PAGE.write_text(with_tables(PAGE.read_text()))
