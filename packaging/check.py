"""Looks into wheels, the sdist and the npm package: whether they are complete, and for the machines of their names.

Each check returns sentences about what is wrong; none means that all is well.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from targets import Target

__all__ = ["check_all", "check_library", "check_npm", "check_sdist", "check_wheel"]

LIBRARY = "fanwire/_engine.abi3.so"
WHEEL_HAS = (
    *(LIBRARY, "fanwire/__init__.py", "fanwire/_engine.pyi", "fanwire/py.typed"),
    *("fanwire/browser/fanwire.js", "fanwire/browser/fanwire.js.br"),
)
"""Besides .dist-info: the engine, its types, the mark of typed packages, and what `/fanwire.js` serves."""
INFO_HAS = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "licenses/THIRD_PARTY_LICENSES.md")
SDIST_HAS = (
    "PKG-INFO", "pyproject.toml", "Cargo.toml", "Cargo.lock", "LICENSE", "README.md", "THIRD_PARTY_LICENSES.md",
    "rust/lib.rs", "python/fanwire/__init__.py", "python/fanwire/py.typed",
)  # fmt: skip
SDIST_MOST = 4 << 20
"""Bytes of the packed sources. More means that something was packed which is no source."""
NPM_HAS = ("package/package.json", "package/README.md", "package/LICENSE", "package/dist/index.js")
FOREIGN = re.compile(rb"/(?:home|root|Users|tmp)/[\w.+-]+/")
"""A folder of the machine that has compiled: it says something of its owner, and two builds would differ."""


def check_all(folder: Path, targets: Sequence[Target]) -> list[str]:
    """Checks everything of a release that lies in a folder."""
    problems: list[str] = []
    for target in targets:
        found = sorted(folder.glob(f"fanwire-*-{target.tag}.whl"))
        problems += [check for path in found for check in check_wheel(path, target)]
        if len(found) != 1:
            problems.append(f"there must be one wheel for {target.triple}, found {[path.name for path in found]}")
    for pattern, checked in (("fanwire-*[0-9].tar.gz", check_sdist), ("fanwire-*.tgz", check_npm)):
        files = sorted(folder.glob(pattern))
        problems += [check for path in files for check in checked(path)]
        if len(files) != 1:
            problems.append(f"there must be one {pattern}, found {[path.name for path in files]}")
    return problems


def check_wheel(path: Path, target: Target) -> Iterator[str]:
    """Checks the name, the files and the library of a wheel."""
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        info = next((name.partition("/")[0] for name in names if name.endswith(".dist-info/WHEEL")), None)
        if info is None:
            yield f"{path.name} is no wheel: it has no .dist-info/WHEEL"
            return
        yield from _missing(path, names, [*WHEEL_HAS, *(f"{info}/{name}" for name in INFO_HAS)])
        if not any(name.startswith(f"{info}/sboms/") for name in names):
            yield f"{path.name} has no list of its crates in {info}/sboms/"
        tags = re.findall(r"^Tag: (.+)$", wheel.read(f"{info}/WHEEL").decode(), re.MULTILINE)
        if tags != [target.tag]:
            yield f"{path.name} is for {target.tag}, its WHEEL says {tags}"
        libraries = [name for name in names if re.search(r"\.(so|pyd|dylib)(\.|$)", name)]
        if libraries != [LIBRARY]:
            yield f"{path.name} must have the library {LIBRARY} alone, it has {libraries}"
            return
        for problem in check_library(wheel.read(LIBRARY), target):
            yield f"{path.name}: {problem}"


def check_library(content: bytes, target: Target) -> Iterator[str]:
    """Checks the machine of a library, what it loads, which glibc it needs, and that it names no folder of its
    maker's machine."""
    elf = ELFFile(io.BytesIO(content))
    if elf["e_machine"] != target.elf:
        yield f"the library is for {elf['e_machine']}, not {target.elf}"
    dynamic = elf.get_section_by_name(".dynamic")
    needed = (
        {str(vars(tag)["needed"]) for tag in dynamic.iter_tags("DT_NEEDED")}
        if isinstance(dynamic, DynamicSection)
        else set()
    )
    if others := needed - target.libraries:
        yield f"the library loads {sorted(others)}, which {target.platform} does not promise"
    versions = glibc_versions(elf)
    if target.glibc is None and versions:
        yield f"the library needs glibc {max(versions)}, not musl"
    elif target.glibc is not None and (newer := [version for version in versions if version > target.glibc]):
        yield f"the library needs glibc {max(newer)}, {target.platform} has {target.glibc}"
    if found := FOREIGN.search(content):
        yield f"the library names a folder of the machine that compiled it: {found[0].decode()}"


def glibc_versions(elf: ELFFile) -> set[tuple[int, ...]]:
    """The versions of glibc's symbols that a library uses."""
    section = elf.get_section_by_name(".gnu.version_r")
    if not isinstance(section, GNUVerNeedSection):
        return set()
    names = {version.name for _, versions in section.iter_versions() for version in versions}
    return {
        tuple(int(part) for part in name.removeprefix("GLIBC_").split("."))
        for name in names
        if re.fullmatch(r"GLIBC_[\d.]+", name)
    }


def check_sdist(path: Path) -> Iterator[str]:
    """Checks the files and the size of the packed sources."""
    with tarfile.open(path) as sources:
        names = {member.name.partition("/")[2] for member in sources if member.isfile()}
    yield from _missing(path, names, SDIST_HAS)
    if built := [name for name in names if name.endswith((".so", ".pyc")) or name.startswith("target/")]:
        yield f"{path.name} has files that are built: {built[:3]}"
    if path.stat().st_size > SDIST_MOST:
        yield f"{path.name} has {path.stat().st_size} bytes, more than {SDIST_MOST}"


def check_npm(path: Path) -> Iterator[str]:
    """Checks that every file to which package.json leads is in the npm package, and no source or test."""
    with tarfile.open(path) as package:
        names = {member.name for member in package if member.isfile()}
        file = package.extractfile("package/package.json")
        about = json.load(file) if file else {}
    places = [place for entry in about.get("exports", {}).values() for place in entry.values()]
    yield from _missing(path, names, [*NPM_HAS, *(f"package/{place.removeprefix('./')}" for place in places)])
    kept = ("package/dist/", "package/package.json", "package/README.md", "package/LICENSE")
    if others := sorted(name for name in names if not name.startswith(kept)):
        yield f"{path.name} has more than what is built: {others[:3]}"


def _missing(path: Path, names: set[str], needed: Iterable[str]) -> Iterator[str]:
    for name in needed:
        if name not in names:
            yield f"{path.name} has no {name}"
