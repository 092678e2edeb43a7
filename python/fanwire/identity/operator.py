"""The identity of an operator's connection: it may see the server's readings, and nothing else.

The server makes it from a key of `fanwire.Admin`. No `authenticate` of an application does.
"""

from __future__ import annotations

import msgspec

__all__ = ["Operator", "is_operator"]


class Operator(msgspec.Struct, frozen=True):
    """An operator.

    Attributes:
        subject: names the key, not the person.
        scopes: what the key allows.
    """

    subject: str
    scopes: frozenset[str]


def is_operator(identity: object) -> bool:
    """Whether an identity is that of an operator."""
    return type(identity) is Operator
