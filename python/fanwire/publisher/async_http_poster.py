"""Posts batches by HTTP with aiohttp, on an event loop: connections that are kept alive."""

from __future__ import annotations

import asyncio

import aiohttp

from fanwire.publisher.delivering import PublishAnswer
from fanwire.publisher.http_poster import ANSWER_MAX, PostFailed
from fanwire.publisher.target import PublishTarget

__all__ = ["AsyncHttpPoster"]


class AsyncHttpPoster:
    """Posts to one server. Belongs to the event loop of the first `post`.

    Args:
        target: the server.
    """

    def __init__(self, target: PublishTarget) -> None:
        self._target = target
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes, timeout: float) -> PublishAnswer:
        """Posts a batch and returns the answer.

        Args:
            body: a JSON list of messages.
            timeout: seconds until the answer has come.

        Raises:
            PostFailed: there was no answer.
            RuntimeError: the session belongs to another event loop.
        """
        work = asyncio.ensure_future(self._post(self._opened(), body, timeout))
        try:
            await asyncio.wait([work])
        finally:
            # The caller no longer waits.
            work.cancel()
        if work.cancelled():
            # aiohttp cancels who waits for a connection, or for the address of the host, when a session is closed.
            raise PostFailed("the publisher was closed")
        return work.result()

    async def _post(self, session: aiohttp.ClientSession, body: bytes, timeout: float) -> PublishAnswer:
        try:
            async with session.post(
                self._target.url,
                data=body,
                headers=self._target.headers,
                timeout=aiohttp.ClientTimeout(total=timeout),
                allow_redirects=False,
            ) as response:
                data = await response.content.read(ANSWER_MAX)
                while not response.content.at_eof() and len(data) < ANSWER_MAX:
                    data += await response.content.read(ANSWER_MAX - len(data))
                is_cut = not response.content.at_eof()
                if is_cut:
                    # Its connection is not used again: the rest of the answer is still on its way.
                    response.close()
                return PublishAnswer(response.status, data, response.headers.get("Retry-After"), is_cut)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise PostFailed(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Closes the connections."""
        session, self._session, self._loop = self._session, None, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=self._target.max_connections, ssl=True if self._target.ssl is None else self._target.ssl
            )
            self._session = aiohttp.ClientSession(
                connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError(
                "the AsyncPublisher belongs to another event loop: make one for each loop, or use fanwire.Publisher"
            )
        return self._session
