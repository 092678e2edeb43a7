"""`fanwire publish`: each line becomes one message, in order, as soon as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fanwire.cli.connecting import Tell, reach, reason_of
from fanwire.cli.failure import CommandFailed
from fanwire.client import Client, ConnectionFailed, RequestFailed
from fanwire.errors import FanwireError

__all__ = ["publish"]

IN_FLIGHT = 64
"""The most lines without an answer: enough for 1,000 lines a second at a round trip of 60 ms."""

SMALL = 1 << 10
"""The most bytes of a line after which others may follow before its answer. The client keeps 1 MiB of messages that the
server has not counted; 64 lines of this size fit in any encoding, so that none waits while another overtakes it."""

ATTEMPTS = 6
RETRY_AFTER_MAX = 10.0
"""Attempts for a message, and the most seconds between them: after a minute the server is taken as broken."""


async def publish(
    url: str,
    room: str,
    lines: AsyncIterator[bytes],
    *,
    api_key: str | None = None,
    key: str | None = None,
    is_text: bool = True,
    transport: str | None = None,
    is_compressed: bool = False,
    ca: str | None = None,
    tell: Tell | None = None,
) -> int:
    """Publishes each line as a message; returns their number.

    They keep the order of the lines, except for a message that an overloaded server refuses: it comes after those that
    were sent already.

    Args:
        url: of the server.
        room: the name of the room.
        lines: without line feeds.
        api_key: a key or token of the server.
        key: the key of all messages, in a room of latest values.
        is_text: whether the messages are text; False: binary.
        transport: the name of the transport; None: the first that works.
        is_compressed: whether the server is asked to compress messages.
        ca: the file of the certificates that are trusted; None: those of the system.
        tell: gets lines about the connection; None: they are not shown.

    Raises:
        CommandFailed: there is no connection, or a message was not taken; those before it were.
    """
    async with reach(url, token=api_key, transport=transport, is_compressed=is_compressed, ca=ca, tell=tell) as client:
        window = PublishWindow(client, room, key, is_text)
        sending = asyncio.ensure_future(window.send_all(lines))
        try:
            count = await window.answers()
            await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await window.close()
        return count


class PublishWindow:
    """The messages without an answer: 64 at most.

    Args:
        client: publishes.
        room: the name of the room.
        key: the key of all messages; None: none.
        is_text: whether the messages are text; False: binary.
    """

    def __init__(self, client: Client, room: str, key: str | None, is_text: bool) -> None:
        self._client = client
        self._room = room
        self._key = key
        self._is_text = is_text
        self._under_way: asyncio.Queue[tuple[bytes, asyncio.Task[int]] | None] = asyncio.Queue(IN_FLIGHT)
        # The server is overloaded: refused messages are sent again before new ones.
        self._is_behind = False

    async def send_all(self, lines: AsyncIterator[bytes]) -> None:
        """Sends each line; `answers` ends once all are answered.

        Raises:
            CommandFailed: the lines cannot be read.
        """
        try:
            async for line in lines:
                is_small = len(line) <= SMALL
                if self._is_behind or not is_small:
                    await self._under_way.join()
                    self._is_behind = False
                await self._put(line)
                if not is_small:
                    await self._under_way.join()
        except asyncio.CancelledError:
            # Nobody takes answers any more: the queue may stay full.
            raise
        except BaseException:
            await self._under_way.put(None)
            raise
        await self._under_way.put(None)

    async def answers(self) -> int:
        """Takes the answers in the order of the lines; returns their number.

        Raises:
            CommandFailed: a message was not published.
        """
        count = 0
        while (item := await self._under_way.get()) is not None:
            line, sending = item
            try:
                await self._taken(line, sending)
            except CommandFailed as failure:
                raise CommandFailed(f"line {count + 1} was not published: {failure.message}") from failure
            finally:
                self._under_way.task_done()
            count += 1
        return count

    async def close(self) -> None:
        """Cancels the messages without an answer."""
        tasks = []
        while not self._under_way.empty():
            item = self._under_way.get_nowait()
            if item is not None:
                tasks.append(item[1])
                item[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _put(self, line: bytes) -> None:
        sending = asyncio.ensure_future(self._send(line))
        try:
            await self._under_way.put((line, sending))
        except asyncio.CancelledError:
            # `close` does not find it.
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            raise

    async def _taken(self, line: bytes, sending: asyncio.Task[int]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await (sending if attempt == 1 else self._send(line))
            except RequestFailed as error:
                if not error.retry or attempt == ATTEMPTS:
                    raise CommandFailed(str(error)) from error
                wait = 1.0 if error.retry_after_ms is None else error.retry_after_ms / 1000
            except ConnectionFailed as error:
                raise CommandFailed(reason_of(error)) from error
            except (FanwireError, ValueError) as error:
                raise CommandFailed(str(error)) from error
            else:
                return
            self._is_behind = True
            await asyncio.sleep(min(wait, RETRY_AFTER_MAX))

    async def _send(self, line: bytes) -> int:
        if not self._is_text:
            return await self._client.publish(self._room, line, self._key)
        try:
            text = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError as error:
            raise ValueError("the line is not UTF-8; use --binary for other bytes") from error
        return await self._client.publish(self._room, text, self._key)
