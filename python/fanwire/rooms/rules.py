"""The policies of rooms: what they allow and what they keep, by patterns of names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from fanwire.identity.identity import scopes_of, subject_of
from fanwire.protocol.table import KEYED
from fanwire.values.checks import check_function, described

if TYPE_CHECKING:
    from fanwire.connection import Connection

__all__ = ["CLOSED", "MOST_TICKS", "Matcher", "Policies", "RoomPolicy", "Rule", "Snapshot", "matcher", "parse_rule"]


class Snapshot(NamedTuple):
    """The state of a room at one of its messages.

    Attributes:
        data: the state, any value of docs/values.md.
        seq: the sequence number of the last message that the state includes, as `publish` returned it.
    """

    data: Any
    seq: int


Rule = bool | str | Callable[["Connection", str], bool] | None
"""A rule for the rooms of a pattern: True, all clients; False, no client; "identified", clients with an identity;
"scope:NAME", clients whose identity has the scope; "subject", the client whose subject is the part of the room's name
that stands for the `*` of the pattern; or a function of a connection and a room's name. None: `authorize` decides."""

Matcher = Callable[[str], bool]
"""Whether a name of a room matches a pattern."""

Check = bool | Callable[..., bool] | None

MOST_TICKS = 1000
"""The most edges of a tick in a second: threads that sleep are up to a tenth of a millisecond late."""


class RoomPolicy(NamedTuple):
    """The policy of the rooms of one pattern; `Server.room` describes the fields."""

    pattern: str
    delivery: str = "reliable"
    max_keys: int = 100_000
    max_members: int = 1_000_000
    history: int = 0
    history_bytes: int = 16 << 20
    history_age: float = 300.0
    join: Check = None
    publish: Check = None
    presence: bool = False
    schema: Any = None
    snapshot: Callable[[str], Snapshot | Awaitable[Snapshot]] | None = None
    see_members: Check = None
    see_history: Check = None
    when_away: str = "wait"
    compress: bool = False
    priority: str = "normal"
    tick: int = 0
    interest: bool = False
    delta: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether a join needs nothing of the host: no snapshot, no newest values, no presence."""
        return self.snapshot is None and not self.has_keys and not self.presence

    @property
    def has_keys(self) -> bool:
        """Whether the room keeps the newest value of each key."""
        return self.delivery in KEYED

    def check_shared(self) -> None:
        """Checks a policy of a server with a backplane.

        Raises:
            ValueError: the rooms have a history and a tick. The log numbers each message when it is stored.
        """
        if self.tick and self.history:
            raise ValueError(
                f"rooms {self.pattern!r} have a tick, and a history that the backplane stores: take one of the two away"
            )

    def rule(self, action: str) -> Check:
        """The rule for an action, one of `authorization.ACTIONS`."""
        if action == "join":
            return self.join
        if action == "publish":
            return self.publish
        return self.see_members if action == "presence" else self.see_history


CLOSED = RoomPolicy("*", join=False, publish=False, see_members=False, see_history=False)
"""The policy of rooms that match no pattern: the application may use them, clients may not."""


class Policies:
    """The policies of a server. The first pattern that matches wins. Iterating gives those of the application."""

    def __init__(self) -> None:
        self._policies: list[tuple[Matcher, RoomPolicy]] = []
        self._reserved: dict[str, RoomPolicy] = {}
        # Bounded: the names of rooms come from clients.
        self.of = lru_cache(maxsize=4096)(self._find)

    def __iter__(self) -> Any:
        return iter(policy for _, policy in self._policies)

    def add(self, policy: RoomPolicy) -> None:
        """Adds a policy after the others."""
        self._policies.append((matcher(policy.pattern), policy))
        self.of.cache_clear()

    def reserve(self, policy: RoomPolicy) -> None:
        """Sets the policy of a room of the server itself, by its name. No pattern of the application matches it."""
        self._reserved[policy.pattern] = policy
        self.of.cache_clear()

    def _find(self, room: str) -> RoomPolicy:
        if room in self._reserved:
            return self._reserved[room]
        return next((policy for matches, policy in self._policies if matches(room)), CLOSED)


def matcher(pattern: str) -> Matcher:
    """Returns the function that tells whether a room's name matches a pattern, in which `*` stands for any characters.

    Clients may choose the pattern and the name. The function looks for one part after the other and never goes back. A
    regular expression does: with eight `*` and a name of 60 characters that takes a minute.
    """
    if "*" not in pattern:
        return pattern.__eq__
    head, *between, tail = pattern.split("*")
    parts = [part for part in between if part]
    least = len(head) + len(tail)

    def matches(name: str) -> bool:
        end = len(name) - len(tail)
        if len(name) < least or not (name.startswith(head) and name.endswith(tail)):
            return False
        begin = len(head)
        for part in parts:
            found = name.find(part, begin, end)
            if found < 0:
                return False
            begin = found + len(part)
        return True

    return matches


def parse_rule(rule: Rule, pattern: str, name: str = "a rule") -> Check:
    """Turns a rule into a bool or a function that checks it.

    Args:
        rule: the rule.
        pattern: of the rooms.
        name: of the argument, for errors.

    Raises:
        TypeError: it is not a rule, or a coroutine function, whose answer is not awaited.
        ValueError: it is an unknown text.
    """
    if rule is None or isinstance(rule, bool):
        return rule
    if not isinstance(rule, str):
        return check_function(name, rule, plain=True, takes=("connection", "room"))
    kind, _, name = rule.partition(":")
    if rule == "identified":
        return lambda connection, room: bool(subject_of(connection.identity))
    if kind == "scope" and name:
        return lambda connection, room: name in scopes_of(connection.identity)
    if rule == "subject":
        before, star, after = pattern.partition("*")
        if not star or "*" in after:
            raise ValueError(
                "the rule 'subject' needs a pattern with one `*`, which stands for the subject, "
                f"got {described(pattern)}"
            )

        def is_own(connection: Any, room: str) -> bool:
            subject = subject_of(connection.identity)
            return bool(subject) and room == f"{before}{subject}{after}"

        return is_own
    raise ValueError(
        f"a rule must be True, False, 'identified', 'subject', 'scope:NAME' or a function, got {described(rule)}"
    )
