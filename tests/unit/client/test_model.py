"""The client against a small, honest server, with the connection cut at any frame in either direction.

Whatever happens, also where the application has no place for more at times, it sees every message of a reliable room
once and in order, or a gap at that place; every
publish is processed once; one that was given up is never processed if it had not left by then, and never answered; and
no connection is shown a token that was fetched for another.
"""

from __future__ import annotations

import itertools
import json
import os
from random import Random
from typing import Any

from helpers.model_server import ROOMS, Connection, Server
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fanwire.client import actions as do
from fanwire.client.backoff import Backoff
from fanwire.client.codec import ClientCodec
from fanwire.client.machine import Machine
from fanwire.client.message import Gap, Message
from fanwire.client.renewal import Renewal
from fanwire.state import ConnectionState

EXAMPLES = int(os.environ.get("FANWIRE_MODEL", "100"))
"""`make soak` has 2,000."""


class Model(RuleBasedStateMachine):
    """Client, network and server; the rules are what can happen next."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.server = Server()
        self.connection: Connection | None = None
        # Cut at the client's side only: the server has not noticed.
        self.ghosts: list[Connection] = []
        self.wanted: do.Connect | None = None
        self.data = itertools.count(1)
        self.got: dict[str, list[Message]] = {room: [] for room in ROOMS}
        self.begun: dict[str, int] = {}
        self.gaps: list[Gap] = []
        # Rooms for whose messages there is no place, and those that are still without them.
        self.full: set[str] = set()
        self.behind: set[str] = set()
        self.published: dict[str, int] = {}
        self.resolved: dict[str, Any] = {}
        # Publishes that nobody waits for any more, and whether they had left by then.
        self.given_up: dict[str, bool] = {}
        self.joins: dict[str, str] = {}
        # Calls of the application's function that have not returned.
        self.calls = 0
        self.renewal = Renewal(Random(0))
        backoff = Backoff(Random(0), max_attempts=None)
        self.machine = Machine(ClientCodec("json"), backoff, self.renewal, Random(0), name="c", heartbeat=1e6)

    @initialize()
    def start(self) -> None:
        self.machine.start()
        for room in ROOMS:
            self.joins[self.machine.commands.join(room)] = room
        self.perform()

    def perform(self) -> None:
        for action in self.machine.take():
            if isinstance(action, do.Send):
                assert self.connection is not None
                assert isinstance(action.frame, str)
                self.connection.to_server.append(action.frame)
            elif isinstance(action, do.Drop):
                # The one thing an honest server can be dropped for unasked: its welcome took too long.
                assert action.is_asked or action.reason == "no sign of life"
                assert self.connection is not None
                self.ghosts.append(self.connection)
                self.connection = None
            elif isinstance(action, do.Renew):
                assert self.connection is not None
                self.calls += 1
            elif isinstance(action, do.Connect):
                assert self.connection is None or self.connection in self.ghosts
                self.wanted = action
            elif isinstance(action, do.Deliver):
                assert action.message.room is not None
                assert action.message.room not in self.behind
                self.got[action.message.room].append(action.message)
            elif isinstance(action, do.Joined):
                self.begun.setdefault(action.room, self.index(action.room, action.epoch, action.seq))
            elif isinstance(action, do.CaughtUp):
                assert action.room not in self.full
                self.behind.remove(action.room)
            elif isinstance(action, do.GapFound):
                self.gaps.append(action.gap)
            elif isinstance(action, do.ResolveCall):
                assert action.key not in self.resolved
                self.resolved[action.key] = action.value
            elif isinstance(action, do.Complained):
                assert action.error.code == "unauthorized"
            else:
                # An honest server gives no cause for anything else.
                assert isinstance(action, (do.StateChanged, do.Told)), action

    def index(self, room: str, epoch: str, seq: int) -> int:
        """Where in the ledger the numbers after this one begin."""
        ledger = self.server.ledger[room]
        for place, entry in enumerate(ledger):
            if entry.epoch == epoch and entry.seq > seq:
                return place
        return len(ledger)

    @rule(room=st.sampled_from(ROOMS))
    def publish(self, room: str) -> None:
        data = next(self.data)
        self.published[self.machine.commands.publish(room, data)] = data
        self.perform()

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        waiting = [key for key in self.published if key not in self.resolved and key not in self.given_up]
        if not waiting:
            return
        key = data.draw(st.sampled_from(waiting))
        connections = [connection for connection in (self.connection, *self.ghosts) if connection is not None]
        under_way = any(json.loads(frame).get("id") == key for way in connections for frame in way.to_server)
        self.given_up[key] = under_way or key in self.server.seen
        self.machine.commands.withdraw(key)
        self.perform()

    @rule(room=st.sampled_from(ROOMS), count=st.integers(1, 4), is_excluded=st.sampled_from([False, False, True]))
    def others_publish(self, room: str, count: int, is_excluded: bool) -> None:
        for _ in range(count):
            self.server.publish(room, next(self.data), is_excluded=is_excluded)

    @rule(room=st.sampled_from(ROOMS))
    def the_application_has_no_place(self, room: str) -> None:
        if room in self.begun and room not in self.behind:
            self.machine.commands.fall_behind(room)
            self.full.add(room)
            self.behind.add(room)

    @precondition(lambda self: self.full)
    @rule(data=st.data())
    def the_application_has_place(self, data: st.DataObject) -> None:
        self.has_place(data.draw(st.sampled_from(sorted(self.full))))

    def has_place(self, room: str) -> None:
        self.full.remove(room)
        self.machine.commands.catch_up(room)
        self.perform()

    @rule()
    def server_tells(self) -> None:
        self.server.tell()

    @precondition(lambda self: self.connection is not None and self.connection.session is not None)
    @rule(kind=st.sampled_from(["token_expiring", "token_expired"]))
    def server_wants_a_token(self, kind: str) -> None:
        assert self.connection is not None
        assert self.connection.session is not None
        self.server.send(self.connection.session, {"type": kind, "payload": {}})

    @precondition(lambda self: self.connection is not None and self.connection.session is not None)
    @rule(after=st.sampled_from([0, 700]))
    def server_asks_to_come_back(self, after: int) -> None:
        assert self.connection is not None
        assert self.connection.session is not None
        payload = {"code": 4000, "reason": "", "reconnect": True, "after_ms": after}
        self.server.send(self.connection.session, {"type": "closing", "payload": payload})

    @rule(takes=st.booleans())
    def server_takes_tokens(self, takes: bool) -> None:
        self.server.takes_tokens = takes

    @precondition(lambda self: self.calls)
    @rule(has_one=st.booleans())
    def the_function_returns(self, has_one: bool) -> None:
        self.calls -= 1
        if has_one:
            token = f"t{next(self.data)}"
            if self.connection is not None:
                self.connection.tokens.add(token)
            self.machine.commands.renewed(token)
        else:
            self.machine.commands.renewal_failed(self.now)
        self.perform()

    @precondition(lambda self: self.wanted is not None)
    @rule()
    def connect(self) -> None:
        assert self.wanted is not None
        self.now += self.wanted.delay
        self.connection = Connection()
        self.server.accept(self.connection, self.wanted.query)
        self.wanted = None
        self.machine.opened(self.now)
        self.perform()

    @precondition(lambda self: self.wanted is not None)
    @rule()
    def connect_but_the_answer_is_lost(self) -> None:
        """The server has a connection of which the client never hears."""
        assert self.wanted is not None
        query, self.wanted = self.wanted.query, None
        ghost = Connection()
        self.server.accept(ghost, query)
        self.ghosts.append(ghost)
        self.machine.lost(1006, "", self.now)
        self.perform()

    @precondition(lambda self: self.connection is not None and self.connection.to_server)
    @rule(count=st.integers(1, 5))
    def server_reads(self, count: int) -> None:
        connection = self.connection
        assert connection is not None
        for _ in range(min(count, len(connection.to_server))):
            self.server.read(connection)

    @precondition(lambda self: self.connection is not None and self.connection.to_client)
    @rule(count=st.integers(1, 5))
    def client_reads(self, count: int) -> None:
        for _ in range(count):
            if self.connection is not None and self.connection.to_client:
                self.machine.received(self.connection.to_client.popleft(), self.now)
                self.perform()

    @precondition(lambda self: self.connection is not None)
    @rule(is_noticed=st.booleans())
    def cut(self, is_noticed: bool) -> None:
        connection, self.connection = self.connection, None
        assert connection is not None
        if is_noticed:
            self.server.park(connection)
        else:
            self.ghosts.append(connection)
        self.machine.lost(1006, "", self.now)
        self.perform()

    @precondition(lambda self: self.ghosts)
    @rule()
    def server_reads_what_was_under_way(self) -> None:
        ghost = self.ghosts[0]
        if ghost.to_server:
            self.server.read(ghost)
        else:
            self.server.park(self.ghosts.pop(0))

    @precondition(lambda self: self.connection is None)
    @rule()
    def sessions_expire(self) -> None:
        for name in list(self.server.sessions):
            self.server.expire(name)

    @precondition(lambda self: self.connection is None)
    @rule()
    def server_starts_again(self) -> None:
        self.server.forget_everything()

    @rule(seconds=st.sampled_from([0.1, 0.6, 1.1]))
    def wait(self, seconds: float) -> None:
        if self.connection is not None and self.has_asked():
            # What was asked for comes within the grace, or is said not to come.
            self.server.tell()
            self.client_reads(len(self.connection.to_client))
        self.now += seconds
        self.machine.tick(self.now)
        self.perform()

    def has_asked(self) -> bool:
        """Whether the client has joined a room again for what it misses, and the server has answered."""
        rooms = [room._positions for room in self.machine.rooms._registry if room._positions is not None]
        return any(gap.is_asked for positions in rooms for gap in positions._missing)

    @invariant()
    def every_message_once_and_in_order_or_a_gap(self) -> None:
        for room in ROOMS:
            self.check(room)

    def check(self, room: str) -> None:
        expected = [entry for entry in self.server.ledger[room] if not entry.is_excluded]
        places = {entry.data: place for place, entry in enumerate(expected)}
        if room not in self.begun:
            assert not self.got[room]
            return
        before = sum(not entry.is_excluded for entry in self.server.ledger[room][: self.begun[room]]) - 1
        # What has come, as far as nothing is missing that is being asked for.
        for message in self.got[room]:
            place = places[message.data]
            if message.gap is None:
                assert place == before + 1, (room, message, before)
            else:
                assert place > before
            before = place

    @invariant()
    def no_gap_without_a_cause(self) -> None:
        assert len(self.gaps) <= self.server.unrecovered
        assert all(gap.reason != "unhealed" for gap in self.gaps)

    def settle(self) -> None:
        """From here on nothing fails."""
        self.server.takes_tokens = True
        for room in sorted(self.full):
            self.has_place(room)
        for _ in range(200):
            if self.wanted is not None:
                self.connect()
            if self.renewal.deadline is not None and self.machine.state is ConnectionState.OPEN:
                self.wait(max(0.0, self.renewal.deadline - self.now))
            while self.calls:
                self.the_function_returns(True)
            connection = self.connection
            assert connection is not None
            while self.connection is connection and (connection.to_server or connection.to_client):
                self.server_reads(100) if connection.to_server else self.client_reads(100)
            self.server.tell()
            is_quiet = not connection.to_server and not connection.to_client and not self.calls
            if self.connection is connection and is_quiet and self.renewal.deadline is None:
                return
        raise AssertionError("they do not come to an end")

    def teardown(self) -> None:
        if self.wanted is None and self.connection is None:
            return
        self.settle()
        assert self.machine.state is ConnectionState.OPEN
        assert not self.behind
        for room in ROOMS:
            self.server.publish(room, next(self.data))
        self.settle()
        for room in ROOMS:
            # A new message makes every gap before it known, and nothing after it is missing.
            self.check(room)
            assert self.got[room][-1].data == self.server.ledger[room][-1].data
        assert set(self.resolved) == set(self.published).difference(self.given_up) | set(self.joins)
        processed = [entry.data for ledger in self.server.ledger.values() for entry in ledger]
        for key, data in self.published.items():
            if key in self.given_up:
                assert processed.count(data) <= self.given_up[key]
            else:
                assert processed.count(data) == 1
                assert self.resolved[key] == self.server.seen[key]
        assert not self.machine.is_full
        # Whatever was refused or failed, the last attempt has succeeded.
        assert not self.renewal.is_asked
        assert self.renewal.forget() is None


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=EXAMPLES, stateful_step_count=60, deadline=None)
