"""What holds for every test: the helpers can be imported, and no error goes to a log unseen."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))


LONG_FORMS = {"FANWIRE_MODEL", "FANWIRE_FUZZ_EXAMPLES"}


def pytest_configure(config: pytest.Config) -> None:
    # A busy machine is no failure. pytest's own timeout bounds a test. The examples are always the same, so that a
    # change is not refused for what another one has done; the long forms (make soak, make fuzz) draw new ones.
    settings.register_profile(
        "fanwire",
        deadline=None,
        derandomize=LONG_FORMS.isdisjoint(os.environ),
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("fanwire")
    config.addinivalue_line("markers", "logs_errors: errors in the log are part of what is tested")


def pytest_collection_finish() -> None:
    freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    yield
    if nextitem is not None and nextitem.path != item.path:
        freeze()
    if (left := open_files()) > OPEN_FILES:
        gc.collect()
        assert open_files() <= OPEN_FILES, f"{left} files are open after this test"


def freeze() -> None:
    """Every stop of a server collects garbage, which takes 80 ms among all that was imported and collected by pytest,
    and by what files leave behind. Frozen, that is not looked through again."""
    gc.collect()
    gc.freeze()


def open_files() -> int:
    """The files that this process has open."""
    return sum(1 for _ in FOLDER.iterdir()) if FOLDER.is_dir() else 0


FOLDER = Path("/proc/self/fd")
OPEN_FILES = 1000
"""More than any tests need for their next ones. What a test leaves open is short in those that come after it."""


@pytest.fixture(autouse=True)
def no_errors_logged(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """An exception in a callback of the loop is only logged: without this it would pass for success."""
    yield
    if request.node.get_closest_marker("logs_errors") is None:
        records = [record for when in ("setup", "call") for record in caplog.get_records(when)]
        errors = [record.getMessage() for record in records if record.levelno >= logging.ERROR]
        assert not errors, errors
