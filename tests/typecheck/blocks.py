"""The Python in the documentation, made whole: each block becomes a file that a type checker can read."""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

PREAMBLE = {
    "asyncio": "import asyncio",
    "fanwire": "import fanwire",
    "msgspec": "import msgspec",
    "os": "import os",
    "time": "import time",
    "server": "server = fanwire.Server(port=0, insecure=True)",
    "client": "client = fanwire.connect('ws://127.0.0.1:1')",
    "conn": "conn: fanwire.Connection = server.connections[0]",
    "publisher": "publisher = fanwire.Publisher('http://127.0.0.1:1')",
    "users": "def users(request: fanwire.Request) -> fanwire.Identity: return fanwire.Identity(subject='alice')",
    "quote": "quote: Any = {}",
    "book": "book: Any = {}",
    "database": "database: Any = {}",
    "stock": "stock = 3",
    "app": "app: Any = {}",
    "encode": "from fanwire.values.encoding import encode",
    "pytest": "import pytest",
    "aiohttp": "import aiohttp",
    "chat": "class chat:\n    server = fanwire.Server(insecure=True)",
    "token_of": "token_of: Any = None",
    "name_of": "def name_of(conn: fanwire.Connection) -> str: return ''",
    "Line": "class Line(msgspec.Struct):\n    room: str\n    text: str",
    "Written": "class Written(msgspec.Struct):\n    name: str\n    text: str",
    "AsyncIterator": "from collections.abc import AsyncIterator",
    **{
        name: f"from fanwire.testing import {name}"
        for name in ("FakeClock", "FaultProxy", "Publications", "ServerRun", "expect", "running", "until")
    },
    "Order": "class Order(msgspec.Struct):\n    amount: int",
}
"""What a block may use without saying where it comes from."""

NEEDS = {
    "server": ["fanwire"],
    "client": ["fanwire"],
    "conn": ["fanwire", "server"],
    "publisher": ["fanwire"],
    "users": ["fanwire"],
    "Order": ["msgspec"],
    "chat": ["fanwire"],
    "name_of": ["fanwire"],
    "Line": ["msgspec"],
    "Written": ["msgspec"],
}


BLOCK = re.compile(r'^( *)```python(?: title="[^"]+")?\n(.*?)^\1```', re.DOTALL | re.MULTILINE)


def documents() -> Iterator[tuple[str, str]]:
    """A name and the text of each block in the documents, in their order."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for number, (_, block) in enumerate(BLOCK.findall(path.read_text()), 1):
            yield f"{path.stem.lower()}_{number}", textwrap.dedent(block)


def docstrings() -> Iterator[tuple[str, str]]:
    """The same of the code in docstrings: what is indented after a line that ends with `::`, and is Python."""
    for path in sorted((ROOT / "python" / "fanwire").rglob("*.py")):
        if path == ROOT / "python" / "fanwire" / "cli" / "settings.py":
            # Its example is TOML, some of which could pass for Python.
            continue
        number = 0
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            for block in INDENTED.findall(ast.get_docstring(node) or ""):
                code = textwrap.dedent(block)
                try:
                    ast.parse(code)
                except SyntaxError:
                    # A table or a tree.
                    continue
                number += 1
                name = "_".join(path.relative_to(ROOT / "python").with_suffix("").parts)
                yield f"{name}_{number}", code


def whole(code: str) -> str:
    """A block with what it uses and does not define before it."""
    tree = ast.parse(code)
    defined = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            defined.add(node.name)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            defined.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        if isinstance(node, ast.arg):
            defined.add(node.arg)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    missing = used - defined - set(dir(builtins))
    for name in list(missing):
        missing.update(set(NEEDS.get(name, [])) - defined)
    lines = [text for name, text in PREAMBLE.items() if name in missing]
    return "\n".join(["from __future__ import annotations", "from typing import Any", *lines, "", code])


INDENTED = re.compile(r"::\n\n((?:(?:    .*)?\n)+)", re.MULTILINE)
