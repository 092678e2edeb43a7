"""Hooks of MkDocs (https://www.mkdocs.org/user-guide/configuration/#hooks): pages of the repository's root are pages of
the site, the reference of TypeScript is added, and links to files that are no pages become plain text."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
TYPESCRIPT = ROOT / ".cache" / "docs" / "typescript"
"""Where `make docs` has TypeDoc write the reference of the TypeScript client."""

ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benches/results/table.md": "bench-table.md",
}
"""Pages outside `docs/`, and what they are called in the site."""

_LINK = re.compile(r"(!?)\[((?:\[[^]]*\]\([^)]*\)|[^][]|\[[^]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(^ *```.*?^ *```\s*?$)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the root, and the reference of TypeScript where it was made."""
    for source, name in ROOT_PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text()))
    for path in sorted(TYPESCRIPT.glob("[!R]*.md")):
        name = f"reference/typescript/{path.relative_to(TYPESCRIPT)}"
        files.append(File.generated(config, name, content=path.read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrites the links of a page, outside of its code."""
    uri = page.file.src_uri
    source = next((source for source, name in ROOT_PAGES.items() if name == uri), f"docs/{uri}")
    parts = _FENCE.split(markdown)
    return "".join(part if at % 2 else _rewritten(part, source, uri, files) for at, part in enumerate(parts))


def _rewritten(text: str, source: str, uri: str, files: Files) -> str:
    def replace(found: re.Match[str]) -> str:
        mark, label, target = found.groups()
        label = _LINK.sub(replace, label)
        path, mark_of_anchor, anchor = target.partition("#")
        if not path or ":" in path:
            return f"{mark}[{label}]({target})"
        there = os.path.normpath(f"{Path(source).parent}/{path}")
        name = ROOT_PAGES.get(there) or (there.removeprefix("docs/") if there.startswith("docs/") else None)
        if name is not None and (ROOT / there).is_dir():
            name = f"{name}/README.md"
        if name is None or (mark == "" and files.get_file_from_path(name) is None):
            return label
        return f"{mark}[{label}]({os.path.relpath(name, Path(uri).parent)}{mark_of_anchor}{anchor})"

    return _LINK.sub(replace, text)
