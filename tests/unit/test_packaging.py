"""The scripts of packaging/ find what is wrong with a package, and say nothing about one that is right."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GNU_X86, ARM, MUSL = 0, 1, 2
"""Targets, by their place in TARGETS."""


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The scripts, which import each other by their names."""
    monkeypatch.syspath_prepend(str(ROOT / "packaging"))
    import audit
    import check
    import release
    import targets

    class Scripts:
        pass

    found: Any = Scripts()
    found.audit, found.check, found.release, found.targets = audit, check, release, targets
    yield found
    for name in ("audit", "check", "release", "targets"):
        sys.modules.pop(name, None)


def wheel(folder: Path, target: Any, *, without: str = "", library: bytes | None = None, tag: str = "") -> Path:
    """A wheel with all files that there must be, but without one."""
    path = folder / f"fanwire-1.0-{target.tag}.whl"
    info = "fanwire-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as made:
        from check import INFO_HAS, LIBRARY, WHEEL_HAS

        for name in [*WHEEL_HAS, *(f"{info}/{name}" for name in INFO_HAS), f"{info}/sboms/crates.json"]:
            content = b""
            if name == LIBRARY:
                content = engine() if library is None else library
            elif name.endswith("/WHEEL"):
                content = f"Wheel-Version: 1.0\nTag: {tag or target.tag}\n".encode()
            if name != without:
                made.writestr(name, content)
    return path


def engine() -> bytes:
    """The library that the tests run with."""
    import fanwire._engine

    return Path(fanwire._engine.__file__).read_bytes()


def tiny(machine: int, more: bytes = b"") -> bytes:
    """The header of a library for a machine (ELF, 64 bits, little-endian), without sections."""
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    return ident + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0) + more


X86_64, AARCH64 = 62, 183


def test_a_complete_wheel_has_no_problem(scripts: Any, tmp_path: Path) -> None:
    target = scripts.targets.TARGETS[ARM]
    assert list(scripts.check.check_wheel(wheel(tmp_path, target, library=tiny(AARCH64)), target)) == []


@pytest.mark.parametrize(
    "name", ["fanwire/py.typed", "fanwire/_engine.pyi", "fanwire-1.0.dist-info/licenses/THIRD_PARTY_LICENSES.md"]
)
def test_a_missing_file_is_found(scripts: Any, tmp_path: Path, name: str) -> None:
    target = scripts.targets.TARGETS[ARM]
    path = wheel(tmp_path, target, without=name, library=tiny(AARCH64))
    assert list(scripts.check.check_wheel(path, target)) == [f"{path.name} has no {name}"]


def test_a_wheel_without_a_list_of_crates_is_found(scripts: Any, tmp_path: Path) -> None:
    target = scripts.targets.TARGETS[ARM]
    path = wheel(tmp_path, target, without="fanwire-1.0.dist-info/sboms/crates.json", library=tiny(AARCH64))
    (problem,) = scripts.check.check_wheel(path, target)
    assert "list of its crates" in problem


def test_another_tag_than_that_of_the_name_is_found(scripts: Any, tmp_path: Path) -> None:
    target = scripts.targets.TARGETS[ARM]
    path = wheel(tmp_path, target, tag="cp313-cp313-linux_aarch64", library=tiny(AARCH64))
    (problem,) = scripts.check.check_wheel(path, target)
    assert "cp313-cp313-linux_aarch64" in problem


def test_a_library_for_another_machine_is_found(scripts: Any) -> None:
    (problem,) = scripts.check.check_library(tiny(X86_64), scripts.targets.TARGETS[ARM])
    assert problem == "the library is for EM_X86_64, not EM_AARCH64"


def test_a_folder_of_the_machine_that_compiled_is_found(scripts: Any) -> None:
    (problem,) = scripts.check.check_library(tiny(AARCH64, b"\0/home/alice/src/lib.rs"), scripts.targets.TARGETS[ARM])
    assert problem.endswith("/home/alice/")


@pytest.mark.skipif(sys.platform != "linux", reason="the library is no ELF file")
def test_glibc_and_what_a_library_loads_are_found(scripts: Any) -> None:
    target = scripts.targets.TARGETS[MUSL]
    problems = list(scripts.check.check_library(engine(), target._replace(elf=machine_of(engine()))))
    assert any("which musllinux_1_2 does not promise" in problem for problem in problems)
    assert any("needs glibc" in problem for problem in problems)
    old = scripts.targets.TARGETS[GNU_X86]._replace(platform="manylinux_2_5", elf=machine_of(engine()))
    assert any("manylinux_2_5 has (2, 5)" in problem for problem in scripts.check.check_library(engine(), old))


def machine_of(library: bytes) -> str:
    from elftools.elf.elffile import ELFFile

    return str(ELFFile(io.BytesIO(library))["e_machine"])


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return path


