"""Runs the Autobahn|Testsuite fuzzing client against an echo server and compares every case with `expected.json`.

The suite runs on CPython 2.7 only, and is installed into .cache on the first run. Python 2.7 is found as `python2.7`,
by `PYTHON27`, or from pyenv. Without it this says so in one line and succeeds. In CI it fails: a skipped suite
would be overlooked there.

    python tests/autobahn/run.py [--update] [CASES ...]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
REPORT = HERE / "report"
EXPECTED = HERE / "expected.json"
CACHE = HERE.parent.parent / ".cache"
PASSED = {"OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"}
SECONDS = 600


def main() -> int:
    """Returns 0 when every case is as expected and none has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write what came out as what is expected")
    parser.add_argument("cases", nargs="*", default=["*"], help="patterns such as '6.*'; all by default")
    arguments = parser.parse_args()
    python27 = find_python27()
    if python27 is None:
        return missing(is_ci=is_ci(os.environ))
    wstest = install(python27)
    results = run(wstest, arguments.cases)
    # Some cases give an answer one second by the clock, which a busy machine may miss: what fails twice has failed.
    if again := [case for case, result in results.items() if not set(result) <= PASSED]:
        results.update(run(wstest, again))
    failed = [case for case, (behavior, close) in results.items() if not {behavior, close} <= PASSED]
    if arguments.update:
        lines = [f"  {json.dumps(case)}: {json.dumps(result)}" for case, result in results.items()]
        EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    expected = json.loads(EXPECTED.read_text())
    if arguments.cases == ["*"] and expected.keys() != results.keys():
        print(f"autobahn: {len(results)} cases ran, {len(expected)} are expected")
        return 1
    changed = [case for case, result in results.items() if result != expected.get(case)]
    for case in sorted({*failed, *changed}, key=number):
        print(f"autobahn: case {case}: {results[case]}, expected {expected.get(case)}; see {REPORT}")
    print(f"autobahn: {len(results)} cases, {len(failed)} failed, {len(changed)} not as expected")
    return 1 if failed or changed else 0


def is_ci(environment: Mapping[str, str]) -> bool:
    """Whether this is a run that has to be complete: `.ci/run` sets FANWIRE_CI, most services set CI."""
    return any(environment.get(name, "").lower() not in ("", "0", "false") for name in ("FANWIRE_CI", "CI"))


def missing(*, is_ci: bool) -> int:
    """Says that there is no Python 2.7; returns the exit status."""
    if is_ci:
        print("autobahn: failed, there is no Python 2.7 (install one for the suite, or name it with PYTHON27=...)")
        return 1
    print("autobahn: skipped, there is no Python 2.7 (name one with PYTHON27=...)")
    return 0


def find_python27() -> str | None:
    """Returns an interpreter, if there is one."""
    if named := os.environ.get("PYTHON27") or shutil.which("python2.7"):
        works = subprocess.run([named, "-c", ""], capture_output=True, check=False).returncode == 0
        if works:
            return named
    if shutil.which("pyenv"):
        versions = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False)
        for version in versions.stdout.split():
            if version.startswith("2.7"):
                prefix = subprocess.run(["pyenv", "prefix", version], capture_output=True, text=True, check=True)
                return f"{prefix.stdout.strip()}/bin/python2.7"
    return None


def install(python27: str) -> Path:
    """Installs the suite, unless it is there, and returns its program."""
    program = CACHE / "wstest" / "bin" / "wstest"
    if not program.exists():
        pip = ["-m", "pip", "--disable-pip-version-check", "--quiet", "--retries", "10", "install"]
        subprocess.run([sys.executable, "-m", "venv", CACHE / "virtualenv"], check=True)
        virtualenv = str(CACHE / "virtualenv" / "bin" / "python")
        # The last version that makes environments for 2.7.
        subprocess.run([virtualenv, *pip, "virtualenv<20.22"], check=True)
        subprocess.run([virtualenv, "-m", "virtualenv", "--quiet", "-p", python27, str(CACHE / "wstest")], check=True)
        quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}
        suite = [str(CACHE / "wstest" / "bin" / "python"), *pip, "autobahntestsuite==25.10.1"]
        subprocess.run(suite, check=True, env=quiet, stderr=subprocess.DEVNULL)
    return program


def run(wstest: Path, cases: list[str]) -> dict[str, list[str]]:
    """Returns the behaviour of every case, and that of its close."""
    shutil.rmtree(REPORT, ignore_errors=True)
    REPORT.mkdir()
    server = subprocess.Popen([sys.executable, HERE / "server.py"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        spec = {
            "outdir": str(REPORT),
            "servers": [{"agent": "fanwire", "url": f"ws://127.0.0.1:{port}"}],
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        (REPORT / "spec.json").write_text(json.dumps(spec))
        with (REPORT / "wstest.log").open("w") as log:
            command = [str(wstest), "-m", "fuzzingclient", "-s", str(REPORT / "spec.json")]
            subprocess.run(command, stdout=log, stderr=log, timeout=SECONDS, check=True)
    finally:
        server.terminate()
        server.wait(20)
    results = json.loads((REPORT / "index.json").read_text())["fanwire"]
    return {case: [results[case]["behavior"], results[case]["behaviorClose"]] for case in sorted(results, key=number)}


def number(case: str) -> list[int]:
    """Sorts 9.1.2 before 10.1.1."""
    return [int(part) for part in case.split(".")]


if __name__ == "__main__":
    sys.exit(main())
