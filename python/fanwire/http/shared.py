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
from fanwire.http.cross_origin import CrossOrigin
from fanwire.http.head import Headers
from fanwire.http.link_cycle import LinkCycle
from fanwire.http.link_query import opens_link, token_in
from fanwire.http.link_routes import LinkRoutes
from fanwire.http.prefix import below
from fanwire.http.uvicorn import UvicornState
from fanwire.identity.proxies import Proxies
from fanwire.metrics import Metrics
from fanwire.observability.health import Health
from fanwire.observability.limits import Limits
from fanwire.protocol.table import HttpErrorCode
from fanwire.transports.link_slots import LinkSlot

__all__ = ["HttpKeys", "HttpShared"]


class HttpKeys:
    """The keys of clients that publish by HTTP and read metrics.

    Attributes:
        has_other: whether the value of an `Authorization` header shows a key of the admin API; None: it is off.
    """

    def __init__(self, keys: Collection[str]) -> None:
        self._keys = [key.encode() for key in keys]
        self.has_other: Callable[[bytes], bool] | None = None

    def __bool__(self) -> bool:
        return bool(self._keys)

    def has(self, authorization: bytes) -> bool:
        """Whether the value of an `Authorization` header shows one of the keys."""
        scheme, _, given = authorization.partition(b" ")
        # All keys are compared, in constant time, so that the time reveals nothing.
        matches = [hmac.compare_digest(given.strip(), known) for known in self._keys]
        return scheme.lower() == b"bearer" and any(matches)

    @property
    def has_any(self) -> bool:
        """Whether there is a key of any kind."""
        return bool(self._keys) or self.has_other is not None

    def reserve(self, authorization: bytes) -> bool:
        """Whether the value of an `Authorization` header shows a key of any kind: its holder gets a reserved place."""
        return self.has(authorization) or (self.has_other is not None and self.has_other(authorization))


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
        cross_origin: which pages may read answers about links.
        links: carries out the requests of links.
        slot: returns a slot for a connection whose request names a link; None: it counts like any other.
        is_ready: whether the server is ready for new clients.
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
        cross_origin: CrossOrigin,
        links: LinkRoutes,
        slot: Callable[[str], LinkSlot | None],
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
        self._links = links
        self.health = health
        self.state = UvicornState()
        self._keys = keys
        self._proxies = proxies
        self._cross_origin = cross_origin
        self._slot = slot
        self._is_ready = is_ready
        self._metrics = metrics
        self._places = HttpPlaces(Limits(config, self.count), reserve=keys.has_any)

    def count(self, limit: str) -> None:
        """Counts an exceeded limit, a field of `Config`."""
        self._metrics.limit_exceeded(limit).inc()

    def place(
        self, peer: str, headers: Headers, target: str, present: HttpPlace | LinkSlot | None
    ) -> HttpPlace | LinkSlot:
        """Returns the place of a connection for a request, and frees its present one if that is another. A request that
        names an open link has a slot of that link, all others count.

        Args:
            peer: the peer's address; "": a Unix socket.
            headers: the headers of the request.
            target: path and query without the prefix.
            present: the place from an earlier request; None: it is the first one.

        Raises:
            Refused: there is no place.
        """
        slot = self._slot_of(target)
        if slot is None and isinstance(present, HttpPlace):
            return present
        found = self._counted_place(peer, headers) if slot is None else slot
        if present is not None:
            present.leave()
        return found

    def _counted_place(self, peer: str, headers: Headers) -> HttpPlace:
        has_key = any(self._keys.reserve(value) for name, value in headers if name == b"authorization")
        # A trusted proxy has many clients behind one address.
        return self._places.take("" if self._proxies.trusts(peer) else peer, has_key=has_key)

    def link_cycle(self, method: bytes, target: str, headers: Headers, **others: Any) -> LinkCycle | None:
        """Returns what answers a POST or a poll of a link; None: the request is none.

        Args:
            method: of the request.
            target: path and query without the prefix.
            headers: of the request.
            others: of the connection, see `LinkCycle`.
        """
        query = target.partition("?")[2]
        if method not in (b"GET", b"POST") or token_in(query) is None or below(target, self.mount) is None:
            return None
        return LinkCycle(
            self._links,
            method.decode("ascii"),
            query,
            headers,
            lambda error: self.health.internal_error("HTTP", error),
            default_headers=self.state.default_headers,
            **others,
        )

    def _slot_of(self, target: str) -> LinkSlot | None:
        token = token_in(target.partition("?")[2]) if below(target, self.mount) is not None else None
        return None if token is None else self._slot(token)

    def answer(
        self, failure: HttpError | Refused, peer: str, method: bytes, target: bytes, headers: Headers = ()
    ) -> bytes:
        """Returns the last answer on a connection: to an invalid request, or to a peer without a place. Health checks
        are answered in any case.

        Args:
            failure: why the request is not served.
            peer: the peer's address.
            method: the method, as far as it was parsed.
            target: the target without the prefix; b"" if it was not parsed.
            headers: the headers, as far as they were parsed.
        """
        cors = self._cors(target.decode("latin-1"), headers)
        if isinstance(failure, HttpError):
            return self._written(failure.status, orjson.dumps(failure.document()), JSON, failure.retry_after, cors)
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
        return self._written(failure.status, orjson.dumps(told.document()), JSON, failure.retry_after, cors)

    def _cors(self, target: str, headers: Headers) -> Headers:
        """The headers with which a page can read the answer to a request that is about a link."""
        path = below(target, self.mount)
        if path is None or (token_in(path.partition("?")[2]) is None and not opens_link(b"GET", path, headers)):
            return ()
        return self._cross_origin.allowed(headers)

    def _written(
        self, status: HTTPStatus, body: bytes, kind: bytes, retry_after: int | None = None, more: Headers = ()
    ) -> bytes:
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}".encode(),
            *(name + b": " + value for name, value in (*self.state.default_headers, *more)),
            b"content-type: " + kind,
            b"content-length: %d" % len(body),
            b"connection: close",
        ]
        if retry_after is not None:
            lines.append(b"retry-after: %d" % retry_after)
        return b"\r\n".join([*lines, b"", body])


JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"
