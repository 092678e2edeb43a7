"""Asks other nodes a question of an operator, and answers theirs. Only `fanwire.admin` knows what the questions are.

Questions and answers are messages of the backplane, which carries each at most once. Nothing is sent again: a node that
does not answer in time is missing in the result, and the operator is told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from fanwire.backplane.base import Backplane
from fanwire.cluster.faults import Faults
from fanwire.cluster.heartbeats import name_of_tag
from fanwire.cluster.link_parts import ASKED, REPLIED, LinkPart, LinkParts, parts_of, unpack_part
from fanwire.cluster.tasks import Tasks
from fanwire.timing.deadline import within

__all__ = ["QUESTIONS", "NodeQuestions"]


@dataclass
class _Question:
    """A question whose answers are awaited.

    Attributes:
        left: the tags of the nodes that may still answer.
        answers: by the tags of the others.
        done: is set when no other answer can come.
    """

    left: set[str]
    answers: dict[str, bytes] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def leave_out(self, tag: str) -> None:
        """The node with a tag has answered, or will not."""
        self.left.discard(tag)
        if not self.left:
            self.done.set()


class NodeQuestions:
    """Asks and answers. On the loop's thread only.

    Args:
        backplane: carries the messages.
        tag: of this node.
        answer: answers a question about this node.
        tasks: runs the answers.
        faults: counts and logs what fails.
    """

    def __init__(
        self,
        backplane: Backplane,
        tag: str,
        answer: Callable[[bytes], Awaitable[bytes]],
        tasks: Tasks,
        faults: Faults,
    ) -> None:
        self._backplane = backplane
        self._tag = tag
        self._answer = answer
        self._tasks = tasks
        self._faults = faults
        self._asked: dict[int, _Question] = {}
        self._count = 0
        self._answering = 0
        self._parts = LinkParts(INCOMPLETE)

    async def start(self) -> None:
        """Begins to hear the other nodes.

        Raises:
            Unavailable: the backplane is away.
        """
        await self._backplane.hear(QUESTIONS + self._tag)

    async def ask(self, tags: Collection[str], question: bytes, timeout: float) -> dict[str, bytes]:
        """The answers of nodes, by tag. A node that dies, or does not answer within `timeout` seconds, is not in it."""
        if not tags:
            return {}
        if len(self._asked) >= MOST:
            self._faults.note("question", f"{MOST} questions wait for other nodes already")
            return {}
        self._count += 1
        number, asked = self._count, _Question(set(tags))
        self._asked[number] = asked
        try:
            for tag in tags:
                self._send(tag, ASKED, number, question)
            await within(asked.done.wait(), timeout)
        except asyncio.TimeoutError:
            self._faults.note("question", f"no answer of node {', '.join(map(name_of_tag, sorted(asked.left)))}")
        finally:
            del self._asked[number]
        return asked.answers

    def gone(self, tag: str) -> None:
        """The node with a tag is dead: nothing waits for its answers."""
        for asked in self._asked.values():
            asked.leave_out(tag)

    def heard(self, data: bytes) -> None:
        """Takes a message of another node. One that cannot be read is counted and dropped."""
        try:
            part = unpack_part(data)
            message = self._parts.take(part)
            if message is not None:
                self._take(part, message)
        except ValueError as error:
            self._faults.note("malformed", f"{error} (a question)")

    def _take(self, part: LinkPart, message: bytes) -> None:
        if part.kind == ASKED:
            if self._answering >= MOST:
                self._faults.note("question", f"{MOST} questions of other nodes are being answered already")
                return
            self._answering += 1
            self._tasks.spawn(self._reply(part.sender, part.id, message))
            return
        asked = self._asked.get(part.id)
        if asked is None or part.sender not in asked.left:
            # It has waited too long.
            return
        asked.answers[part.sender] = message
        asked.leave_out(part.sender)

    async def _reply(self, sender: str, id: int, question: bytes) -> None:
        try:
            self._send(sender, REPLIED, id, await self._answer(question))
        except ValueError as error:
            self._faults.note("malformed", f"{error} (a question of node {name_of_tag(sender)})")
        finally:
            self._answering -= 1

    def _send(self, tag: str, kind: int, id: int, message: bytes) -> None:
        try:
            parts = list(parts_of(kind, self._tag, id, message, self._backplane.max_bytes))
        except ValueError as error:
            self._faults.note("question", error)
            return
        for part in parts:
            self._backplane.send(QUESTIONS + tag, part)


QUESTIONS = "q"
"""The first character of the backplane's names for questions; the tag of the node follows."""

MOST = 100
"""Questions that may wait for answers, and questions of others that may be answered, at the same time. Operators and
their dashboards ask a few in a second."""

INCOMPLETE = 100
"""Messages of other nodes that may be incomplete. Most have one part."""
