"""Who may do what in which room: rules and the application's answers, over real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.serving import Book
from helpers.talk import Talk
from helpers.wait import until

import fanwire


class Answers:
    """An `authorize` that answers by a list, and notes what it was asked."""

    def __init__(self, *allowed: str, slow: bool = False) -> None:
        self.allowed = set(allowed)
        self.asked: list[tuple[str, str, str]] = []
        self.slow = slow

    def __call__(self, identity: Any, action: str, room: str) -> Any:
        self.asked.append((identity.subject, action, room))
        answer = f"{action} {room}" in self.allowed
        return self._later(answer) if self.slow else answer

    async def _later(self, answer: bool) -> bool:
        await asyncio.sleep(0.01)
        return answer


def authenticate(request: fanwire.Request) -> fanwire.Identity:
    subject, *scopes = (request.query_token or "alice").split(" ")
    return fanwire.Identity(subject=subject, scopes=frozenset(scopes))


def book(authorize: Any = None) -> Book:
    return Book(authenticate=authenticate, authorize=authorize)


async def code(talk: Talk, kind: str, room: str, **fields: Any) -> str:
    """The code of the error, or the type of the answer."""
    answer = await talk.ask(kind, room=room, **fields)
    return answer["payload"]["code"] if answer["type"] == "error" else answer["type"]


@pytest.mark.parametrize("slow", [False, True])
async def test_the_application_decides_and_is_asked_once(slow: bool) -> None:
    authorize = Answers("join a", "publish a", slow=slow)
    server = book(authorize)
    server.room("*")
    async with server, await Talk.open(server) as talk:
        for _ in range(3):
            assert await code(talk, "join", "a") == "joined"
            assert await code(talk, "join", "b") == "forbidden"
            answer = await talk.ask("publish", room="b", payload=1)
            assert answer["payload"]["code"] == "forbidden"
        await talk.say("publish", room="a", payload=1)
        assert {(await talk.hear())["type"] for _ in range(2)} == {"message", "reply"}
        assert authorize.asked == [
            ("alice", "join", "a"), ("alice", "join", "b"), ("alice", "publish", "b"), ("alice", "publish", "a"),
        ]  # fmt: skip
        # A refusal is an answer, not an end.
        assert not server.closed


@pytest.mark.parametrize("slow", [False, True])
async def test_a_right_that_is_withdrawn_ends_the_membership(slow: bool) -> None:
    authorize = Answers("join a", "join b", slow=slow)
    server = book(authorize)
    server.room("*", history=10)
    async with server, await Talk.open(server) as talk:
        await talk.ask("join", room="a")
        await talk.ask("join", room="b")
        server.opened[0].join("own")
        await talk.hear("joined")
        authorize.allowed.discard("join a")
        await asyncio.to_thread(server.reauthorize, "bob")
        await asyncio.to_thread(server.reauthorize, "alice")
        left = await talk.hear("left")
        assert (left["room"], left["payload"], left.get("re")) == ("a", {"reason": "forbidden"}, None)
        # What the application has joined it to is the application's.
        assert server.opened[0].rooms == {"b", "own"}
        server.publish("a", 1)
        server.publish("b", 2)
        assert (await talk.hear("message"))["payload"] == 2
        assert await code(talk, "join", "a") == "forbidden"
        authorize.allowed.clear()
        server.reauthorize()
        assert (await talk.hear("left"))["room"] == "b"


async def test_a_right_that_was_withdrawn_while_away() -> None:
    authorize = Answers("join a")
    server = book(authorize)
    server.room("*")
    async with server, await Talk.open(server) as talk:
        await talk.ask("join", room="a")
        talk.cut()
        await until(lambda: server.connections[0].is_reconnecting)
        authorize.allowed.clear()
        server.reauthorize()
        await until(lambda: not server.count("a"))
        server.publish("a", "secret")
        async with await Talk.open(server, after=talk) as again:
            assert again.welcome["resumed"]
            assert (await again.hear("left"))["room"] == "a"
            assert await code(again, "join", "a") == "forbidden"


@pytest.mark.logs_errors
@pytest.mark.parametrize("slow", [False, True])
async def test_an_application_that_fails_lets_nobody_in(slow: bool) -> None:
    def authorize(identity: Any, action: str, room: str) -> Any:
        if not slow:
            raise RuntimeError("secret detail")

        async def fail() -> bool:
            raise RuntimeError("secret detail")

        return fail()

    server = book(authorize)
    server.room("*")
    async with server, await Talk.open(server) as talk:
        answer = await talk.ask("join", room="a")
        assert answer["payload"]["code"] == "internal"
        assert "secret" not in str(answer)
        assert not server.opened[0].rooms


@pytest.mark.parametrize(
    ("rule", "token", "allowed"),
    [
        (True, "", True),
        (False, "alice", False),
        ("identified", "alice", True),
        ("scope:write", "alice write", True),
        ("scope:write", "alice writer", False),
        ("subject", "alice", True),
        ("subject", "bob", False),
        ("subject", "alic", False),
    ],
)
async def test_rules(rule: Any, token: str, allowed: bool) -> None:
    server = book()
    server.room("of.*.inbox", join=rule, publish=rule)
    path = f"/?token={token.replace(' ', '%20')}" if token else "/"
    async with server, await Talk.open(server, path) as talk:
        assert (await code(talk, "publish", "of.alice.inbox", payload=1) != "forbidden") is allowed
        assert (await code(talk, "join", "of.alice.inbox") == "joined") is allowed


@pytest.mark.parametrize("rule", ["", "everybody", "scope:", "subject:x"])
def test_what_is_no_rule(rule: str) -> None:
    with pytest.raises(ValueError, match="a rule must be"):
        book().room("a.*", join=rule)


def test_the_rule_of_subjects_needs_a_place_for_them() -> None:
    for pattern in ("a", "*.*"):
        with pytest.raises(ValueError, match="one `\\*`"):
            book().room(pattern, join="subject")


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("raised", [False, True])
async def test_a_refusal_is_a_no_however_it_is_said(slow: bool, raised: bool) -> None:
    def authorize(identity: Any, action: str, room: str) -> Any:
        async def later() -> fanwire.Refused:
            return say()

        return later() if slow else say()

    def say() -> fanwire.Refused:
        if raised:
            raise fanwire.Refused(403, "no")
        return fanwire.Refused(403, "no")

    server = book(authorize)
    server.room("*")
    async with server, await Talk.open(server) as talk:
        assert await code(talk, "join", "a") == "forbidden"


async def test_rules_and_application_both_have_to_allow_it() -> None:
    server = book(Answers("join a", "join b"))
    server.room("a", join=False)
    server.room("b", join=True)
    server.room("c", join=True)
    async with server, await Talk.open(server) as talk:
        assert [await code(talk, "join", room) for room in "abcd"] == ["forbidden", "joined", "forbidden", "forbidden"]


async def test_history_and_members_have_rights_of_their_own() -> None:
    server = book(Answers("join a"))
    server.room("a", history=10, presence=True)
    async with server, await Talk.open(server) as talk, await Talk.open(server, "/?token=bob") as other:
        await talk.ask("join", room="a")
        epoch = server._engine.position("a")[0]
        for number in range(3):
            server.publish("a", number)
        await talk.seqs(3)
        joined = await other.ask("join", room="a", payload={"since": {"epoch": epoch, "seq": 1}})
        payload = joined["payload"]
        assert (payload["recovered"], payload["reason"]) == (False, "forbidden")
        assert "members" not in payload
        assert "count" not in payload
        assert await code(other, "presence", "a") == "forbidden"
        # Nobody is told who comes and goes.
        async with await Talk.open(server, "/?token=carol") as third:
            await third.ask("join", room="a")
        server.publish("a", "next")
        assert (await talk.hear())["payload"] == (await other.hear())["payload"] == "next"


async def test_those_who_may_see_members_are_told_of_those_who_may_not() -> None:
    server = book()
    server.room("a", presence=True, see_members="scope:see")
    async with server, await Talk.open(server, "/?token=alice%20see") as seer:
        assert (await seer.ask("join", room="a"))["payload"]["count"] == 1
        async with await Talk.open(server, "/?token=bob") as blind:
            assert "count" not in (await blind.ask("join", room="a"))["payload"]
            await seer.hear("member_joined")
            assert (await seer.ask("presence", room="a"))["payload"]["count"] == 2
            await blind.close()
        await seer.hear("member_left")
        server.publish("a", 1)
        await seer.hear("message")


async def test_an_application_may_ask_for_itself() -> None:
    server = book(Answers("join a", slow=True))
    server.room("*")
    async with server, await Talk.open(server):
        await until(lambda: server.opened)
        assert await server.opened[0].may("join", "a")
        assert not await server.opened[0].may("publish", "a")


async def test_a_right_that_is_withdrawn_while_it_is_asked_for() -> None:
    asked: list[asyncio.Future[bool]] = []

    async def authorize(identity: Any, action: str, room: str) -> bool:
        answer = asyncio.get_running_loop().create_future()
        asked.append(answer)
        return bool(await answer)

    server = book(authorize)
    server.room("*")
    async with server, await Talk.open(server) as talk:
        await talk.say("join", room="a")
        await until(lambda: len(asked) == 1)
        server.reauthorize("alice")
        asked[0].set_result(True)
        # That was said before; now it is asked again.
        await until(lambda: len(asked) == 2)
        asked[1].set_result(False)
        assert (await talk.hear("error"))["payload"]["code"] == "forbidden"
        assert not server.opened[0].rooms


@pytest.mark.parametrize("room", ["a", "*"])
@pytest.mark.parametrize("end", ["reauthorize", "remove"])
async def test_a_right_that_is_withdrawn_before_the_client_is_in(end: str, room: str) -> None:
    begun: list[asyncio.Event] = []

    async def snapshot(room: str) -> fanwire.Snapshot:
        begun.append(asyncio.Event())
        await begun[-1].wait()
        return fanwire.Snapshot("secret", 0)

    authorize = Answers("join a")
    server = book(authorize)
    server.room("*", history=10, snapshot=snapshot)
    async with server, await Talk.open(server) as talk:
        server.publish("a", 1)
        await talk.say("join", room=room)
        await until(lambda: begun)
        authorize.allowed.clear()
        if end == "remove":
            server.remove("a", "alice")
        else:
            server.reauthorize("alice")
        begun[0].set()
        answer = await talk.hear()
        if room == "*":
            assert answer["payload"] == {"rooms": []}
        else:
            assert answer["payload"]["code"] == "forbidden"
        assert not server.opened[0].rooms
        # A right that has not ended is asked for again, and the client is let in.
        authorize.allowed.add("join a")
        server.reauthorize("alice")
        await talk.say("join", room="a")
        await until(lambda: len(begun) == 2)
        server.reauthorize("alice")
        begun[1].set()
        await until(lambda: len(begun) == 3 or server.opened[0].rooms)
        begun[-1].set()
        assert (await talk.hear("joined"))["room"] == "a"
