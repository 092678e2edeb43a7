"""What the log says of certificates that are loaded, and do not serve clients."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from helpers.certificates import Authority
from helpers.serving import Book
from prometheus_client import generate_latest

import fanwire


async def test_the_log_warns_of_certificates_that_clients_refuse_or_never_get(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    first = authority.sign("first", "localhost", "b.example")
    nameless = authority.sign("nameless")
    early = authority.sign("early", "early.example", begins=timedelta(days=1))
    again = authority.sign("again", "LOCALHOST", "c.example")
    # Of another kind of key: for clients that cannot use the first.
    rsa = authority.sign("rsa", "localhost", is_rsa=True)
    winding = first[0].parent / "folder" / ".." / first[0].name
    (first[0].parent / "folder").mkdir(exist_ok=True)
    async with Book(tls=fanwire.TLS(winding, first[1], others=[nameless, early, again, rsa])) as server:
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        scraped = generate_latest(server.metrics).decode()
    assert said[:2] == [
        f"the certificate {nameless[0]} has no subjectAltName, so that clients refuse it: get one with names",
        f"the certificates {first[0]} and {again[0]} are both for localhost: clients get {first[0]}, which is named "
        "first",
    ]
    assert len(said) == 3
    assert said[2].startswith(f"the certificate {early[0]} for early.example is valid from 2")
    assert said[2].endswith("on, and clients refuse it before")
    assert f'certificate="{first[0]}"' in scraped
