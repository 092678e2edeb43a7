"""Installs the wheels of this machine in a clean environment of each interpreter that is at hand, and runs them there.

python packaging/try_wheels.py [--dist dist] [--python python3.12 ...] [--sdist] [--tests]

Without `--python` it takes every CPython from 3.10 on that is on the PATH or that pyenv has.

--tests    also runs the tests of units and contracts with each wheel and interpreter: some minutes each
--sdist    also builds the sdist without the network, from the crates that cargo has (`cargo fetch --locked`), and runs
           what it has built
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from targets import LIMITED_API

HERE = Path(__file__).parent
ASK = """
import json, platform, sys
print(json.dumps([platform.python_implementation(), sys.version_info[:3], sys.executable]))
"""
OLDEST = (3, 10)
TESTS = [str(HERE.parent / "tests" / name) for name in ("unit", "contract")]
NEWEST = 30
"""The minor version up to which names such as python3.14 are looked up on the PATH."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Tries each wheel with each interpreter, and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dist", type=Path, default=HERE.parent / "dist")
    parser.add_argument("--python", action="append", default=[])
    parser.add_argument("--sdist", action="store_true")
    parser.add_argument("--tests", action="store_true")
    given = parser.parse_args(arguments)
    pythons = dict(filter(None, map(version_of, given.python or candidates())))
    libc = "musllinux" if platform.libc_ver()[0] != "glibc" else "manylinux"
    wheels = sorted(given.dist.glob(f"fanwire-*-{LIMITED_API}-{libc}*_{platform.machine()}.whl"))
    if not wheels or not pythons:
        raise SystemExit(f"fanwire: there is nothing to try: wheels {wheels}, interpreters {list(pythons.values())}")
    failed = 0
    for version, python in sorted(pythons.items()):
        for wheel in wheels:
            failed += not tried(python, version, [wheel], tests=given.tests)
    if given.sdist:
        (sources,) = given.dist.glob("fanwire-*[0-9].tar.gz")
        newest = max(pythons)
        failed += not tried(pythons[newest], newest, [sources], offline=True)
    if failed:
        raise SystemExit(f"fanwire: {failed} did not work")


def candidates() -> Iterator[str]:
    """Interpreters that this machine may have."""
    yield from (f"python3.{minor}" for minor in range(OLDEST[1], NEWEST))
    yield from map(str, sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin/python")))
    yield "python3"


def version_of(python: str) -> tuple[tuple[int, ...], str] | None:
    """The version of an interpreter, and where it is. None: it is none for which there are wheels."""
    program = shutil.which(python)
    if program is None:
        return None
    asked = subprocess.run([program, "-c", ASK], capture_output=True, text=True, check=False)
    # A shim of pyenv is there for versions, too, that are not chosen.
    if asked.returncode != 0:
        return None
    implementation, version, place = json.loads(asked.stdout)
    return (tuple(version), place) if implementation == "CPython" and tuple(version[:2]) >= OLDEST else None


def tried(
    python: str, version: tuple[int, ...], packages: Sequence[Path], *, offline: bool = False, tests: bool = False
) -> bool:
    """Installs packages into a new environment, and runs the smoke test there, or the tests as well; returns whether it
    worked."""
    name = f"CPython {'.'.join(map(str, version))}, {packages[0].name}"
    # Nothing of the caller's environment: no PYTHONPATH, no virtual environment.
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV", "FANWIRE_"))}
    with tempfile.TemporaryDirectory() as folder:
        own = str(Path(folder) / "venv" / "bin" / "python")
        pip = [own, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        steps = [[python, "-m", "venv", str(Path(folder) / "venv")]]
        if offline:
            # First what pip gets from the network, then the build without it, by the maturin of this environment.
            env["PATH"] = f"{Path(own).parent}:{env['PATH']}"
            env["CARGO_NET_OFFLINE"] = "true"
            env.setdefault("CARGO_TARGET_DIR", str(HERE.parent / "target" / "sdist"))
            metadata = str(HERE.parent / "pyproject.toml")
            steps += [[*pip, "install", "maturin>=1.9,<2", *dependencies(metadata)]]
            steps += [[*pip, "install", "--no-index", "--no-deps", "--no-build-isolation", *map(str, packages)]]
        else:
            extras = "[demo,nats]" if tests else ""
            steps += [[*pip, "install", "--only-binary", ":all:", *(f"{package}{extras}" for package in packages)]]
        steps += [[*pip, "check"], [own, str(HERE / "smoke.py")]]
        if tests:
            steps += [[*pip, "install", "--upgrade", "pip>=25.1"]]
            steps += [[*pip, "install", "--group", f"{HERE.parent / 'pyproject.toml'}:dev"]]
            # The tests import what is installed: the sources of the package are not on their path.
            steps += [
                [own, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", f"--rootdir={HERE.parent}", *TESTS]
            ]
        for step in steps:
            done = subprocess.run(step, cwd=folder, env=env, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                print(f"FAILED  {name}: {' '.join(step[:6])}\n{done.stdout[-4000:]}{done.stderr[-4000:]}", flush=True)
                return False
    print(f"ok      {name}", flush=True)
    return True


def dependencies(file: str) -> list[str]:
    """What Fanwire needs of Python's packages."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    project = tomllib.loads(Path(file).read_text())["project"]
    return [str(needed) for needed in project["dependencies"]]


if __name__ == "__main__":
    main()
