"""Writes what is made of `protocol.toml`, or says with `--check` which of it is stale: `make protocol`."""

from __future__ import annotations

import sys

import markdown
import source_python
import source_rust
import source_typescript
from table import ROOT, load

__all__ = ["made", "main"]


def made() -> dict[str, str]:
    """What each file should hold, by its path in the repository."""
    table = load()
    files = {path: markdown.fill((ROOT / path).read_text(), table) for path in PAGES}
    files["python/fanwire/protocol/table.py"] = source_python.source(table)
    files["rust/wire/table.rs"] = source_rust.source(table)
    files["typescript/src/table.ts"] = source_typescript.source(table)
    return files


def main(arguments: list[str]) -> int:
    """Runs the program and returns its status: 1 if something is stale."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python protocol [--check]\n")
        return 2
    stale = []
    for path, text in made().items():
        file = ROOT / path
        if file.exists() and file.read_text() == text:
            continue
        if arguments:
            stale.append(path)
        else:
            file.write_text(text)
    for path in stale:
        sys.stderr.write(f"{path} is not what protocol/protocol.toml says: run `make protocol`\n")
    return int(bool(stale))


PAGES = ["docs/protocol.md", "docs/http.md"]
"""Pages with tables."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
