"""Wrong keys by address: limited, logged, and bounded."""

from __future__ import annotations

import logging

import pytest

from fanwire.errors import Refused
from fanwire.http.wrong_keys import WrongKeys, bearer_of

logger = logging.getLogger("fanwire.http")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def guessed(count: int = 10, address: str = "192.0.2.1", clock: Clock | None = None) -> WrongKeys:
    """After so many wrong keys of an address."""
    keys = WrongKeys(logger, "API key", clock or Clock())
    for number in range(count):
        keys.check("guess", address)
        keys.wrong(f"guess-{number}", address)
    return keys


def test_an_address_with_too_many_wrong_keys_has_to_wait() -> None:
    clock = Clock()
    keys = guessed(clock=clock)
    for key in ("guess", "right", ""):
        with pytest.raises(Refused) as raised:
            keys.check(key, "192.0.2.1")
        assert (raised.value.status, raised.value.retry_after) == (429, 10)
    keys.check("guess", "192.0.2.2")
    clock.now += 10.1
    keys.check("guess", "192.0.2.1")


def test_a_key_that_was_right_passes_from_its_address_only() -> None:
    keys = WrongKeys(logger, "API key", Clock())
    keys.right("right", "192.0.2.1")
    for address in ("192.0.2.1", "192.0.2.2"):
        for _ in range(10):
            keys.wrong("guess", address)
    keys.check("right", "192.0.2.1")
    with pytest.raises(Refused):
        keys.check("right", "192.0.2.2")
    with pytest.raises(Refused):
        keys.check("guess", "192.0.2.1")


def test_a_request_without_a_key_is_no_failure() -> None:
    keys = WrongKeys(logger, "API key", Clock())
    for _ in range(30):
        keys.wrong("", "")
        keys.check("", "")


def test_the_log_names_the_address_and_no_key(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        guessed()
        guessed(1, "")
    assert caplog.text.count("192.0.2.1 has shown a wrong API key") == 10
    assert "a Unix socket has shown a wrong API key" in caplog.text
    assert "guess" not in caplog.text


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanwire.http.wrong_keys.MAX_ADDRESSES", 3)
    keys = WrongKeys(logger, "API key", Clock())
    for number in range(20):
        keys.wrong("guess", f"192.0.2.{number}")
        keys.right("right", f"192.0.2.{number}")
    assert len(keys._failures) == len(keys._right) == 3


@pytest.mark.parametrize(
    ("value", "key"),
    [(b"Bearer abc", "abc"), (b"bearer  abc ", "abc"), (b"Basic abc", ""), (b"", ""), (b"Bearer", ""), (b"abc", "")],
)
def test_where_the_key_is_read(value: bytes, key: str) -> None:
    assert bearer_of(value) == key
