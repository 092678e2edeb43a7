"""Checks of what a server is made with. Each argument is looked at when it is given, and an error names it."""

from __future__ import annotations

import re
import ssl
from ipaddress import IPv6Address, ip_address
from typing import Any, NamedTuple

from fanwire.backplane.base import Backplane
from fanwire.checks import (
    check_flag,
    check_function,
    check_instance,
    check_integer,
    check_optional,
    check_text,
    check_texts,
    described,
)
from fanwire.config import Config
from fanwire.gateway.prefix import check_prefix
from fanwire.origin import PORTS, is_host

__all__ = ["ServerArguments"]


class ServerArguments(NamedTuple):
    """Arguments of `Server` in the form in which they are used.

    Attributes:
        origins: as browsers write them.
        hosts: names and addresses in lower case, those of IPv6 in brackets.
        trusted_proxies: addresses and networks.
        api_keys: keys.
        prefix: without a slash at its end.
    """

    origins: tuple[str, ...] | None
    hosts: tuple[str, ...] | None
    trusted_proxies: tuple[str, ...]
    api_keys: tuple[str, ...]
    prefix: str

    @classmethod
    def of(cls, **given: Any) -> ServerArguments:
        """Checks the arguments; see `Server` for each.

        Raises:
            TypeError: one is of the wrong type.
            ValueError: one is out of range or not what it must be, or two contradict each other.
        """
        check_listener(given["host"], given["port"])
        check_optional(check_function, "authenticate", given["authenticate"])
        check_optional(check_function, "authorize", given["authorize"])
        check_flag("insecure", given["insecure"])
        if given["authenticate"] is None and not given["insecure"]:
            raise ValueError("who may connect? give the server `authenticate`, or `insecure=True` to let everyone in")
        if given["authenticate"] is not None and given["insecure"]:
            raise ValueError("give the server `authenticate` or `insecure=True`, not both: who may connect?")
        check_optional(check_context, "ssl", given["ssl"])
        check_optional(check_store, "sessions", given["sessions"])
        if given["backplane"] is not None and not isinstance(given["backplane"], Backplane):
            raise TypeError(f"backplane must be a Backplane, got {described(given['backplane'])}")
        check_flag("reuse_port", given["reuse_port"])
        check_optional(check_instance, "config", given["config"], kind=Config, what="a fanwire.Config")
        origins, hosts = given["origins"], given["hosts"]
        return cls(
            origins=None if origins is None else tuple(map(checked_origin, check_texts("origins", origins))),
            hosts=None if hosts is None else tuple(map(checked_host, check_texts("hosts", hosts, empty=False))),
            trusted_proxies=check_texts("trusted_proxies", given["trusted_proxies"]),
            api_keys=check_keys(given["api_keys"]),
            prefix=check_prefix("prefix", given["prefix"]),
        )


def check_listener(host: Any, port: Any) -> None:
    """Looks whether a server can listen at this address.

    Raises:
        TypeError, ValueError: it cannot.
    """
    check_text("host", host)
    is_name = re.fullmatch(r"[^\s\x00-\x1f\x7f:/?#@\[\]]+", host) is not None
    if not is_name and not _is_ipv6(host):
        raise ValueError(f"host must be a name or an address without a port, got {described(host)}")
    check_integer("port", port, least=0, most=65_535)


def checked_origin(origin: str) -> str:
    """An origin as a browser writes it in `Origin` (RFC 6454 section 6.2).

    Raises:
        ValueError: no browser has such an origin.
    """
    scheme, separator, authority = origin.partition("://")
    is_scheme = re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) is not None
    if not separator or not is_scheme or not is_host(authority):
        hint = ""
        if origin == "*":
            hint = "; leave origins out to let in every page"
        elif not origin.isascii():
            hint = "; a name that is not ASCII is written in its xn-- form"
        raise ValueError(
            f"origins must be such as 'https://example.com', without a path, got {described(origin)}{hint}"
        )
    scheme, authority = scheme.lower(), authority.lower()
    default = PORTS.get(scheme)
    # A browser leaves the default port out.
    return f"{scheme}://{authority.removesuffix(f':{default}') if default else authority}"


def checked_host(host: str) -> str:
    """A name of the server, as it is compared with `Host`.

    Raises:
        ValueError: it has a port, a scheme or a path, or is no name.
    """
    found = f"[{host}]" if _is_ipv6(host) else host
    has_port = re.search(r":\d*$", found) is not None and not found.endswith("]")
    if has_port or not is_host(found):
        raise ValueError(
            f"hosts must be names such as 'example.com', without a scheme or a port, got {described(host)}"
        )
    return found.lower()


def check_keys(keys: Any) -> tuple[str, ...]:
    """Returns API keys.

    Raises:
        TypeError: they are no list of str. Errors do not quote a key.
        ValueError: one cannot be sent, see RFC 6750 section 2.1.
    """
    if not isinstance(keys, (str, bytes)) and isinstance(keys, (list, tuple, set, frozenset)) and not all(keys):
        raise ValueError("an API key must not be empty: it would let everyone publish")
    found = check_texts("api_keys", keys, secret=True)
    for key in found:
        if not all("!" <= character <= "~" for character in key) or len(key) > MAX_KEY:
            raise ValueError(f"each of api_keys must be 1 to {MAX_KEY} printable ASCII characters without spaces")
    return found


def check_context(name: str, value: Any) -> ssl.SSLContext:
    """Returns a context for the server's side of TLS.

    Raises:
        TypeError: it is no context.
        ValueError: it is for clients.
    """
    context = check_instance(name, value, ssl.SSLContext, "an ssl.SSLContext")
    if context.protocol is ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError(f"{name} must be a context for servers (ssl.Purpose.CLIENT_AUTH), got one for clients")
    return context


def check_store(name: str, value: Any) -> Any:
    """Returns a session store.

    Raises:
        TypeError: it lacks a method, or is a class.
    """
    if isinstance(value, type) or not all(callable(getattr(value, call, None)) for call in ("save", "load", "delete")):
        raise TypeError(f"{name} must be a SessionStore with save, load and delete, got {described(value)}")
    return value


def _is_ipv6(host: str) -> bool:
    try:
        return isinstance(ip_address(host), IPv6Address)
    except ValueError:
        return False


MAX_KEY = 4096
"""Characters of a key."""
