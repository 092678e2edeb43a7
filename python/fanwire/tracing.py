"""OpenTelemetry traces of messages: from publishing to the last connection that a message was written to.

Needs `fanwire[otel]`, which is the API of OpenTelemetry. Its SDK, and where spans go, is the application's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from fanwire._engine import Engine
from fanwire.errors import ENGINE_ERRORS
from fanwire.observability.logs import ONCE_A_MINUTE, LimitedLog
from fanwire.rooms.node import Node
from fanwire.server import Server
from fanwire.values.checks import check_number

try:
    from opentelemetry import trace as otel
except ImportError as error:
    raise ImportError("fanwire.tracing needs the API of OpenTelemetry: pip install 'fanwire[otel]'") from error

__all__ = ["trace_messages"]

logger = logging.getLogger("fanwire")


def trace_messages(server: Server, ratio: float, tracer_provider: otel.TracerProvider | None = None) -> None:
    """Traces a share of the messages that a server publishes. Without this call nothing is traced, and costs nothing.

    A traced message has a span `publish`, in the trace that is current where it is published: from the call until the
    message is queued or, with `publish_acked` in a room with a history and a backplane, until it is stored. A span
    `deliver` below it begins when the engine has the message and ends when the kernel has it for the last of this
    node's members; `fanwire.receivers` says how many of them there were. Members that did not get it within 5 s, and
    members at other nodes, are not in it. A message that a backplane stores first has no span `deliver`.

    ::

        from fanwire.tracing import trace_messages

        server = fanwire.Server(insecure=True)
        trace_messages(server, ratio=0.01)

    Args:
        server: the server; it has not been started yet.
        ratio: the share of messages, from 0 to 1. The sampler of the SDK then decides about each of them.
        tracer_provider: makes the tracer; None: the one that is set for the process.

    Raises:
        ImportError: OpenTelemetry's API is not installed; raised when this module is imported.
        RuntimeError: the server runs.
        ValueError: the ratio is not from 0 to 1.
    """
    check_number("ratio", ratio, least=0, most=1)
    if server._is_running:
        raise RuntimeError("trace_messages must be called before the server starts")
    tracer = otel.get_tracer("fanwire", tracer_provider=tracer_provider)
    server._tracing = MessageTraces(ratio, tracer) if ratio > 0 else None


class MessageTraces:
    """The traces of one server.

    Args:
        ratio: the share of messages that are traced.
        tracer: makes the spans.
        dice: returns a random number from 0 to 1.
    """

    def __init__(self, ratio: float, tracer: otel.Tracer, dice: Callable[[], float] = random.random) -> None:
        self._ratio = ratio
        self._tracer = tracer
        self._dice = dice
        # The spans `publish` of messages that are being delivered. At most as many as the engine traces at once.
        self._published: dict[tuple[str, int], otel.Span] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._log = LimitedLog(logger, ONCE_A_MINUTE)

    def begin(self, node: Node) -> None:
        """Traces what a node publishes, until `end`. To be called where the event loop runs."""
        self._engine = node.engine
        for name in ("publish", "publish_acked"):
            # On this node alone, which lives until the server stops: without traces there is no check.
            setattr(node, name, partial(self._publish, getattr(node, name)))
        self._look()

    def end(self) -> None:
        """Ends the spans that are left: the server stops."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with contextlib.suppress(*ENGINE_ERRORS):
            self._take(self._engine)
        self._published.clear()

    def _publish(self, publish: Callable[..., Any], room: str, payload: bytes | str, *args: Any, **more: Any) -> Any:
        if self._dice() >= self._ratio:
            return publish(room, payload, *args, **more)
        attributes: dict[str, str | int] = {
            "messaging.system": "fanwire",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": room,
            "messaging.message.body.size": len(payload),
        }
        span = None
        with self._contained():
            span = self._tracer.start_span("publish", kind=otel.SpanKind.PRODUCER, attributes=attributes)
        if span is None or not span.is_recording():
            return publish(room, payload, *args, **more)
        is_traced = False
        try:
            with otel.use_span(span, record_exception=True, set_status_on_exception=True):
                is_wanted = self._engine.trace_next(room)
                try:
                    seq = publish(room, payload, *args, **more)
                finally:
                    is_traced = self._engine.trace_end(room) and is_wanted
        except BaseException:
            self._end(span)
            raise
        if isinstance(seq, asyncio.Future):
            # The future itself: whoever publishes with an id keeps it, so that the message is published once.
            seq.add_done_callback(partial(self._numbered, span))
            return seq
        if seq is not None:
            span.set_attribute("messaging.message.id", str(seq))
            if is_traced:
                self._published[room, seq] = span
        self._end(span)
        return seq

    def _numbered(self, span: otel.Span, stored: asyncio.Future[int]) -> None:
        """Ends the span of a message that was stored, or has left."""
        with self._contained():
            if not stored.cancelled() and (error := stored.exception()) is not None:
                span.record_exception(error)
                span.set_status(otel.Status(otel.StatusCode.ERROR, f"{type(error).__name__}: {error}"))
            elif not stored.cancelled():
                span.set_attribute("messaging.message.id", str(stored.result()))
        self._end(span)

    def _end(self, span: otel.Span) -> None:
        with self._contained():
            span.end()

    @contextlib.contextmanager
    def _contained(self) -> Iterator[None]:
        """Logs errors of the application's SDK, such as those of a span processor: messages are published anyway."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises
            self._log.log(logging.ERROR, "a message is not traced, because OpenTelemetry's SDK failed", error=error)

    def _look(self) -> None:
        self._take(self._engine)
        self._timer = asyncio.get_running_loop().call_later(PERIOD, self._look)

    def _take(self, engine: Engine) -> None:
        for room, seq, published_us, receivers, last_us in engine.traces():
            # Another thread may have published to the room first, so that its message was traced.
            span = self._published.pop((room, seq), None)
            if span is None:
                continue
            attributes: dict[str, str | int] = {
                "messaging.system": "fanwire",
                "messaging.destination.name": room,
                "messaging.message.id": str(seq),
                "fanwire.receivers": receivers,
            }
            with self._contained():
                delivered = self._tracer.start_span(
                    "deliver", otel.set_span_in_context(span), otel.SpanKind.PRODUCER, attributes,
                    start_time=published_us * 1000,
                )  # fmt: skip
                delivered.end(last_us * 1000)
        while len(self._published) > SPANS_MAX:
            self._published.pop(next(iter(self._published)))


PERIOD = 0.25
"""Seconds between two looks at what was delivered. The times of spans do not depend on it."""

SPANS_MAX = 1024
"""The most spans that wait for a delivery: as many as the engine traces at once."""
