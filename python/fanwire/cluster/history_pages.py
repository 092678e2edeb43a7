"""What clients read of the messages that a room keeps, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from inspect import isawaitable
from typing import Annotated, Any

import msgspec

from fanwire.cluster.node_message import unpack
from fanwire.connection import Connection
from fanwire.handlers.time_slices import TimeSlices
from fanwire.protocol.envelopes import Codec, Incoming, Refusal
from fanwire.protocol.session import Session
from fanwire.protocol.table import SEQ_MAX
from fanwire.rooms.authorization import Rights
from fanwire.rooms.node import Node
from fanwire.rooms.rules import RoomPolicy
from fanwire.values.encoding import packed

__all__ = ["MOST_KEPT", "QUERY", "HistoryPages", "KeptQuery"]

MOST_KEPT = 1000
"""The most messages of a page, as docs/protocol.md has it."""

KeptNumber = Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)]


class KeptQuery(msgspec.Struct):
    """The payload of `history`.

    Attributes:
        before: only messages with lower numbers; None: all.
        after: the first messages after this number; None: the newest.
        epoch: the numbering of `before` and `after`; None: that of the room, whichever it is.
        limit: the most messages.
    """

    before: KeptNumber | None = None
    after: KeptNumber | None = None
    epoch: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_KEPT)] = 100


QUERY = KeptQuery | None
"""Made once, because making and hashing such a type takes longer than reading a payload."""


class HistoryPages:
    """Answers `history`. On the loop's thread only.

    Args:
        node: has the messages.
        rights: decides what a client may read.
        slices: runs the encoding of a page.
        tell: sends a message of the protocol to a session.
        room_of: returns the room that a message names, and its policy.
    """

    def __init__(
        self,
        node: Node,
        rights: Rights,
        slices: TimeSlices,
        tell: Callable[..., None],
        room_of: Callable[[Incoming], tuple[str, RoomPolicy]],
    ) -> None:
        self._node = node
        self._rights = rights
        self._room_of = room_of
        self._slices = slices
        self._tell = tell

    async def history(self, connection: Connection, session: Session, incoming: Incoming) -> None:
        """Sends a page to a client that may have it. A page without messages is the last.

        Raises:
            Refusal: `forbidden`; `invalid_payload`: the room keeps nothing, or the numbers are of another numbering.
            Unavailable: the room's log cannot be read now.
        """
        room, policy = self._room_of(incoming)
        query = session.codec.payload(incoming, QUERY) or KeptQuery()
        granted = self._rights.granted(connection, policy, room, ("join", "history"))
        if isawaitable(granted):
            granted = await granted
        if len(granted) < 2:
            raise Refusal("forbidden", f"this client may not read the history of room {room!r}")
        if policy.history == 0:
            raise Refusal("invalid_payload", f"room {room!r} keeps no history", path="$.room")
        after = None
        if query.after is not None:
            now = query.epoch
            if now is None:
                found = self._node.epoch(policy, room)
                now = await found if isawaitable(found) else found
            after = (now or "", query.after)
        before, most = query.before, query.limit
        while True:
            epoch, kept = await self._node.history(policy, room, after, most + 1, before)
            if query.epoch is not None and query.epoch != epoch:
                raise Refusal("invalid_payload", "the numbering of the room has begun anew", path="$.epoch")
            entries, more = await self._slices.result(partial(self._entries, session.codec, room, kept, most, query))
            if entries or not more:
                break
            # Clients end at an empty page. The last of `kept` in this direction was not looked at.
            if after is not None:
                after = (epoch, kept[-2][0])
            else:
                before = kept[1][0]
            most = MOST_KEPT
        if incoming.id is not None:
            page: dict[str, Any] = {"epoch": epoch, "messages": entries, "more": more}
            raw = msgspec.Raw((msgspec.json if session.codec.is_text else msgspec.msgpack).encode(page))
            self._tell(connection, "reply", re=incoming.id, room=room, payload=raw)

    def _entries(
        self, codec: Codec, room: str, kept: Sequence[tuple[int, bytes]], most: int, query: KeptQuery
    ) -> tuple[list[msgspec.Raw], bool]:
        """Those of a page, of at most `most` messages, and whether there are more. Messages with a condition are for
        some members only, and are left out: whom they are for was decided when they were published."""
        is_forward = query.after is not None
        entries: list[msgspec.Raw] = []
        size = taken = 0
        for seq, node_message in kept if is_forward else reversed(kept):
            if taken == most or len(entries) == query.limit:
                break
            try:
                entry = _entry(codec, seq, node_message)
            except ValueError as error:
                self._node.note("malformed", f"{error} (room {room!r}, message {seq})")
                entry = None
            if entry is None:
                taken += 1
                continue
            size += len(entry)
            if entries and size > PAGE_BYTES:
                break
            taken += 1
            entries.append(msgspec.Raw(entry))
        if not is_forward:
            entries.reverse()
        return entries, taken < len(kept)


def _entry(codec: Codec, seq: int, node_message: bytes) -> bytes | None:
    """A kept message as an envelope; None: it is for some members only.

    Raises:
        ValueError: the bytes are no node message.
    """
    found = unpack(node_message)
    if found.audience is not None and "where" in msgspec.json.decode(found.audience):
        return None
    envelope: dict[str, Any] = {"type": "message", "seq": seq, "ts": found.ts_ms, "key": found.key or None}
    if found.forgotten_us is not None:
        envelope["type"] = "forgotten"
    elif found.json and isinstance(found.payload, bytes):
        envelope["payload"] = msgspec.Raw(found.payload if codec.is_text else packed(found.payload))
    else:
        envelope["payload"] = found.payload
    return codec.encode(envelope)


PAGE_BYTES = 256 << 10
"""About the bytes of a page: a quarter of what may wait for one connection by default. One message always fits."""
