"""Lines to messages: each line of a descriptor becomes one message, in order, as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator

import aiohttp
from yarl import URL

from fanwire.cli.failure import Failure

__all__ = ["publish", "read_lines"]


async def publish(
    url: str, lines: AsyncIterator[bytes], *, api_key: str | None = None, key: str | None = None, is_text: bool = True
) -> int:
    """Posts each line as a message, one after the other; returns how many.

    One request at a time is what keeps their order, over one connection that stays.

    Raises:
        Failure: a message was not taken; those before it were.
    """
    headers = {"Content-Type": "text/plain; charset=utf-8" if is_text else "application/octet-stream"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    # Encoded already: yarl would take the %2F of a room's name for a slash.
    target = URL(url, encoded=True)
    if key is not None:
        target = target.with_query({"key": key})
    count = 0
    # Less than the server keeps an idle connection: it never closes one just as we write.
    connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=KEEPALIVE)
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        async for line in lines:
            body = line.removesuffix(b"\r") if is_text else line
            try:
                await _post(session, target, body)
            except Failure as failure:
                raise Failure(f"line {count + 1} was not published: {failure.message}") from failure
            count += 1
    return count


async def _post(session: aiohttp.ClientSession, url: URL, body: bytes) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with session.post(url, data=body) as response:
                if response.status == 200:
                    return
                answer = (await response.text(errors="replace")).strip()[:ANSWER_MAX]
                if response.status != 503 or attempt == ATTEMPTS:
                    raise Failure(f"{response.status} {answer or response.reason}")
                wait = _seconds(response.headers.get("Retry-After", ""))
        except aiohttp.ClientConnectorError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.os_error)
            raise Failure(f"cannot connect to {url.host}:{url.port}: {reason}") from error
        except asyncio.TimeoutError as error:
            raise Failure(f"no answer within {ANSWER_TIMEOUT:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Failure(str(error) or type(error).__name__) from error
        await asyncio.sleep(wait)


def _seconds(retry_after: str) -> float:
    # It may be a date, too (RFC 9110 section 10.2.3), which fanwire never sends.
    return min(float(retry_after), RETRY_AFTER_MAX) if retry_after.isdecimal() else 1.0


async def read_lines(fd: int) -> AsyncIterator[bytes]:
    """The lines of a descriptor, without their ends, as soon as each is complete.

    Raises:
        Failure: a line is longer than `LINE_MAX`, or the descriptor cannot be read.
    """
    begun = bytearray()
    while chunk := await _read(fd):
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            if begun:
                line = bytes(begun) + line
                begun.clear()
            yield line
        begun += rest
        if len(begun) > LINE_MAX:
            raise Failure(f"a line is longer than {LINE_MAX} bytes")
    if begun:
        yield bytes(begun)


async def _read(fd: int) -> bytes:
    # Loops can wait for pipes and terminals, but not for files. A thread can for all, and as a daemon with no lock
    # of Python's it keeps nobody who wants to leave; an executor would be waited for.
    loop = asyncio.get_running_loop()
    chunk: asyncio.Future[bytes] = loop.create_future()

    def settle(result: bytes | OSError) -> None:
        if chunk.done():
            return
        if isinstance(result, OSError):
            chunk.set_exception(result)
        else:
            chunk.set_result(result)

    def read() -> None:
        result: bytes | OSError
        try:
            result = os.read(fd, CHUNK)
        except OSError as error:
            result = error
        with contextlib.suppress(RuntimeError):
            # The loop is closed: nobody waits any more.
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=read, name="fanwire-lines", daemon=True).start()
    try:
        return await chunk
    except OSError as error:
        raise Failure(f"cannot read the lines: {os.strerror(error.errno or 0)}") from error


CHUNK = 64 << 10
"""Bytes read at a time: what a pipe holds."""

LINE_MAX = 16 << 20
"""Bytes of a line; a server takes 1 MiB unless told otherwise."""

KEEPALIVE = 10.0
ANSWER_TIMEOUT = 30.0

ANSWER_MAX = 200
"""Characters of an error's text: enough for a sentence, too little for somebody's error page."""

ATTEMPTS = 6
RETRY_AFTER_MAX = 10.0
"""A message is tried so often, with at most so many seconds between: a minute, then the server is not overloaded but
broken."""
