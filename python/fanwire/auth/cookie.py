"""Authentication by the session cookie of a website."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from fanwire.errors import Refused
from fanwire.identity.authentication import accepted
from fanwire.identity.authenticator import Authenticator
from fanwire.identity.request import Request
from fanwire.values.checks import check_function, check_text, described

__all__ = ["CookieSession"]


class CookieSession(Authenticator):
    """Accepts clients that have a session with the website that sets this cookie.

    Browsers send cookies with requests of any page. So a cookie counts only from a page of the server's own origin or
    one of `Server(origins=...)`; otherwise the answer is 403.

    Args:
        name: the name of the cookie.
        load: gets the value of the cookie, which the client may have invented. Returns an identity, or None (or another
            false value) if there is no such session. May be a coroutine function. An error other than `Refused` is
            answered with 500.

    Raises:
        TypeError: `name` is not a str, or `load` is not a function.
        ValueError: `name` cannot be the name of a cookie.
    """

    def __init__(self, name: str, load: Callable[[str], Any]) -> None:
        if not _NAME.fullmatch(check_text("name", name)):
            raise ValueError(f"name must be the name of a cookie, got {described(name)}")
        check_function("load", load, takes=("cookie",))
        self._name = name
        self._load = load

    def ask(self, request: Request) -> Any:
        """Returns the identity of a request's session; a coroutine if `load` has to be awaited.

        Raises, here or in the coroutine:
            Refused: 401: there is no cookie or no session; 403: the page is of another origin.
        """
        value = request.cookie(self._name)
        if not value:
            raise Refused(401, f"no cookie {self._name}")
        if len(value) > MAX_VALUE:
            raise Refused(401, f"cookie {self._name} is longer than {MAX_VALUE} characters")
        identity = self._load(value)
        return self._wait(identity) if isawaitable(identity) else self._checked(identity)

    async def _wait(self, identity: Awaitable[Any]) -> Any:
        return self._checked(await identity)

    def _checked(self, identity: Any) -> Any:
        if identity is None:
            raise Refused(401, f"no session for cookie {self._name}")
        return accepted(identity)


MAX_VALUE = 4096
"""The most characters of a cookie's value, as in browsers (RFC 6265 section 6.1)."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token of RFC 9110."""
