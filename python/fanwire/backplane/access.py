"""How a node gets in at NATS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = ["Access"]


class Access(NamedTuple):
    """See the module's head.

    Attributes:
        servers: addresses of servers of one cluster, perhaps with a token, or a user and a password; the first that has
            some counts for all.
        credentials: a file with a user's JWT and its seed.
        ca: a file of certificates that are believed.
        certificate: files with our own certificate and its key.
    """

    servers: Sequence[str]
    credentials: str | None = None
    ca: str | None = None
    certificate: tuple[str, str] | None = None

    @property
    def places(self) -> list[str]:
        """The addresses alone, fit to be shown."""
        return [scheme + mark + rest.rpartition("@")[2] for scheme, mark, rest in map(_parts, self.servers)]

    @property
    def token(self) -> str | None:
        """The token."""
        user, password = self._given
        return user if password is None else None

    @property
    def password(self) -> tuple[str, str] | None:
        """The user and the password."""
        user, password = self._given
        return None if user is None or password is None else (user, password)

    @property
    def _given(self) -> tuple[str | None, str | None]:
        places = map(urlsplit, self.servers)
        return next(((place.username, place.password) for place in places if place.username), (None, None))


def _parts(server: str) -> tuple[str, str, str]:
    return server.rpartition("://")
