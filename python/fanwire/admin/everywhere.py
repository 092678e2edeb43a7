"""Asks the nodes of a cluster, this one included, and says which of them have not answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec

from fanwire.admin.problems import Problem
from fanwire.admin.questions import ANSWERS, OperatorQuestion
from fanwire.admin.this_node import ALONE, ThisNode, name_of

__all__ = ["Everywhere", "NodeAnswers"]


@dataclass(frozen=True)
class NodeAnswers:
    """The answers of nodes.

    Attributes:
        by_node: by the names of the nodes that have answered, in order.
        unanswered: the names of the nodes that have not.
    """

    by_node: dict[str, Any]
    unanswered: list[str]

    @property
    def who(self) -> dict[str, list[str]]:
        """The fields of `Answered`."""
        return {"nodes": list(self.by_node), "unanswered": self.unanswered}

    @property
    def values(self) -> list[Any]:
        """The answers that are not None."""
        return [answer for answer in self.by_node.values() if answer is not None]


class Everywhere:
    """Asks nodes.

    Args:
        this: the node that has got the request.
        node: the name of the only node to ask; None: all; "this": the node that has got the request.

    Raises:
        Problem: 404, there is no such node.
    """

    def __init__(self, this: ThisNode, node: str | None = None) -> None:
        self.this = this
        others = {name_of(tag): tag for tag in this.host.node.others}
        if node is None:
            self._here, self._others = True, others
        elif node in (ALONE, this.name):
            self._here, self._others = True, {}
        elif node in others:
            self._here, self._others = False, {node: others[node]}
        else:
            names = sorted([this.name, *others])
            text = f"there is no node of this name; the nodes are {', '.join(names)}"
            raise Problem(404, "unknown_node", text, "?node", nodes=names)

    async def ask(self, question: OperatorQuestion) -> NodeAnswers:
        """The answers of all of these nodes that come within `TIMEOUT` seconds."""
        packed = msgspec.msgpack.encode(question)
        asking = asyncio.ensure_future(self.this.host.node.ask_nodes(self._others.values(), packed, TIMEOUT))
        try:
            found = {self.this.name: await self.this.answer(question)} if self._here else {}
            answers = await asking
        finally:
            asking.cancel()
        unanswered = []
        for name, tag in self._others.items():
            try:
                found[name] = msgspec.msgpack.decode(answers[tag], type=ANSWERS[type(question)])
            except (KeyError, msgspec.DecodeError):  # noqa: PERF203 - none, or one of another version
                unanswered.append(name)
        return NodeAnswers(dict(sorted(found.items())), sorted(unanswered))


TIMEOUT = 2.0
"""Seconds for the answers of other nodes. NATS needs a millisecond, a long list some hundred, and a dead node is
counted as one for six seconds."""
