"""Writes THIRD_PARTY_LICENSES.md: the licences of the crates that are linked into a wheel, with their texts.

python packaging/licenses.py            writes it
python packaging/licenses.py --check    exit code 1 if it is not what would be written

The texts come from the crates themselves, as cargo has unpacked them (`cargo fetch --locked`). Which licences are
allowed is in deny.toml. Python's dependencies are not in the wheel: pip installs them with licences of their own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILE = ROOT / "THIRD_PARTY_LICENSES.md"
TEXTS = re.compile(r"(?i)^(licen[cs]e|copying|notice|unlicense)")
"""How the files begin that a crate keeps its licences in."""
TRIPLES = (
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
)
HEAD = """# Licences of others

Fanwire is under the [MIT licence](LICENSE). Its wheels contain the Rust crates below, Rust's standard library (MIT or
Apache-2.0, the Rust Project Developers), and in wheels for musl the unwinder of LLVM (Apache-2.0 with the LLVM
exception). `make licenses` writes this page. A crate that has no text of its own has a licence whose text stands below
another crate.

| crate | version | licence |
|---|---|---|
"""


def main() -> None:
    """Writes the page, or compares it."""
    page = written(linked_crates())
    if "--check" not in sys.argv[1:]:
        FILE.write_text(page)
    elif FILE.read_text() != page:
        raise SystemExit(f"fanwire: {FILE.name} is not that of Cargo.lock; write it: python packaging/licenses.py")


def linked_crates() -> list[dict[str, Any]]:
    """What cargo knows of each crate in a wheel: no build scripts' dependencies, no macros, nothing of tests."""
    crates: dict[str, dict[str, Any]] = {}
    for triple in TRIPLES:
        command = [
            "cargo",
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--features",
            "python",
            "--filter-platform",
            triple,
        ]
        metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
        packages = {package["id"]: package for package in metadata["packages"]}
        nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
        (root,) = (name for name, package in packages.items() if package["manifest_path"] == str(ROOT / "Cargo.toml"))
        new, seen = [root], {root}
        while new:
            for dependency in nodes[new.pop()]["deps"]:
                name, kinds = dependency["pkg"], {kind["kind"] for kind in dependency["dep_kinds"]}
                is_macro = any("proc-macro" in target["kind"] for target in packages[name]["targets"])
                if None in kinds and not is_macro and name not in seen:
                    seen.add(name)
                    new.append(name)
        crates |= {name: packages[name] for name in seen - {root}}
    return sorted(crates.values(), key=lambda package: (package["name"], package["version"]))


def written(crates: list[dict[str, Any]]) -> str:
    """The page. A text that several crates have stands once."""
    rows = [f"| {crate['name']} | {crate['version']} | {crate['license']} |\n" for crate in crates]
    owners: dict[str, list[str]] = defaultdict(list)
    for crate in crates:
        for text in texts_of(crate):
            owners[text].append(crate["name"])
    parts = [f"\n## {', '.join(sorted(set(names)))}\n\n```text\n{text}\n```\n" for text, names in owners.items()]
    return HEAD + "".join(rows) + "".join(sorted(parts))


def texts_of(crate: dict[str, Any]) -> list[str]:
    """The texts of a crate's licences. Of a choice with MIT only that is taken, which asks for its notice alone."""
    folder = Path(crate["manifest_path"]).parent
    files = sorted(path for path in folder.iterdir() if path.is_file() and TEXTS.match(path.name))
    licence = crate["license"] or ""
    if " AND " not in licence and "MIT" in licence:
        mit = [path for path in files if "mit" in path.name.lower() and "mit-0" not in path.name.lower()]
        files = mit or [path for path in files if "apache" not in path.name.lower()] or files
    return [
        "\n".join(line.rstrip() for line in path.read_text(errors="replace").strip().splitlines()).replace("```", "'''")
        for path in files
    ]


if __name__ == "__main__":
    main()
