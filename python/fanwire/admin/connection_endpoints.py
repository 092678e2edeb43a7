"""Endpoints about connections, sessions and users: lists, details, disconnecting and revoking."""

from __future__ import annotations

import logging
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from fanwire.admin.cursors import cursor_of, place_of
from fanwire.admin.documents import (
    ConnectionDetail,
    ConnectionPage,
    ConnectionSummary,
    Done,
    State,
    UserPage,
    UserSummary,
)
from fanwire.admin.endpoints import AdminCall, Endpoint, NodeQuery, NoQuery, PageQuery
from fanwire.admin.everywhere import Everywhere, NodeAnswers
from fanwire.admin.merging import Part, merged
from fanwire.admin.node_connections import is_network
from fanwire.admin.problems import Problem
from fanwire.admin.questions import (
    CloseConnection,
    ConnectionQuestion,
    ConnectionsQuestion,
    RevokeSession,
    UsersQuestion,
)
from fanwire.codes import is_valid

__all__ = ["ENDPOINTS", "connections_page", "find_connection", "number_of"]

logger = logging.getLogger("fanwire.admin")

SubjectPattern = Annotated[
    str, Meta(max_length=1000, description="The subject of the identity; `*` stands for any characters.")
]
AddressParameter = Annotated[
    str, Meta(max_length=50, description="Of the client: an address, or a network such as 10.0.0.0/8.")
]


class ConnectionsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The filters of the lists of connections and sessions. A connection matches if all that are given match.

    `via` is the transport. It is not named so: a request with a parameter `transport` opens a link.
    """

    subject: SubjectPattern | None = None
    address: AddressParameter | None = None
    via: Literal["websocket", "sse", "long-poll"] | None = None
    state: State | None = None
    room: Annotated[str, Meta(min_length=1, max_length=255, description="It is a member of this room.")] | None = None


class UsersQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the list of users."""

    pattern: SubjectPattern | None = None


class ReasonBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a client is disconnected."""

    reason: Annotated[str, Meta(max_length=123, description="Sent to the client; at most 123 bytes of UTF-8.")] = ""


class DisconnectBody(ReasonBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a connection is closed."""

    code: Annotated[
        int,
        Meta(
            ge=1000, le=4999, description="The close code: 1000 to 1003, 1007 to 1014 or 3000 to 4999. After 4000 to "
            "4499 the client reconnects with a new session.",
        ),
    ] = 1000  # fmt: skip


async def connections(call: AdminCall) -> ConnectionPage:
    return await _filtered(call, "connections", sessions=False)


async def sessions(call: AdminCall) -> ConnectionPage:
    return await _filtered(call, "sessions", sessions=True)


async def connection(call: AdminCall) -> ConnectionDetail:
    return await find_connection(call, call.path["connection"])


async def session(call: AdminCall) -> ConnectionDetail:
    return await _find_session(call, call.path["session"])


async def disconnect(call: AdminCall) -> Done:
    body: DisconnectBody = call.body
    if not is_valid(body.code):
        raise Problem(400, "bad_body", "code must be 1000 to 1003, 1007 to 1014 or 3000 to 4999", "$.code")
    found = await find_connection(call, call.path["connection"])
    logger.info("key %s disconnects %s with %d %r", call.holder.name, found.id, body.code, body.reason)
    return await _act(call, found, CloseConnection(number_of(found), body.code, body.reason))


async def revoke(call: AdminCall) -> Done:
    body: ReasonBody = call.body
    found = await _find_session(call, call.path["session"])
    logger.info("key %s revokes the session of %s: %r", call.holder.name, found.id, body.reason)
    return await _act(call, found, RevokeSession(number_of(found), body.reason))


async def users(call: AdminCall) -> UserPage:
    query: UsersQuery = call.query
    place = place_of("users", query.cursor, tuple[str])
    answers = await call.ask(UsersQuestion(query.pattern, None if place is None else place[0], query.limit))
    parts = [Part(answer.users, answer.more) for answer in answers.values]
    found, more = merged(parts, lambda user: user.subject, query.limit, _both)
    return UserPage(
        users=found,
        count=sum(answer.count for answer in answers.values),
        next=cursor_of("users", found[-1].subject) if more and found else None,
        **answers.who,
    )


async def user(call: AdminCall) -> ConnectionPage:
    query: PageQuery = call.query
    return await connections_page(call, ConnectionsQuestion(user=_subject(call)), "user", query)


async def disconnect_user(call: AdminCall) -> Done:
    body: ReasonBody = call.body
    subject, host = _subject(call), call.this.host
    answers = await Everywhere(call.this).ask(ConnectionsQuestion(user=subject))
    host.registry.revocation.disconnect_user(subject, body.reason)
    # A node that is cut off does it when it is back.
    host.node.revoke("disconnect_user", subject, body.reason)
    logger.info("key %s disconnects user %r: %r", call.holder.name, subject, body.reason)
    return Done(connections=sum(answer.count for answer in answers.values), **answers.who)


async def connections_page(
    call: AdminCall, question: ConnectionsQuestion, kind: str, query: PageQuery
) -> ConnectionPage:
    """A page of the connections that a question means, of all nodes that the query names."""
    place = place_of(kind, query.cursor, tuple[str, int])
    answers = await call.ask(msgspec.structs.replace(question, after=place, limit=query.limit))
    parts = [Part(answer.connections, answer.more) for answer in answers.values]
    found: list[ConnectionSummary]
    found, more = merged(parts, _place_of, query.limit, lambda one, other: one)
    return ConnectionPage(
        connections=found,
        count=sum(answer.count for answer in answers.values),
        next=cursor_of(kind, *_place_of(found[-1])) if more and found else None,
        **answers.who,
    )


