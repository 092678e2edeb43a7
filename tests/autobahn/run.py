"""Runs the Autobahn|Testsuite fuzzing client against an echo server and compares every case with `expected.json`.

The suite runs on CPython 2.7 only, and is installed into .cache on the first run. Python 2.7 is found as `python2.7`,
by `PYTHON27`, or from pyenv. Without it this says so in one line and succeeds. In CI it fails: a skipped suite
would be overlooked there.

The compressed messages of cases 12 and 13 are nearly all of the work, most of it the suite's own, so several of its
processes run beside each other. With `--sixth`, a sixth of these cases runs: each size of messages with two kinds of
data or parameters, and each of those kinds with three sizes.

    python tests/autobahn/run.py [--sixth | --update] [CASES ...]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

HERE = Path(__file__).parent
REPORT = HERE / "report"
EXPECTED = HERE / "expected.json"
CACHE = HERE.parent.parent / ".cache"
PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}
SECONDS = 1800
"""For each process of the suite. It takes half a minute where nothing else runs."""
PROCESSES = 4
"""Of the suite at once. Each waits for the server's answer to a message before it sends another one."""


def main() -> int:
    """Returns 0 when every case is as expected and none has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--sixth", action="store_true", help="only a sixth of the compressed cases")
    form.add_argument("--update", action="store_true", help="write what came out as what is expected")
    parser.add_argument("cases", nargs="*", default=["*"], help="patterns such as '6.*'; all by default")
    arguments = parser.parse_args()
    python27 = find_python27()
    if python27 is None:
        return missing(is_ci=is_ci(os.environ))
    wstest = install(python27)
    wanted = in_sixth if arguments.sixth else always
    results = run(wstest, arguments.cases, wanted)
    known: dict[str, list[str]] = json.loads(EXPECTED.read_text())
    # Some cases give an answer one second by the clock, which a busy machine may miss: it then fails, or passes as
    # "NON-STRICT". What comes twice has come.
    if again := [case for case, result in results.items() if not set(result) <= PASSED or result != known.get(case)]:
        results.update(run(wstest, again))
    failed = [case for case, (behavior, close) in results.items() if not {behavior, close} <= PASSED]
    if arguments.update:
        lines = [f"  {json.dumps(case)}: {json.dumps(result)}" for case, result in results.items()]
        EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        known = results
    expected = {case: result for case, result in known.items() if wanted(case)}
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
        # With wsaccel it masks in C: most of its time otherwise, and there are gigabytes to be masked.
        suite = [str(CACHE / "wstest" / "bin" / "python"), *pip, "autobahntestsuite==25.10.1", "wsaccel==0.6.2"]
        subprocess.run(suite, check=True, env=quiet, stderr=subprocess.DEVNULL)
    return program


def always(case: str) -> bool:
    """Every case."""
    return True


def in_sixth(case: str) -> bool:
    """Whether a case has no compression, or is of the sixth of the compressed ones that `--sixth` runs.

    12.1 to 12.5 are kinds of data and 13.1 to 13.7 kinds of parameters, twelve in all; each has 18 sizes of messages,
    as 12.1.1 to 12.1.18. Of these, each kind is run with three sizes, and each size with two kinds.
    """
    group, kind, *size = number(case)
    return group not in (12, 13) or (5 * (group == 13) + kind + size[0]) % 6 == 0


def run(wstest: Path, patterns: list[str], wanted: Callable[[str], bool] = always) -> dict[str, list[str]]:
    """Returns the behaviour of every case that matches and is wanted, and that of its close."""
    shutil.rmtree(REPORT, ignore_errors=True)
    REPORT.mkdir()
    parts = [list(cases) for _, cases in groupby(filter(wanted, chosen(wstest, patterns)), key=part_of)]
    server = subprocess.Popen([sys.executable, HERE / "server.py"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = f"ws://127.0.0.1:{int(server.stdout.readline())}"
        with ThreadPoolExecutor(PROCESSES) as pool:
            # The first part has cases that wait a second by the clock: the others compute meanwhile.
            found = list(pool.map(lambda cases: run_part(wstest, url, cases), parts))
    finally:
        server.terminate()
        printed, _ = server.communicate(timeout=40)
    if not int(printed) and any(case.startswith(("12.", "13.")) for part in parts for case in part):
        raise RuntimeError("the server has compressed nothing")
    results = {case: result for part in found for case, result in part.items()}
    return {case: results[case] for case in sorted(results, key=number)}


def chosen(wstest: Path, patterns: list[str]) -> list[str]:
    """Returns the cases of the suite that match one of the patterns, in order."""
    command = [str(wstest.with_name("python")), "-c", LIST, *patterns]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


LIST = """
import sys
from autobahntestsuite.case import CaseBasename, CaseCategories, Cases, CaseSetname, CaseSubCategories
from autobahntestsuite.caseset import CaseSet
cases = CaseSet(CaseSetname, CaseBasename, Cases, CaseCategories, CaseSubCategories)
sys.stdout.write(" ".join(cases.parseSpecCases({"cases": sys.argv[1:]})))
"""


def part_of(case: str) -> str:
    """What one process runs: a dozen seconds of compressed messages, or all cases without compression."""
    first, second, *_ = case.split(".")
    return f"{first}.{second}" if first in ("12", "13") else "1-10"


def run_part(wstest: Path, url: str, cases: list[str]) -> dict[str, list[str]]:
    """Runs some cases in a process of their own."""
    folder = REPORT / part_of(cases[0])
    folder.mkdir()
    spec = {
        "outdir": str(folder),
        "servers": [{"agent": "fanwire", "url": url}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    with (folder / "wstest.log").open("w") as log:
        command = [str(wstest), "-m", "fuzzingclient", "-s", str(folder / "spec.json")]
        subprocess.run(command, stdout=log, stderr=log, timeout=SECONDS, check=True)
    results = json.loads((folder / "index.json").read_text())["fanwire"]
    return {case: [result["behavior"], result["behaviorClose"]] for case, result in results.items()}


def number(case: str) -> list[int]:
    """Sorts 9.1.2 before 10.1.1."""
    return [int(part) for part in case.split(".")]


if __name__ == "__main__":
    sys.exit(main())
