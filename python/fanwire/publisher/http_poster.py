"""Posts batches by HTTP with urllib3: connections that are kept alive, from any thread, without an event loop."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from fanwire.publisher.delivering import PublishAnswer
from fanwire.publisher.target import PublishTarget

try:
    import urllib3

    from fanwire.publisher.http_answers import pool_manager
except ImportError:  # an extra, because servers do not need it
    urllib3 = None  # type: ignore[assignment]  # without the extra

__all__ = ["HttpPoster", "PostFailed", "PostTooLarge"]


class PostFailed(Exception):
    """A batch got no answer: it is unknown whether it has arrived."""


class PostTooLarge(Exception):
    """A batch is larger than what can be sent: a smaller one may be sent."""


class HttpPoster:
    """Posts to one server, from any thread and in any process.

    A forked process makes connections of its own: a connection that two processes share would mix their requests.

    Args:
        target: the server.

    Raises:
        ImportError: urllib3 is not installed.
    """

    def __init__(self, target: PublishTarget) -> None:
        if urllib3 is None:
            raise ImportError("fanwire.Publisher needs urllib3: pip install 'fanwire[publisher]'")
        self._target = target
        self._pool = _ProcessPool(target)

    def post(self, body: bytes, timeout: float) -> PublishAnswer:
        """Posts a batch and returns the answer.

        Args:
            body: a JSON list of messages.
            timeout: seconds until the answer has come, of which waiting for a connection and connecting take a part.

        Raises:
            PostFailed: there was no answer.
        """
        pool = self._pool
        if pool.process != os.getpid():
            # Two threads may do this at once: then one pool is used for one request only.
            pool = self._pool = _ProcessPool(self._target)
        deadline = time.monotonic() + timeout
        if not pool.slots.acquire(timeout=timeout):
            raise self._all_in_use()
        try:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._all_in_use()
            return self._post(pool, body, left)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise PostFailed(str(error) or type(error).__name__) from error
        finally:
            pool.slots.release()

    def _all_in_use(self) -> PostFailed:
        return PostFailed(f"{self._target.max_connections} connections are in use (max_connections)")

    def _post(self, pool: _ProcessPool, body: bytes, timeout: float) -> PublishAnswer:
        response = pool.manager.request(
            "POST",
            self._target.url,
            body=body,
            headers=self._target.headers,
            timeout=urllib3.Timeout(total=timeout),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        data = b""
        # Only a read that finds the end of the connection tells that the answer is cut off.
        while len(data) <= ANSWER_MAX and (part := response.read(ANSWER_MAX + 1 - len(data), decode_content=False)):
            data += part
        if len(data) > ANSWER_MAX:
            # Not used again: the rest of the answer is still on its way.
            response.close()
        else:
            response.release_conn()
        retry_after = response.headers.get("Retry-After")
        return PublishAnswer(response.status, data[:ANSWER_MAX], retry_after, len(data) > ANSWER_MAX)

    def close(self) -> None:
        """Closes the idle connections. Those of another process are left to it."""
        if self._pool.process == os.getpid():
            self._pool.manager.clear()


class _ProcessPool:
    """The connections of one process."""

    def __init__(self, target: PublishTarget) -> None:
        self.process = os.getpid()
        options: dict[str, Any] = {} if target.ssl is None else {"ssl_context": target.ssl}
        self.manager = pool_manager(num_pools=1, maxsize=target.max_connections, **options)
        # Not `block=True`: at the exit of the interpreter urllib3 empties its pools, which would block for ever.
        self.slots = threading.BoundedSemaphore(target.max_connections)


ANSWER_MAX = 1 << 20
"""The most bytes of an answer: a batch of 500 results with their errors has a fifth of that."""
