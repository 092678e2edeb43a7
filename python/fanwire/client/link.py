"""One connection of a session, whatever transport carries it: what the driver asks of each, and what it is told. A
link knows nothing of sessions but the secret name that the server may give it."""

from __future__ import annotations

import ssl as tls
from abc import ABC, abstractmethod
from asyncio import Event
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import ClassVar, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

from fanwire.client.codec import ClientCodec
from fanwire.client.failures import Failure
from fanwire.client.network import Network
from fanwire.codes import CloseCode

__all__ = ["MESSAGE_MAX", "ClientLink", "LinkOwner", "LinkTarget", "Unreachable", "retry_after"]

MESSAGE_MAX = 64 << 20
"""Bytes of a message; a server sends at most what may wait for one connection, 1 MiB unless told otherwise."""


class Unreachable(Exception):
    """An attempt to connect has failed.

    Attributes:
        status: the HTTP status of the server's answer; None: there was no answer.
        retry_after: seconds, from the header `Retry-After`; None: the header was absent.
        failure: the row of the table of failures.
        is_reached: whether there was a TCP connection.
    """

    def __init__(
        self,
        reason: str,
        failure: Failure,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        is_reached: bool = True,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after = retry_after
        self.failure = failure
        self.is_reached = is_reached


@dataclass(frozen=True)
class LinkTarget:
    """The server, and what each request to it has.

    Attributes:
        url: ws:// or wss://, with the application's query.
        headers: more headers, the token among them.
        ssl: for wss; None: the system's certificates.
        codec: its subprotocol is asked for.
        offers_deflate: whether WebSockets offer permessage-deflate.
    """

    url: str
    headers: Mapping[str, str]
    ssl: tls.SSLContext | None
    codec: ClientCodec
    offers_deflate: bool = False

    def url_with(self, query: Mapping[str, str]) -> str:
        """The URL with more fields in its query."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(query="&".join(filter(None, [parts.query, urlencode(query)]))))


class LinkOwner(Protocol):
    """The object that a link reports to: the driver."""

    def link_received(self, link: ClientLink, message: bytes | str) -> None:
        """A whole message has come."""

    def link_violated(self, link: ClientLink, code: int, reason: str) -> None:
        """The server has broken a rule of the transport."""

    def link_lost(self, link: ClientLink) -> None:
        """The connection is lost; `close_code` and `close_reason` say why."""

    async def link_count(self, link: ClientLink) -> int:
        """The count of messages that the next poll of the transport long-poll tells the server. Waits while it must not
        be told."""


class ClientLink(ABC):
    """One connection, from the attempt to its end.

    What happens before there is an owner is kept for it.

    Args:
        target: the server.

    Attributes:
        transport: the name of the transport.
        target: see above.
        close_code: the code of the server's close; 1006: there was none, 1005: it had no code.
        close_reason: the reason of the server's close.
        is_compressed: whether both sides may compress messages.
    """

    transport: ClassVar[str]
    is_compressed = False

    def __init__(self, target: LinkTarget) -> None:
        self.target = target
        self.close_code: int = CloseCode.ABNORMAL
        self.close_reason = ""
        self._owner: LinkOwner | None = None
        self._is_over = False
        self._early: list[Callable[[LinkOwner], None]] = []
        self._begun = Event()

    # What the driver calls.

    @abstractmethod
    async def connect(self, query: Mapping[str, str], seconds: float) -> None:
        """Connects, in so many seconds at most. Call `begun` then.

        Args:
            query: fields of the session for the query of the URL.
            seconds: for the answer to the request.

        Raises:
            Unreachable: the attempt has failed.
        """

    async def begun(self) -> None:
        """Waits for the first message, or for the server's close.

        Raises:
            Unreachable: the connection was lost without either.
        """
        await self._begun.wait()
        if self._is_over and len(self._early) == 1 and self.close_code == CloseCode.ABNORMAL:
            reason = self.close_reason or "the connection was lost before the first message"
            raise Unreachable(reason, Failure.NETWORK)

    def adopt(self, owner: LinkOwner) -> None:
        """Gives the link its owner, which is told at once what has happened before."""
        self._owner = owner
        for report in self._early:
            if self._owner is not None:
                report(owner)
        self._early.clear()

    @abstractmethod
    async def ended(self) -> None:
        """Waits for the end of the connection."""

    @abstractmethod
    def send(self, frame: bytes | str) -> None:
        """Sends a message."""

    @abstractmethod
    def close(self, code: int) -> None:
        """Begins to end the session with this code. The owner gets `link_lost` when it is done."""

    @abstractmethod
    def drop(self, code: int, reason: str = "") -> None:
        """Closes the connection with a code where it can still be sent. The owner gets no more events."""

    @abstractmethod
    def abort(self) -> None:
        """Closes the connection at once. The owner gets no more events."""

    @abstractmethod
    def vouch(self) -> None:
        """Sends an unsolicited pong."""

    @property
    @abstractmethod
    def network(self) -> Network | None:
        """What the kernel knows about the connection; None: the system cannot tell."""

    # What the transports call.

    def _message(self, message: bytes | str) -> None:
        if not self._is_over:
            self._report(lambda owner: owner.link_received(self, message))

    def _violation(self, code: int, reason: str) -> None:
        if not self._is_over:
            self._report(lambda owner: owner.link_violated(self, code, reason))

    def _lost(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._report(lambda owner: owner.link_lost(self))
            self._owner = None

    def _abandon(self) -> None:
        """The owner gets no more events."""
        self._is_over = True
        self._owner = None
        self._early.clear()

    def _report(self, report: Callable[[LinkOwner], None]) -> None:
        if self._owner is not None:
            report(self._owner)
        else:
            self._early.append(report)
            self._begun.set()


def retry_after(text: str | None, now: float) -> float | None:
    """Reads `Retry-After`: seconds or a date (RFC 9110 section 10.2.3). Returns seconds; None: there is no such time.

    Args:
        text: the value of the header; None: it is absent.
        now: seconds since 1970.
    """
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None
