"""A context of TLS that remembers the error by which a connection ended.

In TLS 1.3 the server looks at the client's certificate after the client's handshake is done, so that its refusal comes
with the first read (RFC 8446 section 4.4.2.4). picows calls that a lost connection, and does not say why.
"""

from __future__ import annotations

import ssl as tls
from functools import cache
from typing import Any

__all__ = ["WatchedContext", "default_context"]


class WatchedContext(tls.SSLContext):
    """Does what another context does, for one connection.

    Args:
        context: the other one.

    Attributes:
        error: why a read has failed; None: none has.
    """

    def __new__(cls, context: tls.SSLContext) -> WatchedContext:
        """Makes one: `SSLContext` takes its protocol here."""
        return super().__new__(cls, tls.PROTOCOL_TLS_CLIENT)

    def __init__(self, context: tls.SSLContext) -> None:
        self._context = context
        self.error: tls.SSLError | None = None

    def wrap_bio(self, *arguments: Any, **options: Any) -> Any:
        """The TLS of a connection, from the other context."""
        return _Watched(self._context.wrap_bio(*arguments, **options), self)


class _Watched:
    """An `SSLObject` whose reads are watched."""

    def __init__(self, wrapped: tls.SSLObject, context: WatchedContext) -> None:
        self._wrapped = wrapped
        self._watching = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def read(self, *arguments: Any) -> Any:
        """Reads, as `SSLObject.read` does."""
        try:
            return self._wrapped.read(*arguments)
        except (tls.SSLWantReadError, tls.SSLWantWriteError):
            raise
        except tls.SSLError as error:
            self._watching.error = error
            raise


@cache
def default_context() -> tls.SSLContext:
    """The system's certificates: reading them takes milliseconds."""
    return tls.create_default_context()
