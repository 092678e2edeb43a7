"""Messages to lines. It does not come back when the connection ends; a client that does is another module's."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from typing import Any, BinaryIO

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from fanwire.cli.failure import Failure
from fanwire.codes import CloseCode
from fanwire.gateway.assembly import Assembly, Violation

__all__ = ["subscribe"]


async def subscribe(
    url: str,
    out: BinaryIO,
    *,
    count: int | None = None,
    is_raw: bool = False,
    joined: Callable[[], object] | None = None,
) -> None:
    """Writes each message as a line, until there were `count` or the reader of `out` is gone.

    Args:
        url: of a room.
        out: where the lines go, flushed once for all that came together.
        count: None: no end.
        is_raw: binary messages as they are, not as base64.
        joined: called once the room's messages come.

    Raises:
        Failure: no connection, or the server has ended it.
    """
    lines = Lines(out, count, is_raw)
    try:
        transport, _ = await ws_connect(lambda: lines, url, max_frame_size=MESSAGE_MAX)
    except WSError as error:
        response = getattr(error, "response", None)
        status = getattr(response, "status", None)
        raise Failure(f"{url}: {status.value} {status.phrase}" if status else f"{url}: {error}") from error
    except asyncio.TimeoutError as error:
        raise Failure(f"{url}: no answer in time") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise Failure(f"cannot connect to {url}: {reason}") from error
    if joined is not None:
        joined()
    try:
        await transport.wait_disconnected()
    except Violation as violation:
        raise Failure(f"the server broke the protocol: {violation.reason}") from violation
    except WSError as error:
        raise Failure(f"the server broke the protocol: {error}") from error
    finally:
        if not transport.is_disconnected:
            # Ctrl-C.
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        lines.flush()
    if not lines.is_done:
        raise Failure(f"closed by the server: {lines.close_code:d} {lines.close_reason}".rstrip())


class Lines(WSListener):
    """What comes over one connection, as lines."""

    def __init__(self, out: BinaryIO, count: int | None, is_raw: bool) -> None:
        self._out = out
        self._left = count
        self._is_raw = is_raw
        self._assembly = Assembly(MESSAGE_MAX)
        self._batch: list[bytes] = []
        self._transport: WSTransport
        self.is_done = False
        self.close_code: int = CloseCode.ABNORMAL
        self.close_reason = ""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The room's messages come from here on."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come."""
        if self.is_done:
            return
        # Both are integers, whatever picows' own stubs say.
        opcode: Any = frame.msg_type
        if opcode == WSMsgType.CLOSE:
            code: Any = frame.get_close_code()
            self.close_code = int(code) or CloseCode.NO_CODE
            self.close_reason = frame.get_close_reason() or ""
            # picows would write a code 0 for none.
            transport.send_close(code or WSCloseCode.OK)
            transport.disconnect()
        elif opcode in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            message = self._assembly.add(opcode, frame.fin, frame.get_payload_as_bytes())
            if message is not None:
                self._add(message)

    def flush(self) -> None:
        """Writes what has come."""
        lines, self._batch = self._batch, []
        if not lines:
            return
        try:
            self._out.write(b"".join(lines))
            self._out.flush()
        except BrokenPipeError:
            # `fanwire subscribe prices | head -1` has seen enough. What Python would still flush goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
            self._finish()

    def _add(self, message: bytes | str) -> None:
        if isinstance(message, bytes) and not self._is_raw:
            message = base64.b64encode(message)
        line = message.encode() if isinstance(message, str) else message
        if not self._batch:
            # After all frames that were read together.
            asyncio.get_running_loop().call_soon(self.flush)
        self._batch.append(line + b"\n")
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._finish()

    def _finish(self) -> None:
        self.is_done = True
        self._transport.send_close(WSCloseCode.OK)
        self._transport.disconnect()


MESSAGE_MAX = 64 << 20
"""Bytes of a message; a server sends at most what may wait for one connection, 1 MiB unless told otherwise."""
