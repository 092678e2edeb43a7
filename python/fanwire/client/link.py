"""One WebSocket connection of a client, by picows. It knows nothing of sessions."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl as tls
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from picows.url import WSParsedURL

from fanwire.client.assembly import MessageAssembly, Violation
from fanwire.client.codec import ClientCodec
from fanwire.client.dial import dial
from fanwire.client.failures import Failure
from fanwire.client.network import Network, network_of
from fanwire.codes import CloseCode, is_valid
from fanwire.timing.deadline import within

__all__ = ["MESSAGE_MAX", "ClientLink", "LinkOwner", "Unreachable"]

MESSAGE_MAX = 64 << 20
"""Bytes of a message; a server sends at most what may wait for one connection, 1 MiB unless told otherwise."""
FLUSH_TIMEOUT = 2.0
"""Seconds for the close frame to leave, once the connection no longer counts."""


class Unreachable(Exception):
    """An attempt to connect has failed.

    Attributes:
        status: the HTTP status of the server's answer; None: there was no answer.
        retry_after: seconds, from the header `Retry-After`; None: the header was absent.
        failure: the row of the table of failures.
    """

    def __init__(
        self, reason: str, failure: Failure, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after = retry_after
        self.failure = failure


class LinkOwner(Protocol):
    """The object that a link reports to: the driver."""

    def link_opened(self, link: ClientLink) -> None:
        """The upgrade is done; messages can be sent and received."""

    def link_received(self, link: ClientLink, message: bytes | str) -> None:
        """A whole message has come."""

    def link_violated(self, link: ClientLink, code: int, reason: str) -> None:
        """The server has broken RFC 6455."""

    def link_lost(self, link: ClientLink) -> None:
        """The connection is lost; `close_code` and `close_reason` say why."""


class ClientLink(WSListener):
    """One connection, from the attempt to its end.

    Args:
        owner: gets the events.
        codec: its subprotocol is offered.

    Attributes:
        close_code: the code of the server's close frame; 1006: there was no close frame, 1005: it had no code.
        close_reason: the reason in the close frame.
    """

    def __init__(self, owner: LinkOwner, codec: ClientCodec) -> None:
        self._owner: LinkOwner | None = owner
        self._subprotocol = codec.subprotocol
        self._assembly = MessageAssembly(MESSAGE_MAX)
        self._transport: WSTransport | None = None
        self._socket: socket.socket | None = None
        self._is_refused = False
        self.close_code: int = CloseCode.ABNORMAL
        self.close_reason = ""

    async def connect(
        self, url: str, headers: Mapping[str, str], ssl: tls.SSLContext | None, open_timeout: float
    ) -> None:
        """Connects. The owner gets `link_opened`, and perhaps messages, before this returns.

        Raises:
            Unreachable: the attempt has failed.
        """
        head = {**headers, "Sec-WebSocket-Protocol": self._subprotocol}
        connecting = ws_connect(
            lambda: self,
            url,
            ssl_context=ssl,
            extra_headers=head,
            max_redirects=0,
            max_frame_size=MESSAGE_MAX,
            websocket_handshake_timeout=open_timeout,
            socket_factory=self._reach,
            logger_name=_QUIET,
            # With uvloop its transports miss a reset that comes together with data.
            use_aiofastnet=False,
        )
        try:
            await within(connecting, open_timeout)
        except WSError as error:
            response = getattr(error, "response", None)
            if response is None or int(response.status) == 101:
                raise Unreachable(str(error), Failure.of_error(error)) from error
            status = int(response.status)
            after = _seconds(response.headers.get("Retry-After"), time.time())
            raise Unreachable(str(error), Failure.of_status(status), status=status, retry_after=after) from error
        except asyncio.TimeoutError as error:
            raise Unreachable(f"no answer within {open_timeout:g} seconds", Failure.NETWORK) from error
        except OSError as error:
            raise Unreachable(str(error) or repr(error), Failure.of_error(error)) from error
        finally:
            if self._socket is not None and self._transport is None:
                # picows does not show its transport before the upgrade. Its own timeout would close it, but the loop
                # may end first.
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
        if self._is_refused:
            raise Unreachable(f"the server does not speak {self._subprotocol}", Failure.SUBPROTOCOL)

    @property
    def network(self) -> Network | None:
        """What the kernel knows about the connection; None: the system cannot tell."""
        if self._socket is None or self._transport is None:
            return None
        return network_of(self._socket, self._transport.underlying_transport.get_write_buffer_size())

    async def ended(self) -> None:
        """Waits for the end of the connection. The owner gets `link_lost`."""
        if self._transport is not None:
            # A broken frame was reported as a lost connection.
            with suppress(WSError):
                await self._transport.wait_disconnected()

    def send(self, frame: bytes | str) -> None:
        """Writes a message."""
        if self._transport is not None:
            if isinstance(frame, str):
                self._transport.send(WSMsgType.TEXT, frame.encode())
            else:
                self._transport.send(WSMsgType.BINARY, frame)

    def close(self, code: int) -> None:
        """Begins the closing handshake. The owner gets `link_lost` at its end."""
        if self._transport is not None:
            self._transport.send_close(_code(code))

    def drop(self, code: int, reason: str = "") -> None:
        """Closes the connection with a code. The owner gets no more events."""
        self._owner = None
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        transport.send_close(_code(code), reason.encode()[:123].decode(errors="ignore").encode())
        transport.disconnect()
        # A server that does not read would keep the connection open forever.
        asyncio.get_running_loop().call_later(FLUSH_TIMEOUT, transport.underlying_transport.abort)

    def abort(self) -> None:
        """Closes the connection without a close frame."""
        self._owner = None
        if self._transport is not None:
            self._transport.underlying_transport.abort()

    def vouch(self) -> None:
        """Sends an unsolicited pong (RFC 6455 section 5.5.3)."""
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.send_pong()

    async def _reach(self, url: WSParsedURL) -> socket.socket:
        self._socket = await dial(url.host, url.port)
        return self._socket

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade is done."""
        self._transport = transport
        if self._owner is None:
            transport.underlying_transport.abort()
        elif transport.response.headers.get("Sec-WebSocket-Protocol") != self._subprotocol:
            self._is_refused = True
            self.drop(CloseCode.PROTOCOL_ERROR, "no subprotocol")
        else:
            self._owner.link_opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come."""
        # Both are integers, whatever picows' own stubs say.
        opcode: Any = frame.msg_type
        if opcode == WSMsgType.CLOSE:
            code: Any = frame.get_close_code()
            self.close_code = int(code) or CloseCode.NO_CODE
            self.close_reason = frame.get_close_reason() or ""
            if not transport.is_close_frame_sent:
                # picows would write a code 0 for none.
                transport.send_close(_code(self.close_code if is_valid(self.close_code) else CloseCode.NORMAL))
            transport.disconnect()
        elif self._owner is not None and opcode in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            try:
                message = self._assembly.add(int(opcode), frame.fin, frame.get_payload_as_bytes())
            except Violation as violation:
                self._owner.link_violated(self, violation.code, violation.reason)
                return
            if message is not None:
                self._owner.link_received(self, message)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The transport is gone."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.link_lost(self)


def _code(code: int) -> WSCloseCode:
    # An integer to picows, an enumeration to its stubs.
    value: Any = int(code)
    close_code: WSCloseCode = value
    return close_code


def _seconds(text: str | None, now: float) -> float | None:
    """Reads `Retry-After`: seconds or a date (RFC 9110 section 10.2.3)."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return None


class _Quiet(logging.LoggerAdapter):  # type: ignore[type-arg]  # it takes none in Python 3.10
    """A logger that drops what picows logs about each connection, which includes the request with its token. Errors
    pass."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name of the method that it overrides
        """Whether the level is ERROR or higher."""
        return level >= logging.ERROR and self.logger.isEnabledFor(level)

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """Logs errors only."""
        if self.isEnabledFor(level):
            self.logger.log(level, msg, *args, **kwargs)


_QUIET = _Quiet(logging.getLogger("fanwire.client"), None)
