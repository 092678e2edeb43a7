"""Builds everything that a release consists of, in dist/, and checks it.

python packaging/release.py                     all
python packaging/release.py wheels sdist        some parts, in this order: wheels sdist npm sbom check sums
python packaging/release.py wheels --target x86_64-unknown-linux-musl

It uploads nothing. `make release` installs what it needs; docs/releasing.md has the steps around it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from check import check_all
from targets import TARGETS, Target

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
TYPESCRIPT = ROOT / "typescript"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the parts of a release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="parts of the release; all without any")
    parser.add_argument("--target", action="append", choices=[target.triple for target in TARGETS])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    given = parser.parse_args(arguments)
    given.out.mkdir(exist_ok=True)
    targets = [target for target in TARGETS if not given.target or target.triple in given.target]
    for name, part in PARTS.items():
        if not given.parts or name in given.parts:
            print(f"== {name}", flush=True)
            part(given.out, targets)


def wheels(out: Path, targets: Sequence[Target]) -> None:
    """Compiles a wheel for each target. zig is the C compiler and the linker, with the libraries of all targets."""
    missing = {target.triple for target in targets} - set(output("rustup", "target", "list", "--installed").split())
    if missing:
        run("rustup", "target", "add", *sorted(missing))
    for target in targets:
        run(
            BIN / "maturin", "build", "--release", "--locked", "--zig", "--strip", "true", "--target", target.triple,
            "--compatibility", target.platform, "--out", out, env=build_environment(),
        )  # fmt: skip


def sdist(out: Path, targets: Sequence[Target]) -> None:
    """Packs the sources. They hold Cargo.lock, and no crates: `cargo fetch --locked` gets those."""
    run(BIN / "maturin", "sdist", "--out", out)


def npm(out: Path, targets: Sequence[Target]) -> None:
    """Builds and packs the TypeScript client."""
    run("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=TYPESCRIPT)
    run("npm", "run", "--silent", "build", cwd=TYPESCRIPT)
    run("npm", "pack", "--silent", "--pack-destination", out.resolve(), cwd=TYPESCRIPT)


def sbom(out: Path, targets: Sequence[Target]) -> None:
    """Lists what is installed with the wheel and with the npm package (CycloneDX). The wheels themselves hold the list
    of the crates that are linked into them, in .dist-info/sboms."""
    wheel = next(out.glob("fanwire-*-manylinux*_x86_64.whl"))
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        run(python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", f"{wheel.resolve()}[nats]")
        run(python, "-m", "pip", "--quiet", "uninstall", "--yes", "setuptools", "pip")
        version = wheel.name.split("-")[1]
        run(
            BIN / "cyclonedx-py", "environment", "--pyproject", ROOT / "pyproject.toml", "--output-reproducible",
            "--output-file", out / f"fanwire-{version}-python.cdx.json", python,
        )  # fmt: skip
    listed = output("npm", "sbom", "--sbom-format", "cyclonedx", "--omit", "dev", "--package-lock-only", cwd=TYPESCRIPT)
    # npm names the root after its folder.
    described = json.loads(listed)
    described["metadata"]["component"]["name"] = "fanwire"
    (out / f"fanwire-{version}-npm.cdx.json").write_text(json.dumps(described, indent=2) + "\n")


def check(out: Path, targets: Sequence[Target]) -> None:
    """Checks what has been built."""
    built = [str(path) for pattern in ("*.whl", "fanwire-*.tar.gz") for path in sorted(out.glob(pattern))]
    run(BIN / "twine", "check", "--strict", *built)
    for wheel in sorted(out.glob("*.whl")):
        run(BIN / "abi3audit", "--strict", "--summary", wheel)
    problems = check_all(out, targets)
    for problem in problems:
        print(f"fanwire: {problem}", file=sys.stderr)
    if problems:
        raise SystemExit(1)


def sums(out: Path, targets: Sequence[Target]) -> None:
    """Writes SHA256SUMS, for `sha256sum --check`."""
    files = sorted(path for path in out.iterdir() if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (out / "SHA256SUMS").write_text("".join(lines))


def build_environment() -> dict[str, str]:
    """The environment of the compilers. Paths of this machine are replaced by short names, and times are those of the
    commit, so that two builds of one commit can be compared."""
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    toolchain = output("rustc", "--print", "sysroot").strip()
    flags = [
        f"--remap-path-prefix={place}={name}" for place, name in ((home, "cargo"), (ROOT, "."), (toolchain, "rust"))
    ]
    return {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "RUSTFLAGS": " ".join(flags),
        "SOURCE_DATE_EPOCH": output("git", "log", "-1", "--format=%ct").strip() if (ROOT / ".git").exists() else "0",
    }


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    """Runs a command. Its failure ends the release."""
    program = command[0] if isinstance(command[0], Path) else shutil.which(command[0]) or command[0]
    print("+", " ".join(map(str, command)), flush=True)
    try:
        subprocess.run([program, *command[1:]], cwd=cwd, env=env, check=True)
    except FileNotFoundError as error:
        raise SystemExit(
            f"fanwire: {program} is not installed; `make release` installs what is not of the system"
        ) from error
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"fanwire: {Path(program).name} has failed with exit code {error.returncode}") from error


def output(*command: str, cwd: Path = ROOT) -> str:
    """The standard output of a command. Its failure ends the release."""
    try:
        return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"fanwire: {' '.join(command)} has failed: {error}") from error


PARTS: dict[str, Callable[[Path, Sequence[Target]], None]] = {
    "wheels": wheels, "sdist": sdist, "npm": npm, "sbom": sbom, "check": check, "sums": sums,
}  # fmt: skip

if __name__ == "__main__":
    main()
