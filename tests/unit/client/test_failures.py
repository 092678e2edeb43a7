"""Which failures to connect are final: the table in code, in docs/client.md, and what belongs to which row."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from pathlib import Path

import pytest
from picows import WSError

from fanwire.client import connect
from fanwire.client.failures import Failure

DOCS = Path(__file__).parents[3] / "docs" / "client.md"


def test_the_table_in_the_docs_is_the_table_in_the_code() -> None:
    rows = re.findall(r"^\| (.+) \| (final|again) \| (final|again) \|$", DOCS.read_text(), re.MULTILINE)
    word = {True: "final", False: "again"}
    assert rows == [(row.text, word[row.is_final_at_first], word[row.is_final_later]) for row in Failure]


@pytest.mark.parametrize("failure", Failure, ids=lambda row: row.name)
def test_what_is_final_later_is_final_at_first(failure: Failure) -> None:
    assert failure.is_final(was_connected=False) is failure.is_final_at_first
    assert failure.is_final(was_connected=True) is failure.is_final_later
    assert failure.is_final_at_first or not failure.is_final_later


@pytest.mark.parametrize(("statuses", "failure"), [
    ((401, 403), Failure.DENIED),
    ((408, 425, 429, 500, 502, 503, 504, 599), Failure.BUSY),
    ((100, 103, 200, 204, 301, 302, 307, 400, 404, 405, 410, 421, 426, 431, 600), Failure.NO_WEBSOCKET),
])  # fmt: skip
def test_each_status_has_its_row(statuses: tuple[int, ...], failure: Failure) -> None:
    assert {Failure.of_status(status) for status in statuses} == {failure}


@pytest.mark.parametrize(("error", "failure"), [
    (socket.gaierror(socket.EAI_NONAME, "no such name"), Failure.UNKNOWN_HOST),
    (socket.gaierror(socket.EAI_AGAIN, "try again"), Failure.RESOLVER),
    (socket.gaierror(socket.EAI_FAIL, "broken"), Failure.RESOLVER),
    (ssl.SSLCertVerificationError(1, "self-signed certificate"), Failure.CERTIFICATE),
    (ssl.SSLError(1, "wrong version number"), Failure.TLS),
    (ssl.SSLEOFError(8, "EOF occurred"), Failure.NETWORK),
    (WSError("no HTTP"), Failure.NO_HTTP),
    *((OSError(number, "no"), Failure.NETWORK) for number in (
        errno.ECONNREFUSED, errno.ECONNRESET, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EMFILE,
    )),
])  # fmt: skip
def test_each_error_has_its_row(error: Exception, failure: Failure) -> None:
    assert Failure.of_error(error) is failure


@pytest.mark.parametrize(("url", "text"), [
    ("ws://localhost:99999", "its host or port is wrong"),
    ("ws://localhost:0", "1 to 65535"),
    ("ws://localhost:http", "its host or port is wrong"),
    ("ws://:8000", "must name a host"),
    ("ws:///path", "must name a host"),
    ("http://localhost", "ws://"),
    ("ws://localhost/#", "fragment"),
    ("ws://ann:secret@localhost", "use token or headers"),
    ("ws://[::1", "its host or port is wrong"),
    ("ws://a..b", "valid host"),
    ("ws://" + "a" * 64, "valid host"),
])  # fmt: skip
def test_a_url_that_can_never_work_is_refused_when_it_is_given(url: str, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)) as caught:
        connect(url)
    assert "secret" not in str(caught.value)
