"""The layers of the house, written once: which folder may import which. docs/architecture.md has the pictures, drawn by

python tests/helpers/house.py --write
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "architecture.md"

Edge = tuple[str, str]
Imports = dict[str, set[str]]


@dataclass(frozen=True)
class Language:
    """The files of one language, and the order of their layers.

    Args:
        name: as the heading of its picture in the docs has it.
        layers: from the lowest to the highest. "rooms/" is a folder, anything else a file at the top.
        imports: what each module imports of the others, by names such as "rooms.roster".
        heads: the first sentence of each layer.
        wrong: imports that point up. The list may only get shorter.
    """

    name: str
    layers: tuple[str, ...]
    imports: Imports
    heads: dict[str, str]
    wrong: frozenset[Edge]

    def layer(self, module: str) -> str | None:
        """The layer of a module. None: it is in none."""
        return next((name for name in (module, f"{module.split('.')[0]}/") if name in self.layers), None)

    def edges(self) -> Iterator[Edge]:
        return ((name, other) for name, others in sorted(self.imports.items()) for other in sorted(others))

    def upward(self) -> set[Edge]:
        """Imports of what is in a higher layer."""
        rank = {name: index for index, name in enumerate(self.layers)}
        found = [(edge, self.layer(edge[0]), self.layer(edge[1])) for edge in self.edges()]
        return {edge for edge, lower, upper in found if lower and upper and rank[upper] > rank[lower]}

    def circles(self) -> list[list[str]]:
        """Modules that need each other, where all that is known to be wrong is left out."""
        left = {
            name: {other for other in others if (name, other) not in self.wrong}
            for name, others in self.imports.items()
            # `shard.rs` is the head of `shard/`, whose files are parts of it: Rust has them name each other.
            if f"{name}/" not in self.layers
        }
        return circles_of(left)

    def files(self, layer: str) -> list[str]:
        """The files of a folder in order: each imports only those after it."""
        prefix = layer.replace("/", ".")
        inside = {name for name in self.imports if name.startswith(prefix)}
        return [name.removeprefix(prefix) for name in ordered({name: self.imports[name] & inside for name in inside})]

    def picture(self) -> str:
        """The layers as a table, from the highest to the lowest."""
        lines = ["| imports only what is below | is | files: each imports only those behind it |", "|---|---|---|"]
        for layer in reversed(self.layers):
            files = " ".join(f"`{name}`" for name in self.files(layer)) if layer.endswith("/") else ""
            lines.append(f"| `{layer}` | {self.heads.get(layer, '')} | {files} |")
        return "\n".join(lines)


def circles_of(imports: Imports) -> list[list[str]]:
    """Groups of modules of which each leads to each other, by leaving out what leads nowhere or comes from nowhere."""
    left = {name: set(others) & set(imports) - {name} for name, others in imports.items()}
    while True:
        needed = {other for others in left.values() for other in others}
        ends = {name for name, others in left.items() if not others or name not in needed}
        if not ends:
            break
        left = {name: others - ends for name, others in left.items() if name not in ends}
    reach = {name: reached(name, left) for name in left}
    groups = {frozenset(other for other in reach[name] if name in reach[other]) for name in left if name in reach[name]}
    return sorted(sorted(group) for group in groups)


def reached(name: str, imports: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    new = [name]
    while new:
        for other in imports[new.pop()] - found:
            found.add(other)
            new.append(other)
    return found


def ordered(imports: Imports) -> list[str]:
    """Names, each before those that it imports; by the alphabet where that leaves a choice. Circles come first."""
    left = {name: set(others) - {name} for name, others in imports.items()}
    found: list[str] = []
    while left:
        ready = max((name for name, others in left.items() if not others), default=None) or max(left)
        del left[ready]
        for others in left.values():
            others.discard(ready)
        found.append(ready)
    return found[::-1]


def first_sentence(text: str) -> str:
    words = " ".join(text.split())
    return re.split(r"(?<=[^.])\.(?:\s|$)|:\s(?=`)", words, maxsplit=1)[0].rstrip(".").replace("|", "\\|")


# Python.

PACKAGE = ROOT / "python" / "fanwire"
PYTHON = (
    "_engine",
    "lazy_names",
    "protocol.table",
    "values/",
    "codes",
    "errors",
    "config",
    "state",
    "reject",
    "timing/",
    "observability/",
    "metrics/",
    "tls/",
    "deduplication/",
    "handlers/",
    "identity/",
    "auth/",
    "protocol/",
    "transports/",
    "listening/",
    "backplane/",
    "client/",
    "publisher/",
    "recording/",
    "connection",
    "rooms/",
    "sessions/",
    "subscribers/",
    "runtime/",
    "http/",
    "handshake/",
    "cluster/",
    "admin/",
    "process/",
    "application",
    "server",
    "testing/",
    "tracing",
    "demo/",
    "doctor/",
    "cli/",
    "__main__",
)

PYTHON_WRONG: frozenset[Edge] = frozenset()


def python() -> Language:
    paths = {name_of(path): path for path in [*PACKAGE.rglob("*.py"), PACKAGE / "_engine.pyi"]}
    del paths[""]
    imports = {name: python_imports(path, paths) for name, path in paths.items()}
    heads = {}
    for layer in PYTHON:
        path = paths.get(layer.rstrip("/"))
        heads[layer] = first_sentence(ast.get_docstring(ast.parse(path.read_text())) or "") if path else ""
    # What a package hands on is not in its picture: `cluster` is `cluster.__init__`.
    files = {
        f"{name}.__init__" if paths[name].name == "__init__.py" else name: found for name, found in imports.items()
    }
    files = {
        name: {f"{other}.__init__" if is_package(other) else other for other in found} for name, found in files.items()
    }
    return Language(
        "The host", PYTHON, {name: found for name, found in files.items() if keeps(name, found)}, heads, PYTHON_WRONG
    )


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def is_package(name: str) -> bool:
    return (PACKAGE / name.replace(".", "/") / "__init__.py").exists()


def keeps(name: str, found: set[str]) -> bool:
    """Whether a file counts: an `__init__.py` that imports nothing does not."""
    return bool(found) or not name.endswith("__init__")


def python_imports(path: Path, modules: Iterable[str]) -> set[str]:
    """The modules of the package that a file imports, wherever in it, and for types alone as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "fanwire":
            base = node.module.removeprefix("fanwire").lstrip(".")
            names = [f"{base}.{alias.name}".lstrip(".") for alias in node.names]
            found |= {name if name in modules else base for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("fanwire.") for alias in node.names if alias.name.startswith("fanwire.")}
    return found - {""}