async def find_connection(call: AdminCall, id: str) -> ConnectionDetail:
    """The connection with an id: that at its node, as the log has it, or that over all nodes, as presence has it.

    Raises:
        Problem: 400, it is no id; 404, there is no such connection; 409, several nodes have one with this id.
    """
    found = _ID.fullmatch(id)
    if found is None:
        text = "an id is a hexadecimal number such as 0x100000001, or with its node 5f3a21.100000001"
        raise Problem(400, "bad_id", text, "/connection")
    question = ConnectionQuestion(int(found["number"], 16), None)
    node = found["node"] or getattr(call.query, "node", None)
    if node is None:
        return _one_of(await Everywhere(call.this).ask(question), f"connection {id}")
    try:
        everywhere = Everywhere(call.this, node)
    except Problem:
        raise Problem(404, "unknown_connection", f"there is no connection {id}: there is no node {node}") from None
    return _one_of(await everywhere.ask(question), f"connection {id}")


async def _find_session(call: AdminCall, name: str) -> ConnectionDetail:
    if _SESSION.fullmatch(name) is not None:
        answers = await call.ask(ConnectionQuestion(None, name))
        return _one_of(answers, f"session {name}")
    found = await find_connection(call, name)
    if found.session is None:
        raise Problem(404, "unknown_session", f"connection {name} has no session; disconnect it instead")
    return found


def _one_of(answers: NodeAnswers, what: str) -> ConnectionDetail:
    found: list[ConnectionDetail] = answers.values
    if not found:
        if answers.unanswered:
            text = f"{what} is at no node that has answered; try again later"
            raise Problem(503, "unanswered", text, retry_after=1, nodes=answers.unanswered)
        code = f"unknown_{what.partition(' ')[0]}"
        raise Problem(404, code, f"there is no {what}; it may have ended, see the log")
    if len(found) > 1:
        ids = " and ".join(one.id for one in found)
        raise Problem(
            409,
            "ambiguous",
            f"several nodes have {what}: use {ids}, or the parameter node",
            nodes=[one.node for one in found],
        )
    return found[0]


async def _act(call: AdminCall, found: ConnectionDetail, question: CloseConnection | RevokeSession) -> Done:
    answers = await Everywhere(call.this, found.node).ask(question)
    return Done(connections=sum(answers.values), **answers.who)


async def _filtered(call: AdminCall, kind: str, *, sessions: bool) -> ConnectionPage:
    query: ConnectionsQuery = call.query
    if query.address is not None and not is_network(query.address):
        raise Problem(400, "bad_query", "address must be an address or a network, such as 10.0.0.0/8", "?address")
    question = ConnectionsQuestion(
        subject=query.subject, address=query.address, transport=query.via, state=query.state, room=query.room,
        sessions=sessions,
    )  # fmt: skip
    return await connections_page(call, question, kind, query)


def _subject(call: AdminCall) -> str:
    subject = call.path["subject"]
    if not subject:
        raise Problem(400, "bad_path", "subject must not be empty", "/subject")
    return subject


def number_of(found: ConnectionSummary) -> int:
    """The id of a connection at its node, as a number."""
    return int(found.log_id, 16)


def _place_of(found: ConnectionSummary) -> tuple[str, int]:
    return found.node, number_of(found)


def _both(one: UserSummary, other: UserSummary) -> UserSummary:
    return UserSummary(subject=one.subject, connections=one.connections + other.connections)


_ID = re.compile(r"(?:(?P<node>[0-9a-z]{1,16})\.)?(?:0x)?(?P<number>[0-9a-fA-F]{1,15})")
"""The id of a connection."""

_SESSION = re.compile(r"[0-9a-f]{16}")
"""The name of a session: one digit more than the longest number of a connection."""

ENDPOINTS = (
    Endpoint(
        "GET", "/connections", "read", "Lists connections, and the sessions of clients that are away.", connections,
        ConnectionPage, ConnectionsQuery,
    ),
    Endpoint(
        "GET", "/connections/{connection}", "read", "Describes a connection.", connection, ConnectionDetail, NodeQuery,
        statuses=(404, 409),
    ),
    Endpoint(
        "POST", "/connections/{connection}/disconnect", "manage",
        "Closes a connection with a code and a reason. Its session ends.", disconnect, Done, NodeQuery, DisconnectBody,
        statuses=(404, 409),
    ),
    Endpoint(
        "GET", "/sessions", "read", "Lists the connections that have sessions.", sessions, ConnectionPage,
        ConnectionsQuery,
    ),
    Endpoint(
        "GET", "/sessions/{session}", "read",
        "Describes the connection of a session, by the session's name in the log or the connection's id.", session,
        ConnectionDetail, NodeQuery, statuses=(404, 409),
    ),
    Endpoint(
        "POST", "/sessions/{session}/revoke", "manage",
        "Ends a session with code 4502, after which its client does not come back by itself.", revoke, Done, NodeQuery,
        ReasonBody, statuses=(404, 409),
    ),
    Endpoint("GET", "/users", "read", "Lists users, with their connections.", users, UserPage, UsersQuery),
    Endpoint(
        "GET", "/users/{subject}", "read", "Lists the connections of a user.", user, ConnectionPage, PageQuery,
    ),
    Endpoint(
        "POST", "/users/{subject}/disconnect", "manage",
        "Ends all connections and sessions of a user with code 4502.", disconnect_user, Done, NoQuery, ReasonBody,
    ),
)  # fmt: skip
"""The endpoints about connections, sessions and users."""
