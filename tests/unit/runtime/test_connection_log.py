"""The records of connections that have ended, whichever of host and engine speaks first."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from fanwire.runtime.connection_log import ConnectionLog
from fanwire.state import ConnectionState


def connection(conn_id: int = 7, **changes: Any) -> Any:
    """What the log reads of one."""
    request = SimpleNamespace(
        remote="::1", is_secure=True, path="/a", user_agent="pytest", tls=SimpleNamespace(version="TLSv1.3")
    )
    told = {
        "id": conn_id, "_id_text": f"{conn_id:#x}", "is_compressed": False, "_resumes": 0, "_moves": 0,
        "identity": "bob", "request": request, "_session": None, "opened_at": 10.0,
        "state": ConnectionState.OPEN, "transport": "websocket",
        "close_code": 1000, "close_reason": "", "closed_by": "client", "received_messages": 1, "received_bytes": 2,
    }  # fmt: skip
    return SimpleNamespace(**{**told, **changes})


@pytest.fixture(autouse=True)
def _is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanwire.connections")


SESSION = SimpleNamespace(codec=SimpleNamespace(name="json"), public_id="5e55")
LINE = (
    "event=connection_ended id=0x7 subject=bob address=::1 path=/a transport=websocket codec=raw compressed=false "
    "tls=TLSv1.3 user_agent=pytest duration=2.5 close_code=1000 closed_by=client "
    'why="the client closed the connection" received_messages=1 received_bytes=2'
)
SENT = " sent_messages=3 sent_bytes=40 highest_queue=900 taken_age=0.0312 dropped_oldest=5"
ACCOUNT = (3, 40, {"oldest": 5}, 900, 0.03123)


def test_the_host_ends_it_and_the_engine_tells_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog(clock=lambda: 12.5)
    log.ended(connection(), "closed")
    assert caplog.messages == []
    log.accounted(7, False, *ACCOUNT)
    assert caplog.messages == [LINE + SENT]


def test_the_engine_ends_it_and_the_host_hears_of_it(caplog: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog(clock=lambda: 12.5)
    log.accounted(7, True, *ACCOUNT)
    log.ended(connection(), "closed")
    assert caplog.messages == [LINE + SENT]


def test_a_cause_that_the_engine_names_comes_before_the_hosts(caplog: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog(clock=lambda: 12.5)
    log.because(connection(), "no pong")
    log.parked(connection(_session=SESSION), "lost")
    assert caplog.messages == [
        "event=session_parked id=0x7 session=5e55 subject=bob address=::1 path=/a transport=websocket codec=json "
        'compressed=false tls=TLSv1.3 user_agent=pytest duration=2.5 why="no pong"'
    ]
    # It was told once.
    log.ended(connection(), "expired")
    log.accounted(7, False, 0, 0, {}, 0, None)
    assert ' why="the client did not come back within grace" ' in caplog.messages[1]


def test_records_without_an_account_are_written_when_the_engine_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog(clock=lambda: 12.5)
    log.ended(connection(), "closed")
    log.flush()
    log.flush()
    assert caplog.messages == [LINE]


def test_what_is_told_of_an_unknown_connection_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog(clock=lambda: 12.5)
    log.accounted(7, False, 3, 40, {}, 0, None)
    log.because(connection(state=ConnectionState.CLOSED), "no pong")
    log.ended(connection(), "closed")
    log.flush()
    assert caplog.messages == [LINE]


@pytest.mark.parametrize("text", ["two words", "a=b", 'a"b', "a\nb", "ü", "", "\x1b[31m", "\\"])
def test_what_a_client_says_cannot_be_taken_for_a_field(text: str, caplog: pytest.LogCaptureFixture) -> None:
    log = ConnectionLog(clock=lambda: 12.5)
    log.ended(connection(close_reason=text, identity=text), "closed")
    log.flush()
    (line,) = caplog.messages
    assert line.isascii()
    assert line.isprintable()
    assert line.count(" address=") == 1
    assert ' subject="' in line