# Rust.

ENGINE = ROOT / "rust"
RUST = (
    "error",
    "budget",
    "limit",
    "process",
    "slots",
    "wire.table",
    "stats/",
    "wire/",
    "tls/",
    "protocol/",
    "interest/",
    "message/",
    "outbox/",
    "recording/",
    "room/",
    "admission/",
    "queues/",
    "newcomers/",
    "shard/",
    "io/",
    "engine/",
    "cluster/",
    "python/",
)

RUST_WRONG: frozenset[Edge] = frozenset()


def rust() -> Language:
    paths = {rust_name(path): path for path in ENGINE.rglob("*.rs") if is_of_the_engine(path)}
    paths.pop("", None)
    texts = {name: path.read_text().split("#[cfg(test)]")[0] for name, path in paths.items()}
    exports = {name: handed_on(text) for name, text in texts.items()}
    imports: Imports = {}
    for name, text in texts.items():
        # A file and the files below it are one: `shard.conn` and `shard.conn.close` are `shard.conn`.
        own = file_of(name)
        used = {resolve(path, texts, exports) for path in rust_paths(text, name)}
        imports.setdefault(own, set()).update({file_of(other) for other in used if other} - {own})
    for others in imports.values():
        others.intersection_update(imports)
    heads = {layer: rust_head(texts.get(layer.rstrip("/"), "")) for layer in RUST}
    return Language("The engine", RUST, imports, heads, RUST_WRONG)


