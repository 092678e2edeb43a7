"""mypy --strict and pyright accept what applications write, as the documentation has it, and refuse what is wrong."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import blocks

pytestmark = pytest.mark.timeout(330)
"""A type checker that has no cache yet takes a minute on a busy machine."""

HERE = Path(__file__).parent
SOURCES = blocks.ROOT / "python"
CHECKERS = pytest.mark.parametrize("found", ["mypy", "pyright"], indirect=True)
Found = dict[str, dict[int, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files that are checked: they are checked together, which is much faster than one by one."""
    folder = tmp_path_factory.mktemp("typed")
    for name in ("accepted", "refused"):
        (folder / f"{name}.py").write_text((HERE / f"{name}.py").read_text())
    for name, code in [*blocks.documents(), *blocks.docstrings()]:
        (folder / f"{name}.py").write_text(blocks.whole(code))
    return folder


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest, folder: Path) -> Found:
    """What a type checker has to say: by file, by line."""
    return mypy(folder) if request.param == "mypy" else pyright(folder)


def mypy(folder: Path) -> Found:
    # Examples in docstrings leave annotations out, to be short.
    loose = [*(f"{name}.py" for name, _ in blocks.docstrings())]
    strict = sorted({path.name for path in folder.glob("*.py")} - set(loose))
    found: Found = {}
    for names, flags in ((strict, []), (loose, ["--allow-untyped-defs", "--allow-untyped-calls"])):
        command = ["-m", "mypy", "--strict", "--no-error-summary", "--scripts-are-modules", *flags, *names]
        text = run([sys.executable, *command], folder)
        for file, line, what in re.findall(r"^(?:.*/)?(\w+)\.py:(\d+): error: (.*)$", text, re.MULTILINE):
            found.setdefault(file, {})[int(line)] = what
        assert (": error: " in text) == bool(text.strip()), text
    return found


def pyright(folder: Path) -> Found:
    # basedpyright is pyright with Node.js in its wheels; the package `pyright` fetches it when it is first run.
    pytest.importorskip("basedpyright", reason="it is in the group dev: make .venv/dev")
    settings = {"typeCheckingMode": "standard", "extraPaths": [str(SOURCES)], "include": ["."]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    text = run([sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable], folder)
    found: Found = {}
    for problem in json.loads(text)["generalDiagnostics"]:
        if problem["severity"] == "error":
            line = problem["range"]["start"]["line"] + 1
            found.setdefault(Path(problem["file"]).stem, {})[line] = problem["message"]
    return found


def run(command: list[str], folder: Path) -> str:
    env = {**os.environ, "MYPYPATH": str(SOURCES), "MYPY_CACHE_DIR": str(blocks.ROOT / ".mypy_cache" / "documents")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@CHECKERS
def test_handlers_as_applications_write_them_are_accepted(found: Found) -> None:
    assert found.get("accepted", {}) == {}


@CHECKERS
def test_each_wrong_line_is_refused_and_no_other(found: Found) -> None:
    lines = (HERE / "refused.py").read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}
    assert set(found.get("refused", {})) == wrong, found.get("refused")


@CHECKERS
def test_the_code_in_the_documents_is_accepted(found: Found) -> None:
    assert {name for name, _ in blocks.documents()} >= {"readme_1", "readme_4", "cluster_1"}
    assert {name: found[name] for name, _ in blocks.documents() if name in found} == {}


@CHECKERS
def test_the_code_in_docstrings_is_accepted(found: Found) -> None:
    names = {name for name, _ in blocks.docstrings()}
    assert {"fanwire_server_1", "fanwire_application_1", "fanwire_application_2"} <= names
    assert {name: found[name] for name in names if name in found} == {}


def test_decorators_return_the_handlers_that_they_get() -> None:
    spec = importlib.util.spec_from_file_location("accepted_handlers", HERE / "accepted.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    for name in ("welcome", "heard", "gone", "joined", "left", "place", "cancel", "anything"):
        assert isinstance(getattr(module, name), FunctionType), name
        assert getattr(module, name).__name__ == name
