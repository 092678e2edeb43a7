"""The secret tokens that name links: `TAG.RANDOM`, where the tag is that of the link's node."""

from __future__ import annotations

import re
import secrets

__all__ = ["LinkTokens", "tag_of"]


class LinkTokens:
    """Makes the tokens of one node.

    Args:
        tag: the node's tag in the cluster, with a dot at its end; "": the node is alone, and takes a tag at random.
    """

    def __init__(self, tag: str = "") -> None:
        self.tag = tag or f"{secrets.randbits(24):x}."

    def new(self) -> str:
        """Returns a token that was never used."""
        return self.tag + secrets.token_urlsafe(SECRET)


def tag_of(token: str) -> str | None:
    """The tag of the node that has made a token; None: it is no token."""
    found = _TOKEN.fullmatch(token)
    return None if found is None else found[1]


SECRET = 24
"""Random bytes of a token: who knows it may send and receive as the client, and 192 bits cannot be guessed."""

_TOKEN = re.compile(r"([0-9a-f]{1,6}\.)[A-Za-z0-9_-]{32}")