def is_of_the_engine(path: Path) -> bool:
    parts = path.relative_to(ENGINE).with_suffix("").parts
    return "tests" not in parts and parts != ("lib",)


def rust_name(path: Path) -> str:
    parts = path.relative_to(ENGINE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "mod" else parts)


def file_of(name: str) -> str:
    return ".".join(name.split(".")[:2])


def rust_head(text: str) -> str:
    lines = [line.removeprefix("//!") for line in text.splitlines() if line.startswith("//!")]
    return first_sentence(" ".join(lines))


def rust_paths(text: str, name: str) -> Iterator[tuple[str, ...]]:
    """The paths within the crate that a file names, from its root."""
    code = re.sub(r"//[^\n]*", "", text)
    here = tuple(name.split("."))
    for found in re.finditer(r"\b(crate|(?:super::)*super)((?:::\w+)*)(::\{)?", code):
        up = 0 if found[1] == "crate" else found[1].count("super")
        base = (() if found[1] == "crate" else here[: len(here) - up]) + tuple(found[2].split("::")[1:])
        tails = group_of(code, found.end()) if found[3] else [()]
        yield from (base + tail for tail in tails)


def group_of(code: str, start: int) -> list[tuple[str, ...]]:
    """The paths within braces that have been opened: `a::b, c::{d, e}`."""
    found: list[tuple[str, ...]] = []
    heads: list[tuple[str, ...]] = [()]
    word: tuple[str, ...] = ()
    for token in re.finditer(r"\w+|::|[{},]", code[start:]):
        if token[0] == "{":
            heads.append(heads[-1] + word)
            word = ()
        elif token[0] in "},":
            found += [heads[-1] + word] if word else []
            word = ()
            if token[0] == "}":
                heads.pop()
                if not heads:
                    break
        elif token[0] != "::":
            word = (*word, token[0])
    return found


def handed_on(text: str) -> dict[str, tuple[str, ...]]:
    """Names that a module hands on from the files below it, and the path of each from there."""
    found = {}
    for use in re.finditer(r"\bpub(?:\([\w ]+\))? use (?:self::)?((?:\w+::)*)(?:(\w+)(?: as (\w+))?;|\{)", text):
        base = tuple(use[1].split("::")[:-1])
        if base[:1] in (("crate",), ("super",)):
            continue
        tails = [(use[2],)] if use[2] else group_of(text, use.end())
        found |= {use[3] or tail[-1]: base + tail for tail in tails}
    return found


def resolve(path: tuple[str, ...], modules: Iterable[str], exports: Mapping[str, Mapping[str, tuple[str, ...]]]) -> str:
    """The module that a path leads to: the longest beginning that is one, or where its last name is handed on from."""
    for count in range(len(path), 0, -1):
        module = ".".join(path[:count])
        if module in modules:
            rest = path[count:]
            further = exports[module].get(rest[0]) if rest else None
            return resolve(path[:count] + further, modules, exports) if further else module
    return ""


# The docs.


def languages() -> list[Language]:
    return [python(), rust()] if (ENGINE / "io").is_dir() else [python()]


def drawn(text: str) -> str:
    """The docs with each picture as it should be: it is between two marks below the heading of its language."""
    for language in languages():
        begin, end = f"<!-- layers: {language.name} -->", "<!-- end -->"
        head, _, rest = text.partition(begin)
        if not rest:
            raise ValueError(f"docs/architecture.md has no mark {begin!r}")
        text = f"{head}{begin}\n\n{language.picture()}\n\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    if "--write" in sys.argv:
        DOCS.write_text(drawn(DOCS.read_text()))
    for house in languages():
        print(f"{house.name}: up: {sorted(house.upward() - house.wrong)}; circles: {house.circles()}")
