"""Addresses and credentials of NATS servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

__all__ = ["Access"]


class Access(NamedTuple):
    """The addresses of NATS servers, and the credentials for them.

    Attributes:
        servers: URLs of servers of one cluster. A token, or a user and a password, may be part of them, percent-encoded
            as in any URL; the first that has one counts for all.
        credentials: a file with a user's JWT and its seed; None: none.
        ca: a file of trusted certificates; None: those of the system.
        certificate: the files of this node's certificate and of its key; None: none.
    """

    servers: Sequence[str]
    credentials: str | None = None
    ca: str | None = None
    certificate: tuple[str, str] | None = None

    @property
    def places(self) -> list[str]:
        """The addresses without tokens and passwords, for the log."""
        return [scheme + mark + rest.rpartition("@")[2] for scheme, mark, rest in map(_parts, self.servers)]

    @property
    def token(self) -> str | None:
        """The token of the servers; None: there is none."""
        user, password = self._given
        return user if password is None else None

    @property
    def password(self) -> tuple[str, str] | None:
        """The user and the password for the servers; None: there are none."""
        user, password = self._given
        return None if user is None or password is None else (user, password)

    @property
    def _given(self) -> tuple[str | None, str | None]:
        places = (urlsplit(server if "://" in server else f"//{server}") for server in self.servers)
        given = next(((place.username, place.password) for place in places if place.username), (None, None))
        return None if given[0] is None else unquote(given[0]), None if given[1] is None else unquote(given[1])


def _parts(server: str) -> tuple[str, str, str]:
    return server.rpartition("://")
