"""RFC 6455 by hand, right and wrong: what an independent client would never send."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import ssl
import struct
from types import TracebackType

from helpers.wait import within

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The answer to `KEY`, both from RFC 6455 section 1.3."""
LOST = (ConnectionError, ssl.SSLError)
"""What a reader raises when its connection was lost, even if it has bytes from before."""
HEAD = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def request(path: str = "/", head: dict[str, str] | None = None, *lines: str) -> bytes:
    """An upgrade request; `head` replaces headers (None takes one out), `lines` come after them as they are."""
    headers = [f"{name}: {value}" for name, value in {**HEAD, **(head or {})}.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *headers, *lines, "", ""]).encode("latin-1")


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bool = True, length: int | None = None
) -> bytes:
    """A client's frame. `length` is announced in place of the payload's own."""
    size = len(payload) if length is None else length
    bits = 0x80 if mask else 0
    head = bytes([(FIN if fin else 0) | rsv << 4 | opcode])
    if size < 126:
        head += bytes([bits | size])
    elif size < 1 << 16:
        head += struct.pack("!BH", bits | 126, size)
    else:
        head += struct.pack("!BQ", bits | 127, size)
    if not mask:
        return head + payload
    key = b"\x37\xfa\x21\x3d"
    stream = (key * (len(payload) // 4 + 1))[: len(payload)]
    return head + key + (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(payload), "big")


def close_frame(code: int | None = None, reason: bytes = b"") -> bytes:
    """A client's close frame."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def accept_of(key: str) -> str:
    """What a server answers to a key."""
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


class Response:
    """An HTTP response, read to its end."""

    def __init__(self, head: bytes, body: bytes) -> None:
        status, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = body


class Peer:
    """A TCP (or TLS) connection that reads only when told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(
        cls, host: str, port: int, *, rcvbuf: int | None = None, context: ssl.SSLContext | None = None
    ) -> Peer:
        """Connects and says nothing. With a small `rcvbuf` the kernel takes little that is not read."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if rcvbuf is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            await within(asyncio.get_running_loop().sock_connect(sock, (host, port)))
            name = "localhost" if context else None
            limit = 4096 if rcvbuf is not None else 1 << 20
            streams = asyncio.open_connection(sock=sock, ssl=context, server_hostname=name, limit=limit)
            return cls(*await within(streams))
        except BaseException:
            sock.close()
            raise

    async def send(self, *chunks: bytes) -> None:
        """Writes, and waits until nearly all has left."""
        self.writer.write(b"".join(chunks))
        await within(self.writer.drain())

    async def upgrade(self, path: str = "/", head: dict[str, str] | None = None, after: bytes = b"") -> Peer:
        """Sends a request, `after` in the same packet, and reads the 101."""
        await self.send(request(path, head) + after)
        response = await self.response()
        assert response.status == 101, (response.status, response.body)
        assert response.headers["sec-websocket-accept"] == ACCEPT
        return self

    async def response(self) -> Response:
        """Reads an HTTP response."""
        head = await self._head()
        response = Response(head[:-4], b"")
        length = int(response.headers.get("content-length", "0")) if response.status != 101 else 0
        response.body = await self._exactly(length)
        return response

    async def frame(self) -> tuple[int, bytes]:
        """Reads a frame: its first byte and its payload. A server's frames are never masked."""
        first, second = await self._exactly(2)
        assert second < 128, "the server has masked a frame"
        size = second
        if size == 126:
            (size,) = struct.unpack("!H", await self._exactly(2))
            assert size >= 126
        elif size == 127:
            (size,) = struct.unpack("!Q", await self._exactly(8))
            assert size >= 1 << 16
        return first, await self._exactly(size)

    async def message(self) -> bytes:
        """Reads the payload of the next data frame; control frames before it are skipped, a close is none."""
        while True:
            first, payload = await self.frame()
            assert first in (FIN | TEXT, FIN | BINARY, FIN | PING, FIN | PONG), (hex(first), payload)
            if first in (FIN | TEXT, FIN | BINARY):
                return payload

    async def closed(self) -> tuple[int | None, str]:
        """Reads up to the close frame, all else ignored; returns its code and reason."""
        while True:
            first, payload = await self.frame()
            if first == FIN | CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if payload else None
                return code, payload[2:].decode()

    async def end(self) -> bytes:
        """Reads to the end of the connection, by FIN or RST, and ends it, too; returns what came before."""
        rest = bytearray()
        # With TLS, uvloop drops what is not decrypted yet if the end comes while a full reader has it wait.
        self.reader._limit = 1 << 40
        try:
            while data := await within(self.reader.read(1 << 16)):
                rest += data
        except LOST as error:
            rest += self._left(error, len(self.reader._buffer))
        self.close()
        return bytes(rest)

    async def _head(self) -> bytes:
        """Reads up to an empty line, and that."""
        try:
            return await within(self.reader.readuntil(b"\r\n\r\n"))
        except LOST as error:
            end = self.reader._buffer.find(b"\r\n\r\n")
            return self._left(error, end + 4 if end >= 0 else -1)

    async def _exactly(self, count: int) -> bytes:
        """Reads so many bytes."""
        try:
            return await within(self.reader.readexactly(count))
        except LOST as error:
            return self._left(error, count)

    def _left(self, error: Exception, count: int) -> bytes:
        """Bytes from before an error, which is raised if there are not so many. The reader gives none of them."""
        if not 0 <= count <= len(self.reader._buffer):
            raise error
        found = bytes(self.reader._buffer[:count])
        del self.reader._buffer[:count]
        return found

    def stall(self) -> None:
        """From now on nothing is read from the kernel, until `resume`."""
        self.writer.transport.pause_reading()

    def resume(self) -> None:
        """Ends `stall`."""
        self.writer.transport.resume_reading()

    def reset(self) -> None:
        """Ends the connection with an RST."""
        linger = struct.pack("ii", 1, 0)
        if not self.writer.is_closing():
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    def close(self) -> None:
        """Ends the connection at once, without a close frame."""
        self.writer.transport.abort()

    async def __aenter__(self) -> Peer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
