"""What peers can cause is logged at a limited rate, and what is left out is counted."""

from __future__ import annotations

import logging

import pytest

from fanwire.observability.logs import MAX_KINDS, ONCE_A_MINUTE, LimitedLog
from fanwire.timing.token_bucket import Rate

logger = logging.getLogger("fanwire.test")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_one_of_a_kind_is_written_and_the_rest_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock, left_out = Clock(), []
    log = LimitedLog(logger, ONCE_A_MINUTE, left_out.append, clock)
    for number in range(1000):
        log.log(logging.WARNING, "no %d", number, kind="no")
    log.log(logging.INFO, "another kind")
    assert lines(caplog) == ["no 0", "another kind"]
    assert left_out == [logging.WARNING] * 999
    clock.now = 61.0
    log.log(logging.WARNING, "no %d", 1000, kind="no")
    assert lines(caplog) == ["999 more lines of this kind were left out: no", "no 1000"]
    log.flush()
    assert lines(caplog) == []


def test_a_burst_and_then_a_rate(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    log = LimitedLog(logger, Rate(1, 50), clock=clock)
    for _ in range(100):
        log.log(logging.INFO, "closed")
    assert len(lines(caplog)) == 50
    log.flush()
    assert lines(caplog) == ["50 more lines of this kind were left out: closed"]


async def test_a_kind_that_has_become_quiet_is_reported(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from helpers.wait import until

    caplog.set_level(logging.INFO)
    monkeypatch.setattr("fanwire.observability.logs.QUIET", 0.01)
    log = LimitedLog(logger, ONCE_A_MINUTE)
    for _ in range(3):
        log.log(logging.INFO, "a line")
    await until(lambda: len(caplog.records) == 2)
    assert lines(caplog) == ["a line", "2 more lines of this kind were left out: a line"]


def test_kinds_are_bounded_and_none_is_forgotten_unreported(caplog: pytest.LogCaptureFixture) -> None:
    log = LimitedLog(logger, ONCE_A_MINUTE)
    for _ in range(2):
        log.log(logging.WARNING, "the first")
    for number in range(2 * MAX_KINDS):
        log.log(logging.WARNING, "x", kind=number)
    assert len(log._kinds) == MAX_KINDS
    assert "1 more lines of this kind were left out: the first" in lines(caplog)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_it_never_raises(error: type[BaseException]) -> None:
    class Evil:
        def __repr__(self) -> str:
            raise error

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise error

    own = logging.Logger("own")
    own.addHandler(Handler())
    log = LimitedLog(own, Rate(0, 1))
    log.log(logging.ERROR, "%r", Evil())
    log.log(logging.ERROR, "a line", error=ValueError())


@pytest.mark.logs_errors
def test_an_error_comes_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    log = LimitedLog(logger, ONCE_A_MINUTE)
    try:
        raise LookupError("where")
    except LookupError as error:
        log.log(logging.ERROR, "failed", error=error)
    assert "LookupError: where" in caplog.text
