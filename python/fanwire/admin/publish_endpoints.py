"""Endpoints that publish: one message, or several. They take the messages of `POST /publish` (docs/http.md)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from inspect import isawaitable
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from fanwire.admin.documents import PublishedBatch, PublishOutcome
from fanwire.admin.endpoints import AdminCall, Endpoint, NoQuery, check_type
from fanwire.admin.problems import problem_of
from fanwire.http.body import entries_of
from fanwire.http.publishing import HttpPublisher
from fanwire.protocol.table import Delivery

__all__ = ["publish_endpoints"]

logger = logging.getLogger("fanwire.admin")


class PublishBody(Struct, kw_only=True, omit_defaults=True):
    """A message. It describes the body; the reader is that of `POST /publish`."""

    room: str
    payload: Annotated[Any, Meta(description="A document, a text, or base64 text of bytes with `encoding`.")]
    key: Annotated[str, Meta(description="In a room of latest values, the key of the value.")] | None = None
    delivery: Annotated[Delivery | None, Meta(description="The delivery class; null: that of the room.")] = None
    id: Annotated[str, Meta(description="1 to 200 bytes; a second message with it is not published.")] | None = None
    encoding: Literal["base64"] | None = None


def publish_endpoints(publisher: HttpPublisher) -> tuple[Endpoint, ...]:
    """The endpoints that publish.

    Args:
        publisher: publishes, and checks the messages.
    """

    async def one(call: AdminCall) -> PublishOutcome:
        check_type(call.content_type)
        room, begun = publisher.publish(call.body)
        return await _published(call, room, begun, {})

    async def batch(call: AdminCall) -> tuple[PublishedBatch, int]:
        # All messages go to the engine before the first answer is awaited. That keeps their order.
        begun: list[tuple[str, int | Awaitable[int]] | PublishOutcome] = []
        for entry in entries_of(call.content_type, call.body):
            try:
                begun.append(publisher.publish(entry))
            except Exception as error:  # noqa: BLE001, PERF203 - each succeeds or fails by itself
                begun.append(_failed(error))
        epochs: dict[str, str | None] = {}
        results = []
        for one in begun:
            if isinstance(one, PublishOutcome):
                results.append(one)
                continue
            try:
                results.append(await _published(call, *one, epochs))
            except Exception as error:  # noqa: BLE001 - each succeeds or fails by itself
                results.append(_failed(error))
        is_whole = all(result.error is None for result in results)
        return PublishedBatch(results=results), 200 if is_whole else 207

    return (
        Endpoint(
            "POST", "/publish", "publish", "Publishes a message.", one, PublishOutcome, NoQuery, bytes,
            {"application/json": PublishBody},
        ),
        Endpoint(
            "POST", "/publish/batch", "publish",
            "Publishes messages in their order. Each succeeds or fails by itself (207: some have failed).", batch,
            PublishedBatch, NoQuery, bytes,
            {"application/json": list[PublishBody], "application/x-ndjson": PublishBody},
        ),
    )  # fmt: skip


async def _published(
    call: AdminCall, room: str, seq: int | Awaitable[int], epochs: dict[str, str | None]
) -> PublishOutcome:
    number = await seq if isawaitable(seq) else seq
    if room not in epochs:
        epoch = call.this.host.node.epoch(call.this.policies.of(room), room)
        epochs[room] = await epoch if isawaitable(epoch) else epoch
    return PublishOutcome(room=room, epoch=epochs[room], seq=number)


def _failed(error: Exception) -> PublishOutcome:
    """The result of a message that was not published.

    Raises:
        Exception: it is an error of the server itself.
    """
    problem = problem_of(error)
    if problem is None:
        raise error
    return PublishOutcome(error=problem.document())
