"""The state that all HTTP connections of one server share: settings, places, and the answers to peers that are not
served."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any

import orjson
import uvicorn

from fanwire.config import Config
from fanwire.errors import Refused
from fanwire.http.body import HttpError
from fanwire.http.connection_limits import HttpPlace, HttpPlaces
from fanwire.http.head import Headers
from fanwire.http.prefix import below
from fanwire.http.uvicorn import UvicornState
from fanwire.identity.proxies import Proxies
from fanwire.metrics import Metrics
from fanwire.observability.health import Health
from fanwire.observability.limits import Limits
from fanwire.protocol.table import HttpErrorCode

__all__ = ["HttpKeys", "HttpShared"]


class HttpKeys:
    """The keys of clients that publish by HTTP and read metrics."""

    def __init__(self, keys: Collection[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def has(self, authorization: bytes) -> bool:
        """Whether the value of an `Authorization` header shows one of the keys."""
        scheme, _, given = authorization.partition(b" ")
        # All keys are compared, in constant time, so that the time reveals nothing.
        matches = [hmac.compare_digest(given.strip(), known) for known in self._keys]
        return scheme.lower() == b"bearer" and any(matches)


class HttpShared:
    """The state that all connections of one server share, from its start to its stop.

    Args:
        config: the limits.
        uvicorn: the settings of uvicorn, including the ASGI application.
        app_state: the state that the application's `lifespan` has prepared for its requests.
        prefix: the prefix of all paths, see `Server`.
        mount: the path of the built-in routes, see `Server`.
        has_app: whether the other paths belong to an application.
        keys: the API keys, for which places are reserved.
        proxies: trusted proxies, which are not counted by address.
        is_ready: whether clients are let in.
        metrics: counts exceeded limits.
        health: logs refused peers.

    Attributes:
        state: the state that uvicorn's protocols share.
    """

    def __init__(
        self,
        config: Config,
        uvicorn: uvicorn.Config,
        app_state: dict[str, Any],
        *,
        prefix: str,
        mount: str,
        has_app: bool,
        keys: HttpKeys,
        proxies: Proxies,
        is_ready: Callable[[], bool],
        metrics: Metrics,
        health: Health,
    ) -> None:
        self.config = config
        self.uvicorn = uvicorn
        self.app_state = app_state
        self.prefix = prefix
        self.mount = mount
        self.has_app = has_app
        self.health = health
        self.state = UvicornState()
        self._keys = keys
        self._proxies = proxies
        self._is_ready = is_ready
        self._metrics = metrics
        self._places = HttpPlaces(Limits(config, self.count), reserve=bool(keys))

    def count(self, limit: str) -> None:
        """Counts an exceeded limit, a field of `Config`."""
        self._metrics.limit_exceeded(limit).inc()

    def place(self, peer: str, headers: Headers) -> HttpPlace:
        """Takes a place for a connection.

        Args:
            peer: the peer's address; "": a Unix socket.
            headers: the headers of its first request.

        Raises:
            Refused: there is no place.
        """
        has_key = any(self._keys.has(value) for name, value in headers if name == b"authorization")
        # A trusted proxy has many clients behind one address.
        return self._places.take("" if self._proxies.trusts(peer) else peer, has_key=has_key)

    def answer(self, failure: HttpError | Refused, peer: str, method: bytes, target: bytes) -> bytes:
        """Returns the last answer on a connection: to an invalid request, or to a peer without a place. Health checks
        are answered in any case.

        Args:
            failure: why the request is not served.
            peer: the peer's address.
            method: the method, as far as it was parsed.
            target: the target without the prefix; b"" if it was not parsed.
        """
        if isinstance(failure, HttpError):
            return self._written(failure.status, orjson.dumps(failure.document()), JSON, failure.retry_after)
        # A full server still passes its health checks: a restart would make it worse.
        path = below(target.decode("latin-1").partition("?")[0], self.mount) if method == b"GET" else None
        if path == "/healthz":
            return self._written(HTTPStatus.OK, b"ok\n", TEXT)
        if path == "/readyz":
            is_ready = self._is_ready()
            status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
            return self._written(status, b"ready\n" if is_ready else b"not ready\n", TEXT)
        self.health.info("%s refused with %d: %s", peer or "a peer", failure.status, failure)
        code: HttpErrorCode = "rate_limited" if failure.status is HTTPStatus.TOO_MANY_REQUESTS else "overloaded"
        told = HttpError(
            failure.status,
            code,
            "the server has too many connections, try again later",
            retry_after=failure.retry_after,
        )
        return self._written(failure.status, orjson.dumps(told.document()), JSON, failure.retry_after)

    def _written(self, status: HTTPStatus, body: bytes, kind: bytes, retry_after: int | None = None) -> bytes:
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}".encode(),
            *(name + b": " + value for name, value in self.state.default_headers),
            b"content-type: " + kind,
            b"content-length: %d" % len(body),
            b"connection: close",
        ]
        if status is HTTPStatus.UPGRADE_REQUIRED:
            lines[-1:] = [b"connection: close, upgrade", b"upgrade: websocket", b"sec-websocket-version: 13"]
        if retry_after is not None:
            lines.append(b"retry-after: %d" % retry_after)
        return b"\r\n".join([*lines, b"", body])


JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"
