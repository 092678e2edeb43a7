"""What goes wrong is counted, and a part that has died makes a server unready."""

from __future__ import annotations

import asyncio

import pytest
from helpers.wait import until

from fanwire.observability.health import Counters, Health


class Book(Counters):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def handler_error(self, handler: str) -> None:
        self.seen.append(f"handler {handler}")

    def internal_error(self, where: str) -> None:
        self.seen.append(f"internal {where}")


@pytest.mark.logs_errors
def test_errors_are_counted_each_and_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    book = Book()
    health = Health(book)
    for _ in range(3):
        health.handler_error("f", "a connection", ValueError("text"))
        health.internal_error("a queue", ValueError("text"))
    health.handler_error("f", "a connection", LookupError("another kind"))
    assert book.seen == ["handler f", "internal a queue"] * 3 + ["handler f"]
    assert len(caplog.records) == 3
    assert not health.faults


def failed(line: str) -> Exception:
    try:
        exec(compile(line, "app.py", "exec"), {})
    except Exception as error:  # noqa: BLE001 - that is what is wanted
        return error
    raise AssertionError("it has not failed")


@pytest.mark.logs_errors
def test_errors_of_one_type_are_told_apart_by_the_line_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    health = Health()
    for _ in range(2):
        health.handler_error("f", "a request", failed("raise ValueError('the first')"))
        health.handler_error("f", "a request", failed("\nraise ValueError('the second')"))
        # A text may hold what a peer has sent.
        health.handler_error("f", "a request", failed("raise ValueError('from a peer')"))
    health.flush()
    told = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert told == ["the first", "the second"]
    assert caplog.messages[2:] == [
        "3 more lines of this kind were left out: f, ValueError, app.py:1",
        "1 more lines of this kind were left out: f, ValueError, app.py:2",
    ]


@pytest.mark.logs_errors
async def test_a_task_that_has_to_run_and_ends_is_a_fault() -> None:
    async def fail() -> None:
        raise ValueError("text")

    health = Health()
    health.begin()
    for work in (fail(), asyncio.sleep(0)):
        task = asyncio.ensure_future(work)
        health.watch("a loop", task)
        await until(lambda: health.faults)
        assert list(health.faults) == ["a loop"]
        health.begin()
        assert not health.faults
    health.end()
    task = asyncio.ensure_future(asyncio.sleep(0))
    health.watch("a loop", task)
    await task
    await asyncio.sleep(0)
    assert not health.faults


def test_a_check_that_fails_is_a_fault_as_long_as_it_does() -> None:
    health, is_well = Health(), True
    health.check("a queue", lambda: is_well)
    assert not health.faults
    is_well = False
    assert health.faults == {"a queue": "it makes no progress"}
    is_well = True
    assert not health.faults
