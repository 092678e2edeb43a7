"""The combinations over which a scenario runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

CLIENTS = ("python", "typescript")
TRANSPORTS = ("websocket", "sse", "long-poll")
NODES = (1, 2)
CODECS = ("json", "msgpack")
STEADY, CUT, RENEW = "steady", "cut", "renew"
"""What becomes of the link in `Stage.away`: nothing; it is cut and the session resumes; the session ends, and the
client begins another one."""


@dataclass(frozen=True)
class Case:
    """One combination.

    Attributes:
        client: "python" or "typescript": the client that reads.
        transport: of this client.
        nodes: 1: the publisher and the reader are at one node, without a backplane; 2: at two nodes, over NATS.
        link: STEADY, CUT or RENEW.
        codec: of this client.
    """

    client: str
    transport: str
    nodes: int
    link: str
    codec: str

    def __str__(self) -> str:
        return f"{self.client}-{self.transport}-{self.nodes}-{self.link}-{self.codec}"


def over(
    *,
    clients: Sequence[str] = CLIENTS,
    transports: Sequence[str] = TRANSPORTS,
    nodes: Sequence[int] = NODES,
    links: Sequence[str] = (STEADY, CUT),
    codecs: Sequence[str] | None = None,
) -> pytest.MarkDecorator:
    """Runs a scenario over all combinations of these.

    Without `codecs` each combination has one codec, so chosen that each client meets both of them over each transport.
    """
    cases = [
        Case(client, transport, count, link, codec)
        for client, transport in itertools.product(clients, transports)
        for (place, count), (turn, link) in itertools.product(enumerate(nodes), enumerate(links))
        for codec in codecs or (CODECS[(place + turn) % 2],)
    ]
    return pytest.mark.parametrize("stage", cases, ids=[str(case) for case in cases], indirect=True)
