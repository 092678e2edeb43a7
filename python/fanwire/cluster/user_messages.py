"""Messages to a user who may have connections at several nodes. On the loop's thread only.

Each node numbers its messages to users, and drops those of others that come twice or late.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fanwire.backplane.base import Backplane
from fanwire.cluster.faults import Faults
from fanwire.cluster.node_message import NodeMessage, pack, unpack
from fanwire.cluster.received_numbers import ReceivedNumbers
from fanwire.cluster.tasks import Tasks
from fanwire.values.encoding import from_json

__all__ = ["USER", "UserMessages"]


class UserMessages:
    """Sends messages to users at other nodes, and delivers theirs here.

    Args:
        backplane: carries the messages.
        node: the id of this node.
        max_nesting: levels of nesting that a JSON payload may have.
        tasks: runs subscribing.
        deliver: gets subject, payload, whether it is JSON, and delivery class of each message for this node.
        faults: counts and logs what fails.
    """

    def __init__(
        self,
        backplane: Backplane,
        node: int,
        max_nesting: int,
        tasks: Tasks,
        deliver: Callable[[str, bytes | str, bool, str | None], None],
        faults: Faults,
    ) -> None:
        self._backplane = backplane
        self._node = node
        self._max_nesting = max_nesting
        self._tasks = tasks
        self._deliver = deliver
        self._faults = faults
        # The users that are subscribed to: one may leave before the task of its subscription has begun.
        self._here: set[str] = set()
        self._sent = 0
        self._received = ReceivedNumbers(USERS)

    def subscribe(self, subject: str) -> None:
        """Begins to receive the messages for a user."""
        self._here.add(subject)
        self._tasks.spawn(self._hear(subject))

    def unsubscribe(self, subject: str) -> None:
        """Ends that. From any thread."""
        self._here.discard(subject)
        self._backplane.unhear(USER + subject)
        self._tasks.on_loop(self._received.forget, subject)

    async def _hear(self, subject: str) -> None:
        if subject in self._here:
            await self._backplane.hear(USER + subject)

    def send(self, subject: str, message: NodeMessage) -> None:
        """Sends a message to a user's connections at other nodes."""
        # On the loop: numbers leave in order.
        self._sent += 1
        message = message._replace(ts_ms=time.time_ns() // 1_000_000, origin=self._node, number=self._sent)
        if not self._backplane.send(USER + subject, pack(message)):
            self._faults.note("unsent", f"to user {subject!r}")

    def heard(self, subject: str, data: bytes) -> None:
        """Delivers a message of another node. One that cannot be read, or has come before, is counted and dropped."""
        try:
            message = unpack(data)
            if not self._received.is_new(subject, message.origin, message.number):
                self._faults.note("late", f"to user {subject!r}")
                return
            if isinstance(message.payload, bytes) and message.json:
                from_json(message.payload, self._max_nesting)
        except ValueError as error:
            self._faults.note("malformed", f"{error} (to user {subject!r})")
        else:
            self._deliver(subject, message.payload, message.json, message.delivery)


USER = "u"
"""The first character of the backplane's names for messages to users."""

USERS = 100_000
"""Users whose last message numbers are remembered, by node: about 200 bytes each."""
