"""Who may use the admin API: checks keys and scopes, and limits failures by address, so that keys cannot be guessed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from fanwire.admin.settings import Admin, AdminScope, Holder
from fanwire.errors import Refused
from fanwire.http.wrong_keys import WrongKeys, bearer_of

__all__ = ["AdminAccess"]

logger = logging.getLogger("fanwire.admin")


class AdminAccess:
    """Checks the keys of requests.

    Args:
        admin: the keys.
        clock: returns seconds that never go back.
    """

    def __init__(self, admin: Admin, clock: Callable[[], float] = time.monotonic) -> None:
        self._admin = admin
        self._wrong = WrongKeys(logger, "admin key", clock)

    def enter(self, key: str, address: str, scope: AdminScope) -> Holder:
        """Returns the holder of a key that has a scope.

        Args:
            key: the shown key; "": none.
            address: of the client; "": it has none (a Unix socket), and all such clients count as one.
            scope: what the request needs.

        Raises:
            Refused: 401, the key is wrong or missing; 403, it lacks the scope; 429, too many requests of this address
                had a wrong key, and the key was not looked at.
        """
        self._wrong.check(key, address)
        holder = self._admin.holder(key) if key else None
        if holder is None:
            self._wrong.wrong(key, address)
            raise Refused(401, "the admin key is wrong or missing; send it as Authorization: Bearer KEY")
        if scope not in holder.scopes:
            raise Refused(403, f"this admin key has no scope {scope!r}")
        return holder

    def has(self, authorization: bytes) -> bool:
        """Whether the value of an `Authorization` header shows a key."""
        return self._admin.holder(bearer_of(authorization)) is not None
