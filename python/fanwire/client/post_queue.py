"""The client's messages on a fallback transport: batches of lines, numbered, one on its way at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from fanwire.client.http_answer import HttpAnswer
from fanwire.client.link import Unreachable
from fanwire.timing.deadline import within

__all__ = ["PostQueue", "insist"]

MAX_BATCH = 1 << 16
"""Bytes of a batch: a message that waits behind it is not late, and few requests are needed. One message always
fits."""
FIRST_PAUSE = 0.1
"""Seconds until a request is sent again; doubled with each time."""
MAX_PAUSE = 3.2
"""The longest pause in seconds. All pauses together take six seconds: then the session is resumed over another link,
which repeats what the server has not counted."""
ANSWER_TIMEOUT = 15.0
"""Seconds for the answer to a batch. The server may take its time while the application is busy; a proxy that has lost
the request never answers."""
OK = 204


class PostQueue:
    """Sends lines in their order, each once.

    Args:
        post: sends the batch with this number. The last argument is the code with which the session ends; None: it goes
            on. The same batch may be sent again with the same number.
    """

    def __init__(self, post: Callable[[int, bytes, int | None], Awaitable[HttpAnswer]]) -> None:
        self._post = post
        self._lines: deque[bytes] = deque()
        self._code: int | None = None
        self._number = 0
        self._is_wanted = asyncio.Event()

    def push(self, line: bytes) -> None:
        """Adds a line. Those that are added while a batch is on its way are one batch."""
        self._lines.append(line)
        self._is_wanted.set()

    def close(self, code: int) -> None:
        """Ends the session with the last batch."""
        self._code = code
        self._is_wanted.set()

    async def run(self) -> HttpAnswer | None:
        """Sends until the end of the session. Returns the answer that refuses a batch; None: there is none."""
        while True:
            await self._is_wanted.wait()
            body = self._batch()
            code = None if self._lines else self._code
            self._number += 1
            answer = await insist(lambda: self._post(self._number, body, code))  # noqa: B023 - it is awaited here
            if answer is None or answer.status != OK:
                return answer
            if code is not None:
                return None
            if not self._lines and self._code is None:
                self._is_wanted.clear()

    def _batch(self) -> bytes:
        lines: list[bytes] = []
        size = 0
        while self._lines and (not lines or size + len(self._lines[0]) < MAX_BATCH):
            size += len(self._lines[0]) + 1
            lines.append(self._lines.popleft())
        return b"\n".join(lines)


async def insist(request: Callable[[], Awaitable[HttpAnswer]], timeout: float = ANSWER_TIMEOUT) -> HttpAnswer | None:
    """Repeats a request whose failure may pass: no answer, too early, or a failure of the server or of a proxy.

    Args:
        request: sends it.
        timeout: seconds for each answer.

    Returns:
        The answer; None: there was none.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            answer = await within(request(), timeout)
            if answer.status not in PASSING and answer.status < PASSING_FROM:
                return answer
        except (OSError, Unreachable, asyncio.TimeoutError):
            answer = None
        if pause > MAX_PAUSE:
            return answer
        await asyncio.sleep(pause)
        pause *= 2


PASSING = frozenset({408, 421, 425, 429})
"""Statuses that may be gone the next time: 408 and 425 are about the network, 421 about the connection."""
PASSING_FROM = 500
