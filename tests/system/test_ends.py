"""Every way in which a connection can end, over real sockets: the record is what docs/operations.md says."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import ends_by_server, ends_of_clients
from helpers.ends import BUS, WAYS, heard
from helpers.serving import Book
from helpers.wait import DEADLINE, until, within

import fanwire
from fanwire.backplane import MemoryBackplane

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"

RECORDS = ("connection_ended", "session_ended", "session_parked")

assert ends_by_server
assert ends_of_clients


def rows() -> dict[str, tuple[str, str, str, str]]:
    """The table of the page: by way the record, the code, the side, and why."""
    text = PAGE.read_text().partition("## How a connection ends")[2].partition("\n## ")[0]
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 5 and cells[1].strip("`") in RECORDS:
            found[cells[0]] = (cells[1].strip("`"), cells[2], cells[3], cells[4])
    return found


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, Any]]]:
    """The fields of all records of connections, as they come."""
    found: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(dict(record.connection))  # type: ignore[attr-defined]  # given as `extra`

    caplog.set_level(logging.DEBUG, "fanwire.connections")
    handler = Keep()
    logger = logging.getLogger("fanwire.connections")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


@pytest.fixture
def errors_are_expected(request: pytest.FixtureRequest) -> None:
    """Two ways are defects, which the server logs."""
    if request.node.callspec.params["name"] in LOG_ERRORS:
        request.node.add_marker(pytest.mark.logs_errors)


LOG_ERRORS = {"A message handler raises an error", "An event of the connection cannot be handled"}


@pytest.mark.parametrize("name", WAYS)
async def test_the_record_of_an_end(
    name: str,
    records: list[dict[str, Any]],
    tls: tuple[fanwire.TLS, ssl.SSLContext],
    errors_are_expected: None,
) -> None:
    do, config, options = WAYS[name]
    options = dict(options)
    is_tls = options.pop("tls", False)
    if is_tls:
        options["tls"] = tls[0]
    if options.pop("cluster", False):
        options["backplane"] = MemoryBackplane(BUS)
    # Whoever answers the close frame has its time for that.
    server = Book({"close_timeout": DEADLINE, **config}, **options)
    server.trusting = tls[1]  # type: ignore[attr-defined]  # for the ways of TLS
    server.on_message(heard)
    server.room("*")
    event, code, side, why = rows()[name]
    async with server:
        await within(do(server), 20)
        await until(lambda: any(record["event"] == event for record in records), event)
        await until(lambda: (code, side, why) in ends(records, event), f"{(code, side, why)} in {ends(records, event)}")
        if code:
            metric = {"code": code if side != "client" or code != "3000" else "other", "side": side}
            assert server.metrics.get_sample_value("fanwire_closed_connections_total", metric) == 1.0


def ends(records: list[dict[str, Any]], event: str) -> list[tuple[str, str, str]]:
    """Code, side and reason of each of these records."""
    found = [record for record in records if record["event"] == event]
    return [(str(record.get("close_code", "")), record.get("closed_by", ""), record["why"]) for record in found]


def test_the_page_has_every_way_and_no_other() -> None:
    assert sorted(rows()) == sorted(WAYS)
