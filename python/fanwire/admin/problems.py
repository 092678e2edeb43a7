"""Errors of the admin API, in the one form of RFC 9457 (problem details)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from fanwire.admin.documents import ProblemDocument
from fanwire.backplane.base import Unavailable
from fanwire.errors import Closed, Overloaded, Refused
from fanwire.http.body import HttpError

__all__ = ["Problem", "problem_of"]


class Problem(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of the answer.
        code: the error for programs.
        parameter: what is wrong: `?name` of the query, or `$.name` of the body; None: it is not about a part.
        retry_after: seconds after which the same request may succeed; None: it cannot.
        nodes: the nodes that it is about; None: it is about none.
    """

    def __init__(
        self,
        status: int,
        code: str,
        text: str,
        parameter: str | None = None,
        *,
        retry_after: int | None = None,
        nodes: list[str] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = HTTPStatus(status)
        self.code = code
        self.parameter = parameter
        self.retry_after = retry_after
        self.nodes = nodes

    def document(self) -> ProblemDocument:
        """The body of the answer."""
        return ProblemDocument(
            title=self.status.phrase, status=self.status.value, detail=str(self), code=self.code,
            parameter=self.parameter, nodes=self.nodes,
        )  # fmt: skip

    def answer(self, headers: Mapping[str, str] | None = None) -> Response:
        """The answer."""
        found = {"Cache-Control": "no-store", **(headers or {})}
        if self.retry_after is not None:
            found["Retry-After"] = str(self.retry_after)
        if self.status is HTTPStatus.UNAUTHORIZED:
            found["WWW-Authenticate"] = "Bearer"
        if self.status is HTTPStatus.REQUEST_TIMEOUT:
            found["Connection"] = "close"
        return Response(msgspec.json.encode(self.document()), self.status, found, "application/problem+json")


def problem_of(error: BaseException) -> Problem | None:
    """The problem that an error of another part is; None: it is an error of the server itself."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HttpError):
        return Problem(error.status, error.code, str(error), error.path, retry_after=error.retry_after)
    if isinstance(error, Refused):
        return Problem(error.status, _REFUSALS[error.status], str(error), retry_after=error.retry_after)
    if isinstance(error, Unavailable):
        return Problem(503, "unavailable", f"the backplane is not available, try again later: {error}", retry_after=1)
    if isinstance(error, Overloaded):
        text = "the server has too many messages waiting, try again later"
        return Problem(503, "overloaded", text, retry_after=1)
    if isinstance(error, Closed):
        return Problem(503, "unavailable", "the server is starting or stopping, try again later", retry_after=1)
    return None


_REFUSALS: Mapping[Any, str] = {401: "unauthorized", 403: "forbidden", 429: "rate_limited", 503: "unavailable"}
