"""OpenTelemetry traces of messages: from publishing to the last connection that got a message."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

import pytest
from helpers.serving import Book
from helpers.wait import until, within
from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from fanwire.backplane import MemoryBackplane, MemoryBus
from fanwire.tracing import trace_messages


class Spans:
    """What was exported.

    Attributes:
        provider: makes tracers.
    """

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    async def some(self, name: str, count: int = 1) -> list[ReadableSpan]:
        return await until(lambda: len(found := self.named(name)) >= count and found, f"{count} spans {name}")


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.provider.shutdown()


def traced(spans: Spans, ratio: float = 1.0, **options: object) -> Book:
    server = Book(**options)  # type: ignore[arg-type]  # of the server
    trace_messages(server, ratio, spans.provider)
    return server


async def test_a_message_is_traced_to_its_last_receiver(spans: Spans) -> None:
    begun = time.time_ns()
    async with traced(spans) as server, server.client("/a") as one, server.client("/a") as two:
        await until(lambda: server.count("a") == 2)
        tracer = spans.provider.get_tracer("test")
        with tracer.start_as_current_span("request") as request:
            seq = server.publish("a", "hello")
        for client in (one, two):
            assert await within(client.recv()) == "hello"
        (delivered,) = await spans.some("deliver")
        (published,) = spans.named("publish")
        assert published.parent is not None
        assert published.parent.span_id == request.get_span_context().span_id
        assert delivered.parent is not None
        assert delivered.parent.span_id == published.context.span_id
        assert delivered.attributes == {
            "messaging.system": "fanwire", "messaging.destination.name": "a", "messaging.message.id": str(seq),
            "fanwire.receivers": 2,
        }  # fmt: skip
        assert published.attributes is not None
        assert published.attributes["messaging.message.body.size"] == len("hello")
        assert published.kind is otel.SpanKind.PRODUCER
        # The engine's clock was read when it started, and has milliseconds of the system's.
        second = 10**9
        times = (delivered.start_time or 0, delivered.end_time or 0)
        assert begun - second < times[0] <= times[1] < time.time_ns() + second


async def test_a_message_without_receivers_has_one_span(spans: Spans) -> None:
    async with traced(spans) as server:
        server.publish("nobody", b"x")
        await server.publish_acked("nobody", b"x")
    assert len(spans.named("publish")) == 2
    assert spans.named("deliver") == []


async def test_a_message_that_is_refused_has_a_span_with_the_error(spans: Spans) -> None:
    async with traced(spans, config={"connection_bytes": 4096}) as server:
        with pytest.raises(ValueError, match="too large"):
            server.publish("a", b"x" * 10_000)
    (published,) = spans.named("publish")
    assert published.status.status_code is otel.StatusCode.ERROR
    assert [event.name for event in published.events] == ["exception"]


async def test_what_is_stored_first_is_traced_until_it_is_stored(spans: Spans) -> None:
    server = traced(spans, backplane=MemoryBackplane(MemoryBus()))
    server.room("log", history=10)
    async with server, server.client("/log"):
        assert await within(server.publish_acked("log", "x")) == 1
    (published,) = spans.named("publish")
    assert published.attributes is not None
    assert published.attributes["messaging.message.id"] == "1"


async def test_what_waits_for_a_tick_is_traced_until_it_leaves_and_published_once(spans: Spans) -> None:
    server = traced(spans)
    server.room("ticked", tick=20)
    async with server:
        both = asyncio.gather(*(server.publish_acked("ticked", "x", id="one") for _ in range(2)))
        assert await within(both) == [1, 1]
        assert await within(server.publish_acked("ticked", "x", id="one")) == 1
    (published,) = spans.named("publish")
    assert published.attributes is not None
    assert published.attributes["messaging.message.id"] == "1"


async def test_only_a_share_is_traced(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter([0.2, 0.7, 0.1] * 4)
    async with traced(spans, ratio=0.5) as server, server.client("/a") as client:
        await until(lambda: server.count("a") == 1)
        assert server._tracing is not None
        monkeypatch.setattr(server._tracing, "_dice", lambda: next(numbers))
        for n in range(12):
            server.publish("a", str(n))
        for n in range(12):
            assert await within(client.recv()) == str(n)
        await spans.some("deliver", 8)
    assert len(spans.named("publish")) == 8


async def test_the_sampler_of_the_application_decides_too() -> None:
    server = Book()
    trace_messages(server, 1.0, TracerProvider(sampler=ALWAYS_OFF))
    async with server, server.client("/a") as client:
        await until(lambda: server.count("a") == 1)
        server.publish("a", "x")
        assert await within(client.recv()) == "x"
        assert server._running.engine.traces() == []


async def test_a_server_that_is_started_again_is_traced_again(spans: Spans) -> None:
    server = traced(spans)
    for turn in (1, 2):
        async with server, server.client("/a") as client:
            await until(lambda: server.count("a") == 1)
            server.publish("a", "x")
            await within(client.recv())
            await spans.some("deliver", turn)


async def test_wrong_arguments() -> None:
    server = Book()
    for ratio in (-0.1, 1.1):
        with pytest.raises(ValueError, match="ratio"):
            trace_messages(server, ratio)
    trace_messages(server, 0)
    assert server._tracing is None
    async with server:
        with pytest.raises(RuntimeError, match="before the server starts"):
            trace_messages(server, 0.5)


def test_without_the_api_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fanwire.tracing")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=r"pip install 'fanwire\[otel\]'"):
        import fanwire.tracing  # noqa: F401 - that is what fails


class Failing(SpanProcessor):
    """Raises where it is told to."""

    def __init__(self, name: str, moment: str) -> None:
        self._place = name, moment
        self.failures = 0

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._fail(span, "start")

    def on_end(self, span: ReadableSpan) -> None:
        self._fail(span, "end")

    def _fail(self, span: ReadableSpan, moment: str) -> None:
        if (span.name, moment) == self._place:
            self.failures += 1
            raise ValueError("no disk")


@pytest.mark.logs_errors
@pytest.mark.parametrize("moment", ["start", "end"])
@pytest.mark.parametrize("name", ["publish", "deliver"])
async def test_messages_arrive_although_the_sdk_fails(
    spans: Spans, caplog: pytest.LogCaptureFixture, name: str, moment: str
) -> None:
    failing = Failing(name, moment)
    spans.provider.add_span_processor(failing)
    async with traced(spans) as server, server.client("/a") as client:
        await until(lambda: server.count("a") == 1)
        for text in ("one", "two"):
            server.publish("a", text)
            assert text in str(await within(client.recv()))
        await until(lambda: failing.failures == 2, "the SDK has failed for both")
    (record,) = [record for record in caplog.records if "not traced" in record.message]
    assert record.exc_info is not None
