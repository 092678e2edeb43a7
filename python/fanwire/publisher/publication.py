"""What a publisher sends, what it gets back, and the form of a message in the body of a request. Pure."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import orjson

from fanwire.client.message import Position
from fanwire.errors import FanwireError
from fanwire.values.arguments import check_publish
from fanwire.values.checks import check_text, described
from fanwire.values.encoding import encode
from fanwire.values.interest import Where, audience_of

__all__ = ["EncodedPublication", "Publication", "PublishFailed", "Published", "batches_of", "encoded", "encoded_all"]


class Publication(NamedTuple):
    """One message of `Publisher.publish_many`. A plain tuple of the same fields may take its place, such as
    `("news", {"x": 1})`.

    Example::

        publisher.publish_many([fanwire.Publication("news", {"x": 1}, id="order-7")])

    Attributes:
        room: the room's name.
        data: bytes, str, or any other value of docs/values.md.
        key: in a room with delivery "latest", the key whose newest value the message is; None: no key.
        delivery: the delivery class of this message; None: that of the room.
        id: the message's id in the room, 1 to 200 bytes; None: the publisher makes one.
        where: a condition over the attributes of members, as in `Server.publish`; None: no condition.
        tags: values by name for the filters of members, as in `Server.publish`; None: no tags.
    """

    room: str
    data: Any
    key: str | None = None
    delivery: str | None = None
    id: str | None = None
    where: Where | Mapping[str, Any] | None = None
    tags: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Published:
    """A message that a server has published, as `Publisher.publish` returns it.

    Attributes:
        room: the room's name.
        seq: the message's number in the room.
        id: the message's id: the one that was given, or the one that the publisher has made.
        epoch: the id of the room's numbering; None: the room keeps no history, so that a position in it has no use.
    """

    room: str
    seq: int
    id: str
    epoch: str | None = None

    @property
    def position(self) -> Position | None:
        """The message's position, for `Server.history` and `Client.join`; None: the room keeps no history."""
        return None if self.epoch is None else Position(self.epoch, self.seq)


class PublishFailed(FanwireError):
    """Some messages of `Publisher.publish_many` were not published, or it is unknown whether they were. The caller
    looks at `results`, and may publish those again that failed, with the same ids.

    Attributes:
        results: one for each message, in their order: `Published`, or the error that `Publisher.publish` would have
            raised.
    """

    def __init__(self, results: Sequence[Published | FanwireError]) -> None:
        failed = [result for result in results if isinstance(result, FanwireError)]
        super().__init__(f"{len(failed)} of {len(results)} messages failed; the first: {failed[0]}")
        self.results = list(results)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.results,)


class EncodedPublication(NamedTuple):
    """A message as it stands in the body of a request.

    Attributes:
        room: the room's name.
        id: the message's id.
        document: the message as JSON, an entry of `POST /publish`.
    """

    room: str
    id: str
    document: bytes


def encoded(publication: Publication) -> EncodedPublication:
    """Checks and encodes a message. One without an id gets one, so that it can be sent again.

    Raises:
        TypeError, ValueError: as `Server.publish`.
    """
    room, data, key, delivery, name, where, tags = publication
    check_publish(room, key, delivery)
    if name is None:
        name = secrets.token_hex(16)
    elif not 0 < len(check_text("id", name, empty=True).encode()) <= ID_MAX:
        raise ValueError(f"id must have 1 to {ID_MAX} bytes, got {len(name.encode())}")
    payload, is_json = encode(data)
    entry: dict[str, Any] = {"room": room, "id": name}
    if key is not None:
        entry["key"] = key
    if delivery is not None:
        entry["delivery"] = delivery
    audience = audience_of(where, tags)
    if audience is not None:
        entry |= orjson.loads(audience)
    if is_json:
        assert isinstance(payload, bytes)  # noqa: S101 - a JSON document is bytes
        entry["payload"] = orjson.Fragment(payload)
    elif isinstance(payload, bytes):
        entry["payload"] = base64.b64encode(payload).decode()
        entry["encoding"] = "base64"
    else:
        entry["payload"] = payload
    return EncodedPublication(room, name, orjson.dumps(entry))


def encoded_all(publications: Iterable[Publication | tuple[Any, ...]]) -> list[EncodedPublication]:
    """Encodes messages, all of them before the first is sent: an invalid one stops all.

    Raises:
        TypeError, ValueError: one is invalid; the text begins with its place.
    """
    if isinstance(publications, (str, bytes)) or not isinstance(publications, Iterable):
        raise TypeError(f"messages must be Publications or tuples, got {described(publications)}")
    found: list[EncodedPublication] = []
    for index, publication in enumerate(publications):
        if index >= MOST:
            raise ValueError(f"messages must be at most {MOST} in one call: call publish_many several times")
        if not isinstance(publication, tuple) or not 2 <= len(publication) <= len(Publication._fields):
            raise TypeError(
                f"messages[{index}] must be a Publication, or a tuple of a room and data, got {described(publication)}"
            )
        try:
            found.append(encoded(Publication(*publication)))
        except (TypeError, ValueError) as error:
            raise type(error)(f"messages[{index}]: {error}") from error
    return found


def batches_of(publications: Sequence[EncodedPublication]) -> list[list[EncodedPublication]]:
    """Splits messages into batches of at most `BATCH_MESSAGES` messages and `BATCH_BYTES` bytes. A larger message is a
    batch of its own: the server decides about it."""
    batches: list[list[EncodedPublication]] = []
    size = 0
    for publication in publications:
        size += len(publication.document) + 1
        if not batches or len(batches[-1]) >= BATCH_MESSAGES or size > BATCH_BYTES:
            batches.append([])
            size = len(publication.document) + 1
        batches[-1].append(publication)
    return batches


class EntryResult(msgspec.Struct):
    """The result of one message in the answer of a server."""

    seq: int | None = None
    epoch: str | None = None
    error: dict[str, Any] | None = None


class Results(msgspec.Struct):
    """The answer of a server to a batch."""

    results: list[EntryResult]


ID_MAX = 200
"""The most bytes of an id: the limit of the server."""

BATCH_MESSAGES = 500
"""The most messages of a batch: half of what a server takes. It handles them in a millisecond."""

BATCH_BYTES = 512 << 10
"""The most bytes of a batch: half of the default of `Config.max_message`."""

MOST = 100_000
"""The most messages of one call: they are kept in memory until all are published."""
