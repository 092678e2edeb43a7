"""Operators over WebSockets: a request for `PREFIX/live` with a key as its token becomes an operator's connection."""

from __future__ import annotations

from fanwire.admin.access import AdminAccess
from fanwire.identity.operator import Operator
from fanwire.identity.request import Request

__all__ = ["Operators"]


class Operators:
    """Recognizes operators.

    Args:
        access: checks keys.
        prefix: the path of the dashboard.
    """

    def __init__(self, access: AdminAccess, prefix: str) -> None:
        self._access = access
        self._path = prefix + LIVE

    def __call__(self, request: Request) -> Operator | None:
        """The operator whose request it is; None: the request is for another path, and the application decides.

        Raises:
            Refused: 401, the key is wrong or missing; 403, it lacks the scope "read"; 429, too many wrong keys.
        """
        if request.path != self._path:
            return None
        holder = self._access.enter(request.token or "", request.remote or "", "read")
        return Operator(f"$admin.{holder.name}", holder.scopes)


LIVE = "/live"
"""The end of the path for connections of operators."""
