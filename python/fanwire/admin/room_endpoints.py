"""Endpoints about rooms: lists, rules, members, presence, histories, newest values, and removing."""

from __future__ import annotations

import base64
import logging
from datetime import datetime, timezone
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from fanwire.admin.connection_endpoints import connections_page, find_connection, number_of
from fanwire.admin.cursors import cursor_of, place_of
from fanwire.admin.documents import (
    ConnectionPage,
    Done,
    Forgotten,
    History,
    KeptEntry,
    PresencePage,
    PresentMember,
    RoomDetail,
    RoomPage,
    RoomSummary,
    ValueEntry,
    Values,
)
from fanwire.admin.endpoints import AdminCall, Endpoint, ListQuery, NodeQuery, NoQuery, PageQuery
from fanwire.admin.everywhere import Everywhere
from fanwire.admin.merging import Part, merged
from fanwire.admin.node_rooms import MAX_BYTES, rule_of
from fanwire.admin.problems import Problem
from fanwire.admin.questions import (
    ConnectionsQuestion,
    RemoveMember,
    RoomCountsQuestion,
    RoomQuestion,
    RoomsQuestion,
    ValueParts,
    ValuesQuestion,
)
from fanwire.admin.scan import first_of
from fanwire.cluster.node_message import NodeMessage, unpack
from fanwire.values.arguments import check_room

__all__ = ["ENDPOINTS"]

logger = logging.getLogger("fanwire.admin")

AfterParameter = Annotated[
    str, Meta(max_length=100, description="Reads after this place, `EPOCH:SEQ`; without it, the newest messages.")
]


class RoomsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the list of rooms."""

    pattern: Annotated[str, Meta(max_length=255, description="Of the names; `*`: any characters.")] | None = None
    sort: Annotated[
        Literal["name", "members"],
        Meta(description="By name, or the rooms with the most members first: the 1,000 largest of each node."),
    ] = "name"


class HistoryQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a history."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="Messages at most; together at most 1 MiB.")] = 100
    after: AfterParameter | None = None


class RemoveBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is removed from a room: a subject with all of its connections, or one connection."""

    subject: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    connection: Annotated[str, Meta(min_length=1, max_length=100, description="Its id.")] | None = None
    reason: Annotated[str, Meta(max_length=123, description="Sent to the clients.")] = ""


class ForgetBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which value is forgotten."""

    key: Annotated[str, Meta(max_length=65_535)]


async def rooms(call: AdminCall) -> RoomPage:
    query: RoomsQuery = call.query
    if query.sort == "members":
        return await _largest(call, query)
    place = place_of("rooms", query.cursor, tuple[str])
    after = None if place is None else place[0]
    answers = await call.ask(RoomsQuestion(query.pattern, "name", after, query.limit))
    parts = [Part(answer.rooms, answer.more) for answer in answers.values]
    found, more = merged(parts, lambda room: room.name, query.limit, _both)
    return RoomPage(
        rooms=found,
        count=sum(answer.count for answer in answers.values),
        next=cursor_of("rooms", found[-1].name) if more and found else None,
        **answers.who,
    )


async def _largest(call: AdminCall, query: RoomsQuery) -> RoomPage:
    """The rooms with the most members. A room that is large only over all nodes together is found if it is among the
    largest of one of them."""
    place = place_of("largest", query.cursor, tuple[int, str])
    everywhere = Everywhere(call.this, query.node)
    answers = await everywhere.ask(RoomsQuestion(query.pattern, "members", None, CANDIDATES))
    names = sorted({room.name for answer in answers.values for room in answer.rooms})
    totals = dict.fromkeys(names, 0)
    counted = answers
    if len(answers.by_node) == 1:
        totals = {room.name: room.members for answer in answers.values for room in answer.rooms}
    else:
        counted = await everywhere.ask(RoomCountsQuestion(names))
        for counts in counted.values:
            for name, count in zip(names, counts, strict=True):
                totals[name] += count
    ranked = sorted((-count, name) for name, count in totals.items())
    if place is not None:
        ranked = [entry for entry in ranked if entry > place]
    page = ranked[: query.limit]
    return RoomPage(
        rooms=[RoomSummary(name=name, members=-count) for count, name in page],
        count=sum(answer.count for answer in answers.values),
        next=cursor_of("largest", *page[-1]) if len(ranked) > len(page) else None,
        nodes=list(counted.by_node),
        unanswered=sorted({*answers.unanswered, *counted.unanswered}),
    )


async def room(call: AdminCall) -> RoomDetail:
    name = room_name(call)
    answers = await call.ask(RoomQuestion(name))
    policy = call.this.policies.of(name)
    if not answers.values and policy.history == 0:
        text = f"no node that has answered has a room {name!r}: it has no members, messages or values"
        raise Problem(404, "unknown_room", text, "/room", nodes=answers.unanswered or None)
    members = sum(answer.members for answer in answers.values)
    return RoomDetail(name=name, rule=rule_of(policy), members=members, at=answers.values, **answers.who)


async def members(call: AdminCall) -> ConnectionPage:
    query: PageQuery = call.query
    return await connections_page(call, ConnectionsQuestion(room=room_name(call)), "members", query)


async def presence(call: AdminCall) -> PresencePage:
    query: ListQuery = call.query
    name, host = room_name(call), call.this.host
    policy = call.this.policies.of(name)
    if not policy.presence:
        raise Problem(404, "no_presence", f"room {name!r} has no presence: its rule has no presence=True", "/room")
    place = place_of("presence", query.cursor, tuple[str])
    prepared = host.node.prepare(policy, name)
    if prepared is not None:
        await prepared
    present = host.registry.memberships.present(name)
    after = None if place is None else place[0]
    found = await first_of(list(present.items()), lambda one: True, lambda one: one[0], query.limit, after)
    return PresencePage(
        members=[PresentMember(id=name, info=info) for name, info in found.items],
        count=found.matching,
        next=cursor_of("presence", found.items[-1][0]) if found.more and found.items else None,
    )


async def history(call: AdminCall) -> History:
    query: HistoryQuery = call.query
    name = room_name(call)
    policy = call.this.policies.of(name)
    if policy.history == 0:
        raise Problem(404, "no_history", f"room {name!r} keeps no history: its rule has no history=...", "/room")
    after = None if query.after is None else _position(query.after)
    epoch, found = await call.this.host.node.history(policy, name, after, query.limit)
    entries: list[KeptEntry] = []
    size = 0
    # The newest page is cut at its beginning, the others at their end.
    for seq, data in found if after is not None else reversed(found):
        size += len(data)
        if entries and size > MAX_BYTES:
            break
        try:
            message = unpack(data)
        except ValueError as error:
            # The others are right.
            call.this.host.node.note("malformed", f"{error} (room {name!r}, message {seq})")
            continue
        payload = {} if message.forgotten_us is not None else _payload_of(message)
        entries.append(
            KeptEntry(
                epoch=epoch,
                seq=seq,
                time=_time_of(message.ts_ms),
                key=message.key,
                forgotten=message.forgotten_us is not None,
                **{"payload": None, **payload},
            )
        )
    if after is None:
        entries.reverse()
    return History(messages=entries, next=f"{epoch}:{entries[-1].seq}" if entries else None)


async def values(call: AdminCall) -> Values:
    query: PageQuery = call.query
    name = room_name(call)
    place = place_of("values", query.cursor, tuple[str])
    answers = await call.ask(ValuesQuestion(name, None if place is None else place[0], query.limit))
    parts = [Part(answer.values, answer.more) for answer in answers.values]
    found: list[ValueParts]
    found, more = merged(parts, lambda value: value.key, query.limit, _newer)
    return Values(
        values=[
            ValueEntry(key=value.key, time=_time_of(value.ts_ms), **_payload_of(unpack(value.message)))
            for value in found
        ],
        count=max((answer.count for answer in answers.values), default=0),
        next=cursor_of("values", found[-1].key) if more and found else None,
        **answers.who,
    )


async def remove(call: AdminCall) -> Done:
    body: RemoveBody = call.body
    name = room_name(call)
    if (body.subject is None) == (body.connection is None):
        raise Problem(400, "bad_body", "give either subject or connection", "$")
    if body.connection is not None:
        connection = await find_connection(call, body.connection)
        done = await Everywhere(call.this, connection.node).ask(RemoveMember(number_of(connection), name, body.reason))
        count, who = sum(done.values), {"nodes": list(done.by_node), "unanswered": done.unanswered}
    else:
        assert body.subject is not None  # noqa: S101 - one of the two is given
        answers = await Everywhere(call.this).ask(ConnectionsQuestion(user=body.subject, room=name))
        count, who = sum(answer.count for answer in answers.values), answers.who
        host = call.this.host
        host.registry.revocation.remove(name, body.subject, body.reason)
        # A node that is cut off does it when it is back.
        host.node.revoke("remove", body.subject, body.reason, name)
    logger.info("key %s removes %r from room %r", call.holder.name, body.subject or body.connection, name)
    return Done(connections=count, **who)


async def forget(call: AdminCall) -> Forgotten:
    body: ForgetBody = call.body
    name = room_name(call)
    was_there = call.this.host.node.forget(name, body.key)
    logger.info("key %s forgets key %r of room %r", call.holder.name, body.key, name)
    return Forgotten(was_here=was_there)


def room_name(call: AdminCall) -> str:
    """The room in the path.

    Raises:
        Problem: 400, it cannot be a room's name.
    """
    try:
        return check_room(call.path["room"])
    except ValueError as error:
        raise Problem(400, "bad_room", str(error), "/room") from None


def _both(one: RoomSummary, other: RoomSummary) -> RoomSummary:
    return RoomSummary(name=one.name, members=one.members + other.members)


def _newer(one: ValueParts, other: ValueParts) -> ValueParts:
    return other if other.ts_ms > one.ts_ms else one


def _position(text: str) -> tuple[str, int]:
    epoch, separator, number = text.rpartition(":")
    if not separator or not number.isascii() or not number.isdecimal() or len(number) > LONGEST_NUMBER:
        raise Problem(400, "bad_query", "after must be EPOCH:SEQ, such as the `next` of another page", "?after")
    return epoch, int(number)


def _payload_of(message: NodeMessage) -> dict[str, Any]:
    """The fields `payload` and `encoding` of a message."""
    if message.json:
        assert isinstance(message.payload, bytes)  # noqa: S101 - an unpacked document is bytes
        return {"payload": msgspec.Raw(message.payload)}
    if isinstance(message.payload, str):
        return {"payload": message.payload}
    return {"payload": base64.b64encode(message.payload).decode(), "encoding": "base64"}


def _time_of(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, timezone.utc)


CANDIDATES = 1000
"""The largest rooms of each node among which the largest of the cluster are found."""

LONGEST_NUMBER = 18
"""Digits of a sequence number: more do not fit into the 64 bits that it has."""

ENDPOINTS = (
    Endpoint("GET", "/rooms", "read", "Lists rooms, with their members.", rooms, RoomPage, RoomsQuery),
    Endpoint(
        "GET", "/rooms/{room}", "read", "Describes a room: its rule, and its members and position at each node.", room,
        RoomDetail, NodeQuery, statuses=(404,),
    ),
    Endpoint(
        "GET", "/rooms/{room}/members", "read", "Lists the connections that are members of a room.", members,
        ConnectionPage, PageQuery,
    ),
    Endpoint(
        "GET", "/rooms/{room}/presence", "read", "Lists the members of a room with presence, as clients see them.",
        presence, PresencePage, ListQuery, statuses=(404,),
    ),
    Endpoint(
        "GET", "/rooms/{room}/history", "read", "Reads the messages that a room keeps, oldest first.", history, History,
        HistoryQuery, statuses=(404,),
    ),
    Endpoint("GET", "/rooms/{room}/values", "read", "Lists the newest values of a room.", values, Values, PageQuery),
    Endpoint(
        "POST", "/rooms/{room}/remove", "manage", "Removes a user or a connection from a room.", remove, Done, NoQuery,
        RemoveBody, statuses=(404, 409),
    ),
    Endpoint(
        "POST", "/rooms/{room}/forget", "manage", "Removes the newest value of a key on all nodes.", forget, Forgotten,
        NoQuery, ForgetBody,
    ),
)  # fmt: skip
"""The endpoints about rooms."""
