"""A hub whose engine is a list of what was asked of it: for what needs no socket."""

from __future__ import annotations

from typing import Any, cast
from unittest import mock

from fanwire._engine import Closed, Engine
from fanwire.authentication import Authenticate, Authentication
from fanwire.calls import Calls
from fanwire.config import Config
from fanwire.fabric import Fabric
from fanwire.health import Health
from fanwire.hub import Handlers, Hub
from fanwire.limits import Limits
from fanwire.policy import Policies
from fanwire.rejections import Rejections
from fanwire.rights import Rights
from fanwire.store import MemoryStore, SessionStore


class FakeEngine:
    """Notes what is done with requests. What else an engine can do is done, and not noted.

    Attributes:
        accepted: by request: the session's encoding, the first message and the rate.
        resumed: by request: the arguments of `resume` behind it.
        refused: by request: status, headers and reason.
        absent: requests whose peers have left.
        is_closed: whether the engine has ended.
    """

    def __init__(self) -> None:
        self.accepted: dict[int, tuple[str | None, bytes, float]] = {}
        self.resumed: dict[int, tuple[Any, ...]] = {}
        self.refused: dict[int, tuple[int, list[str], str]] = {}
        self.absent: set[int] = set()
        self.is_closed = False
        self._others = mock.Mock(spec=Engine)

    def accept(self, request: int, session: str | None = None, first: bytes = b"", rate: float = 1.0) -> int | None:
        self._decide(request)
        if request in self.absent:
            return None
        self.accepted[request] = (session, first, rate)
        return request + LINKS

    def resume(self, conn: int, request: int, *rest: Any) -> int | None:
        self._decide(request)
        if request in self.absent:
            return None
        self.resumed[request] = (conn, *rest)
        return request + LINKS

    def refuse(self, request: int, status: int, headers: list[str] = [], reason: str = "") -> None:  # noqa: B006
        self._decide(request)
        self.refused[request] = (status, headers, reason)

    def _decide(self, request: int) -> None:
        if self.is_closed:
            raise Closed
        decided = (self.accepted, self.resumed, self.refused)
        assert not any(request in table for table in decided), f"request {request} is decided twice"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._others, name)


def hub_with(
    engine: FakeEngine,
    authenticate: Authenticate | None = None,
    config: dict[str, Any] | None = None,
    store: SessionStore | None = None,
    health: Health | None = None,
) -> tuple[Hub, Authentication]:
    """A hub, and who authenticates for it. To be called with a running loop."""
    limits = Limits(Config(**(config or {})), lambda limit: None)
    health = health or Health()
    calls = Calls(health)
    authentication = Authentication(authenticate, limits.config.handshake_timeout, 0.0, calls)
    hub = Hub(
        Fabric(cast("Any", engine)), limits, Handlers(), Policies(), store or MemoryStore(100),
        Rights(None, 1.0, calls), authentication, Rejections(lambda handler: None), health, calls,
    )  # fmt: skip
    return hub, authentication


LINKS = 1000
"""The difference between a request and its link."""
