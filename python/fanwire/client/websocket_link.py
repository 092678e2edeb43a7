"""The transport WebSocket, by picows. It knows nothing of sessions."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from picows.url import WSParsedURL

from fanwire.client.assembly import MessageAssembly, Violation
from fanwire.client.deflate import Deflate
from fanwire.client.dial import dial
from fanwire.client.extensions import OFFER, WrongAnswer, read_answer
from fanwire.client.failures import Failure, reason_of
from fanwire.client.link import MESSAGE_MAX, ClientLink, LinkTarget, Unreachable, retry_after
from fanwire.client.network import Network, network_of
from fanwire.client.watched_context import WatchedContext, default_context
from fanwire.codes import CloseCode, is_valid
from fanwire.timing.deadline import within

__all__ = ["WebSocketLink"]

FLUSH_TIMEOUT = 2.0
"""Seconds for the close frame to leave, once the connection no longer counts."""


class WebSocketLink(ClientLink, WSListener):
    """One WebSocket.

    Args:
        target: the server.
    """

    transport = "websocket"

    def __init__(self, target: LinkTarget) -> None:
        super().__init__(target)
        self._assembly = MessageAssembly(MESSAGE_MAX)
        self._transport: WSTransport | None = None
        self._socket: socket.socket | None = None
        self._deflate: Deflate | None = None
        # Why the 101 is refused.
        self._refusal: tuple[str, Failure] | None = None

    async def connect(self, query: Mapping[str, str], seconds: float) -> None:
        """Does the upgrade, in so many seconds at most."""
        headers = {**self.target.headers, "Sec-WebSocket-Protocol": self.target.codec.subprotocol}
        if self.target.offers_deflate:
            headers["Sec-WebSocket-Extensions"] = OFFER
        is_tls = urlsplit(self.target.url).scheme == "wss"
        context = WatchedContext(self.target.ssl or default_context()) if is_tls else None
        connecting = ws_connect(
            lambda: self,
            self.target.url_with(query),
            ssl_context=context,
            extra_headers=headers,
            max_redirects=0,
            max_frame_size=MESSAGE_MAX,
            # `within` ends the attempt, so that no error of picows is left that nothing awaits.
            websocket_handshake_timeout=None,
            socket_factory=self._reach,
            logger_name=_QUIET,
            # The reserved bits of pings are checked here.
            enable_auto_pong=False,
            # With uvloop its transports miss a reset that comes together with data.
            use_aiofastnet=False,
        )
        try:
            await within(connecting, seconds)
        except WSError as error:
            response = getattr(error, "response", None)
            if response is None or int(response.status) == 101:
                raise Unreachable(str(error), Failure.of_error(error), is_reached=self._is_reached) from error
            status = int(response.status)
            after = retry_after(response.headers.get("Retry-After"), time.time())
            raise Unreachable(str(error), Failure.of_status(status), status=status, retry_after=after) from error
        except asyncio.TimeoutError as error:
            reason = f"no answer within {seconds:g} seconds"
            raise Unreachable(reason, Failure.NETWORK, is_reached=self._is_reached) from error
        except OSError as error:
            raise Unreachable(reason_of(error), Failure.of_error(error), is_reached=self._is_reached) from error
        finally:
            if self._socket is not None and self._transport is None:
                # picows does not show its transport before the upgrade. Its own timeout would close it, but the loop
                # may end first.
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
        if self._transport is None:
            # picows calls that a success.
            if context is not None and context.error is not None:
                raise Unreachable(reason_of(context.error), Failure.of_error(context.error))
            raise Unreachable("the connection was lost before the answer", Failure.NETWORK)
        if self._refusal is not None:
            raise Unreachable(*self._refusal)

    @property
    def network(self) -> Network | None:
        """What the kernel knows about the connection; None: the system cannot tell."""
        if self._socket is None or self._transport is None:
            return None
        return network_of(self._socket, self._transport.underlying_transport.get_write_buffer_size())

    @property
    def _is_reached(self) -> bool:
        return self._socket is not None

    async def ended(self) -> None:
        """Waits for the end of the connection."""
        if self._transport is not None:
            # A broken frame was reported as a lost connection.
            with suppress(WSError):
                await self._transport.wait_disconnected()

    def send(self, frame: bytes | str) -> None:
        """Writes a message."""
        if self._transport is None:
            return
        opcode, payload = (WSMsgType.TEXT, frame.encode()) if isinstance(frame, str) else (WSMsgType.BINARY, frame)
        compressed = None if self._deflate is None else self._deflate.deflate(payload)
        if compressed is None:
            self._transport.send(opcode, payload)
        else:
            self._transport.send(opcode, compressed, rsv1=True)

    def close(self, code: int) -> None:
        """Begins the closing handshake. The owner gets `link_lost` at its end."""
        if self._transport is not None:
            self._transport.send_close(_code(code))

    def drop(self, code: int, reason: str = "") -> None:
        """Closes the connection with a code. The owner gets no more events."""
        self._abandon()
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        transport.send_close(_code(code), reason.encode()[:123].decode(errors="ignore").encode())
        transport.disconnect()
        # A server that does not read would keep the connection open forever.
        asyncio.get_running_loop().call_later(FLUSH_TIMEOUT, transport.underlying_transport.abort)

    def abort(self) -> None:
        """Closes the connection without a close frame."""
        self._abandon()
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
        if self._is_over:
            transport.underlying_transport.abort()
            return
        headers = transport.response.headers
        subprotocol = self.target.codec.subprotocol
        if headers.get("Sec-WebSocket-Protocol") != subprotocol:
            self._refuse(f"the server does not speak {subprotocol}", Failure.SUBPROTOCOL)
            return
        try:
            terms = read_answer(headers.getall("Sec-WebSocket-Extensions", []), is_offered=self.target.offers_deflate)
        except WrongAnswer as error:
            self._refuse(str(error), Failure.EXTENSION)
            return
        if terms is not None:
            self.is_compressed = True
            self._deflate = Deflate(terms)
            self._assembly = MessageAssembly(MESSAGE_MAX, inflate=self._deflate.inflate)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come."""
        # Both are integers, whatever picows' own stubs say.
        opcode: Any = frame.msg_type
        if frame.rsv2 or frame.rsv3 or (frame.rsv1 and opcode not in DATA):
            self._violation(CloseCode.PROTOCOL_ERROR, "a reserved bit is set")
        elif opcode == WSMsgType.CLOSE:
            code: Any = frame.get_close_code()
            self.close_code = int(code) or CloseCode.NO_CODE
            self.close_reason = frame.get_close_reason() or ""
            if not transport.is_close_frame_sent:
                # picows would write a code 0 for none.
                transport.send_close(_code(self.close_code if is_valid(self.close_code) else CloseCode.NORMAL))
            transport.disconnect()
        elif opcode == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif not self._is_over and opcode in DATA:
            try:
                message = self._assembly.add(int(opcode), frame.fin, frame.get_payload_as_bytes(), frame.rsv1)
            except Violation as violation:
                self._violation(violation.code, violation.reason)
                return
            if message is not None:
                self._message(message)

    def _refuse(self, reason: str, failure: Failure) -> None:
        self._refusal = reason, failure
        self.drop(CloseCode.PROTOCOL_ERROR, reason)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The transport is gone."""
        self._lost()


DATA = (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION)
"""The opcodes of data frames."""


def _code(code: int) -> WSCloseCode:
    # An integer to picows, an enumeration to its stubs.
    value: Any = int(code)
    close_code: WSCloseCode = value
    return close_code


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