def test_an_sdist_without_its_lock_file_or_with_built_files_is_found(scripts: Any, tmp_path: Path) -> None:
    complete = {f"fanwire-1.0/{name}": b"" for name in scripts.check.SDIST_HAS}
    path = tmp_path / "fanwire-1.0.tar.gz"
    assert list(scripts.check.check_sdist(packed(path, complete))) == []
    del complete["fanwire-1.0/Cargo.lock"]
    complete["fanwire-1.0/python/fanwire/_engine.abi3.so"] = b""
    assert list(scripts.check.check_sdist(packed(path, complete))) == [
        "fanwire-1.0.tar.gz has no Cargo.lock",
        "fanwire-1.0.tar.gz has files that are built: ['python/fanwire/_engine.abi3.so']",
    ]


def test_an_npm_package_has_what_it_exports_and_no_more(scripts: Any, tmp_path: Path) -> None:
    about = {"exports": {".": {"types": "./dist/index.d.ts", "default": "./dist/index.js"}}}
    files = dict.fromkeys(scripts.check.NPM_HAS, b"") | {"package/package.json": json.dumps(about).encode()}
    path = tmp_path / "fanwire-1.0.tgz"
    assert list(scripts.check.check_npm(packed(path, files))) == [f"{path.name} has no package/dist/index.d.ts"]
    files |= {"package/dist/index.d.ts": b"", "package/test/a.mjs": b""}
    assert list(scripts.check.check_npm(packed(path, files))) == [
        f"{path.name} has more than what is built: ['package/test/a.mjs']"
    ]


def test_a_release_without_a_wheel_is_found(scripts: Any, tmp_path: Path) -> None:
    problems = scripts.check.check_all(tmp_path, scripts.targets.TARGETS)
    assert len(problems) == len(scripts.targets.TARGETS) + 2
    assert "aarch64-unknown-linux-musl" in problems[3]


def test_sums_are_those_of_the_files(scripts: Any, tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"wheel")
    scripts.release.sums(tmp_path, [])
    scripts.release.sums(tmp_path, [])
    expected = f"{hashlib.sha256(b'wheel').hexdigest()}  a.whl\n"
    assert (tmp_path / "SHA256SUMS").read_text() == expected


def test_the_targets_are_those_of_the_sources(scripts: Any) -> None:
    cargo, deny = (ROOT / "Cargo.toml").read_text(), (ROOT / "deny.toml").read_text()
    assert f'"{scripts.targets.LIMITED_API.partition("-")[2]}-py310"' in cargo
    for target in scripts.targets.TARGETS:
        assert f'"{target.triple}"' in deny


LOCKED = '[[package]]\nname = "a"\nversion = "1.0"\nsource = {}\nchecksum = "{}"\n'
REGISTRY = '"registry+https://registry.example/index"'


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (LOCKED.format(REGISTRY, "00"), 0),
        ('[[package]]\nname = "ours"\nversion = "1.0"\n', 0),
        (LOCKED.format(REGISTRY, "00").partition("checksum")[0], 1),
        (LOCKED.format(REGISTRY, "00") * 2 + LOCKED.format('"registry+https://mirror.example/index"', "00"), 1),
        (LOCKED.format('"git+https://git.example/a"', "00"), 1),
    ],
)
def test_a_crate_from_elsewhere_or_without_a_checksum_is_found(
    scripts: Any, tmp_path: Path, text: str, count: int
) -> None:
    (tmp_path / "Cargo.lock").write_text("version = 4\n\n" + text)
    assert len(scripts.audit.check_cargo_lock(tmp_path / "Cargo.lock")) == count


@pytest.mark.parametrize(
    ("package", "count"),
    [({"integrity": "sha512-x"}, 0), ({}, 1), ({"integrity": "sha512-x", "resolved": "https://mirror.example/a"}, 1)],
)
def test_an_npm_package_with_an_address_or_without_a_checksum_is_found(
    scripts: Any, tmp_path: Path, package: dict[str, str], count: int
) -> None:
    path = tmp_path / "package-lock.json"
    path.write_text(json.dumps({"packages": {"": {}, "node_modules/a": package}}))
    assert len(scripts.audit.check_npm_lock(path)) == count


def test_a_lookup_without_an_answer_is_not_ok(scripts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"cargo-deny": (1, "[ERROR] failed to fetch advisory database"), "pip-audit": (1, "ERROR: no answer")}
    monkeypatch.setattr(scripts.audit, "ask", lambda program, *rest: answers[Path(program).name])
    assert scripts.audit.rust_advisories()[0] == "not checked"
    assert scripts.audit.python_advisories()[0] == "not checked"
    answers |= {"cargo-deny": (1, "error[vulnerability]"), "pip-audit": (1, "Found 1 known vulnerability in 1 package")}
    assert scripts.audit.rust_advisories()[0] == "failed"
    assert scripts.audit.python_advisories()[0] == "failed"


def test_the_npm_package_has_our_licence() -> None:
    assert (ROOT / "typescript" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
