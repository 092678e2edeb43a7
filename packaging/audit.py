"""Asks what is known about everything that Fanwire depends on: vulnerabilities, licences, and where it comes from.

python packaging/audit.py                  exit code 1: something was found, or could not be checked
python packaging/audit.py --local          looks nothing up: licences, banned crates, sources, lock files

Vulnerabilities are looked up in RustSec's database (cargo-deny), in that of PyPI (pip-audit) and in that of npm. A
lookup that gets no answer counts as "not checked", never as "nothing found".
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent

Verdict = tuple[str, str]
"""ok, failed or not checked; and why."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the checks, and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local", action="store_true")
    given = parser.parse_args(arguments)
    checks = {**LOCAL, **({} if given.local else LOOKED_UP)}
    verdicts = {name: check() for name, check in checks.items()}
    for name, (verdict, why) in verdicts.items():
        print(f"{verdict:<12} {name}{': ' + why if why else ''}")
    if any(verdict != "ok" for verdict, _ in verdicts.values()):
        raise SystemExit(1)


def crates() -> Verdict:
    """Licences, banned crates and sources, as deny.toml has them."""
    code, text = ask(BIN / "cargo-deny", "check", "licenses", "bans", "sources")
    return ("ok", "") if code == 0 else ("failed", text)


def texts() -> Verdict:
    """THIRD_PARTY_LICENSES.md is that of Cargo.lock."""
    code, text = ask(sys.executable, ROOT / "packaging" / "licenses.py", "--check")
    return ("ok", "") if code == 0 else ("failed", text)


def locks() -> Verdict:
    """Lock files have a checksum for each package, and no address of a mirror."""
    problems = [problem for name in ("Cargo.lock", "fuzz/Cargo.lock") for problem in check_cargo_lock(ROOT / name)]
    problems += check_npm_lock(ROOT / "typescript" / "package-lock.json")
    return ("failed", "; ".join(problems)) if problems else ("ok", "")


def check_cargo_lock(path: Path) -> list[str]:
    """What is wrong with a lock file of cargo."""
    packages = [
        dict(re.findall(r"^(\w+) = (.+)$", package, re.MULTILINE))
        for package in path.read_text().split("[[package]]")[1:]
    ]
    # Our own have no source. The others come from one registry.
    foreign = [fields for fields in packages if "source" in fields]
    sources = Counter(fields["source"] for fields in foreign if fields["source"].startswith('"registry+'))
    registry = sources.most_common(1)[0][0] if sources else None
    return [
        f"{path.name}: {fields['name']} is not from the registry of the others, or has no checksum"
        for fields in foreign
        if fields["source"] != registry or "checksum" not in fields
    ]


def check_npm_lock(path: Path) -> list[str]:
    """What is wrong with a lock file of npm."""
    packages = json.loads(path.read_text())["packages"]
    problems = [f"{path.name}: {name} names an address" for name, package in packages.items() if "resolved" in package]
    return problems + [
        f"{path.name}: {name} has no checksum"
        for name, package in packages.items()
        if name and not package.get("link") and "integrity" not in package
    ]


def rust_advisories() -> Verdict:
    """RustSec's advisories for the crates of the wheel."""
    code, text = ask(BIN / "cargo-deny", "check", "advisories")
    if "failed to fetch advisory database" in text:
        return "not checked", "RustSec's database cannot be fetched"
    return ("ok", "") if code == 0 else ("failed", text)


def python_advisories() -> Verdict:
    """PyPI's advisories for what pip installs with Fanwire and its extras."""
    code, text = ask(BIN / "pip-audit", "--strict", "--progress-spinner", "off", ROOT)
    if code == 0:
        return "ok", ""
    found = re.search(r"Found \d+ known vulnerabilit", text)
    return ("failed", text) if found else ("not checked", text.splitlines()[-1] if text else "no answer")


def npm_advisories() -> Verdict:
    """npm's advisories for the TypeScript client. What it builds with is on no user's machine, and is looked up too."""
    if shutil.which("npm") is None:
        return "not checked", "npm is not installed"
    done = subprocess.run(
        ["npm", "audit", "--json", "--package-lock-only"],
        cwd=ROOT / "typescript",
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {}
    if "metadata" not in answer:
        return "not checked", "npm's registry does not answer audits"
    count = answer["metadata"]["vulnerabilities"]["total"]
    return ("failed", f"{count} vulnerabilities; see npm audit") if count else ("ok", "")


def ask(*command: str | Path) -> tuple[int, str]:
    """Runs a command; returns its exit code and what it has said."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return 127, f"{command[0]} is not installed: make {BIN.parent.name}/release"
    return done.returncode, (done.stdout + done.stderr).strip()


LOCAL: dict[str, Callable[[], Verdict]] = {
    "licences, bans and sources of crates": crates,
    "texts of licences": texts,
    "lock files": locks,
}
LOOKED_UP: dict[str, Callable[[], Verdict]] = {
    "advisories of RustSec": rust_advisories,
    "advisories of PyPI": python_advisories,
    "advisories of npm": npm_advisories,
}

if __name__ == "__main__":
    main()
