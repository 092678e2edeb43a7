"""Close codes: which may be sent, and which say that the client should come back."""

from __future__ import annotations

import pytest

from fanwire.codes import CloseCode, is_valid, should_reconnect

SENDABLE = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
RECONNECT = {1001, 1005, 1006, 1011, 1012, 1013, 1014, *range(4000, 4500)}


def test_every_number() -> None:
    assert {code for code in range(70_000) if is_valid(code)} == SENDABLE
    assert {code for code in range(70_000) if should_reconnect(code)} == RECONNECT


@pytest.mark.parametrize("code", CloseCode)
def test_the_names_agree_with_the_numbers(code: CloseCode) -> None:
    assert code.should_reconnect == (code.value in RECONNECT)
    assert is_valid(code) == (code not in (CloseCode.NO_CODE, CloseCode.ABNORMAL))
