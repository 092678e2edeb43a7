"""Checks of the arguments of `Server`. Errors name the argument."""

from __future__ import annotations

import os
import re
import sys
from inspect import signature
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, NamedTuple

from fanwire.admin.settings import Admin
from fanwire.backplane.base import Backplane
from fanwire.config import Config
from fanwire.http.prefix import check_prefix
from fanwire.identity.origin import PORTS, is_host
from fanwire.listening.listeners import HOST, PORT, Inherited, Place, Tcp, Unix
from fanwire.tls.settings import TLS
from fanwire.values.checks import (
    check_flag,
    check_function,
    check_instance,
    check_integer,
    check_optional,
    check_text,
    check_texts,
    described,
)

__all__ = ["NOT_GIVEN", "ServerArguments"]


class ServerArguments(NamedTuple):
    """Arguments of `Server` in the form in which they are used.

    Attributes:
        origins: as browsers write them.
        hosts: names and addresses in lower case, those of IPv6 in brackets.
        trusted_proxies: addresses and networks.
        api_keys: keys.
        mount: without a slash at its end.
        prefix: without a slash at its end.
        place: where it listens.
    """

    origins: tuple[str, ...] | None
    hosts: tuple[str, ...] | None
    trusted_proxies: tuple[str, ...]
    api_keys: tuple[str, ...]
    mount: str
    prefix: str
    place: Place

    @classmethod
    def of(cls, **given: Any) -> ServerArguments:
        """Checks the arguments; see `Server` for each.

        Raises:
            TypeError: one is of the wrong type.
            ValueError: one is out of range or not what it must be, or two contradict each other.
        """
        place = check_place(**{name: given[name] for name in WHERE})
        check_optional(check_function, "authenticate", given["authenticate"], takes=("request",))
        check_optional(check_function, "authorize", given["authorize"], takes=("identity", "action", "room"))
        check_flag("insecure", given["insecure"])
        if given["authenticate"] is None and not given["insecure"]:
            raise ValueError(
                "no client may connect: give the server `authenticate`, or `insecure=True` to accept all clients"
            )
        if given["authenticate"] is not None and given["insecure"]:
            raise ValueError("give the server `authenticate` or `insecure=True`, not both")
        if given["ssl"] is not NOT_GIVEN:
            raise TypeError(NO_CONTEXT)
        check_optional(check_instance, "tls", given["tls"], kind=TLS, what="a fanwire.TLS(certificate, key)")
        check_optional(check_instance, "admin", given["admin"], kind=Admin, what="a fanwire.Admin(keys)")
        check_optional(check_app, "app", given["app"])
        check_optional(check_store, "sessions", given["sessions"])
        if given["backplane"] is not None and not isinstance(given["backplane"], Backplane):
            raise TypeError(f"backplane must be a Backplane, got {described(given['backplane'])}")
        check_optional(check_instance, "config", given["config"], kind=Config, what="a fanwire.Config")
        origins, hosts, mount = given["origins"], given["hosts"], given["mount"]
        proxies = tuple(map(checked_proxy, check_texts("trusted_proxies", given["trusted_proxies"])))
        if check_flag("proxy_protocol", given["proxy_protocol"]) and not proxies:
            raise ValueError("proxy_protocol needs trusted_proxies: the proxies that may send the client's address")
        if mount is None:
            # Beside an application Fanwire has a path of its own, so that it hides none of the application's.
            mount = "" if given["app"] is None else MOUNT
        return cls(
            origins=None if origins is None else tuple(map(checked_origin, check_texts("origins", origins))),
            hosts=None if hosts is None else tuple(map(checked_host, check_texts("hosts", hosts, empty=False))),
            trusted_proxies=proxies,
            api_keys=check_keys(given["api_keys"]),
            mount=check_prefix("mount", mount),
            prefix=check_prefix("prefix", given["prefix"]),
            place=place,
        )


def check_place(
    host: Any = None, port: Any = None, unix: Any = None, unix_mode: Any = None, fd: Any = None, reuse_port: Any = False
) -> Place:
    """Returns where a server listens; see `Server` for the arguments.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: an argument is invalid, or they name two places.
    """
    if host is not None:
        check_host(host)
    if port is not None:
        check_integer("port", port, least=0, most=65_535)
    check_flag("reuse_port", reuse_port)
    tcp = [name for name, value in (("host", host), ("port", port)) if value is not None]
    named = [name for name, value in (("unix", unix), ("fd", fd)) if value is not None]
    if len(named) + bool(tcp) > 1:
        raise ValueError(f"{' and '.join(tcp + named)} name two places to listen at: give one of them")
    if named and reuse_port:
        raise ValueError(f"reuse_port can be used with host and port only, not with {named[0]}")
    if unix_mode is not None and unix is None:
        raise ValueError("unix_mode needs unix, the path of the Unix socket")
    if unix is not None:
        return Unix(check_path(unix), None if unix_mode is None else check_mode(unix_mode))
    if fd is not None:
        if isinstance(fd, str) and fd != "systemd":
            raise ValueError(f"fd must be the number of a file descriptor, or 'systemd', got {described(fd)}")
        return Inherited(None if fd == "systemd" else (check_integer("fd", fd, least=0),))
    return Tcp(HOST if host is None else host, PORT if port is None else port, reuse_port)


def check_host(host: Any) -> str:
    """Returns a host to listen at.

    Raises:
        TypeError, ValueError: it is none.
    """
    check_text("host", host)
    if host == "*":
        raise ValueError("host must not be '*': use '::' for all addresses (IPv4 and IPv6), or '0.0.0.0' for IPv4 only")
    is_name = re.fullmatch(r"[^\s\x00-\x1f\x7f:/?#@\[\]]+", host) is not None
    if not is_name and not _is_ipv6(host):
        raise ValueError(f"host must be a name or an address without a port, got {described(host)}")
    return str(host)


def check_path(unix: Any) -> Path:
    """Returns the path of a Unix socket, absolute: the process may go elsewhere.

    Raises:
        TypeError: it is no path.
        ValueError: it is empty, or longer than a Unix socket's can be.
    """
    text = os.fspath(unix) if isinstance(unix, os.PathLike) else unix
    if "\0" in check_text("unix", text):
        raise ValueError(f"unix must be a path without NUL, got {described(text)}")
    path = Path(text).absolute()
    size = len(os.fsencode(path))
    if size > LONGEST_PATH:
        raise ValueError(
            f"unix must have at most {LONGEST_PATH} bytes as an absolute path, which the system allows, got {size}"
        )
    return path


def check_mode(mode: Any) -> int:
    """Returns the permissions of a file.

    Raises:
        TypeError: it is no whole number.
        ValueError: it has other bits, as decimal numbers have that look like an octal one.
    """
    check_integer("unix_mode", mode, least=0)
    if mode > 0o777:
        raise ValueError(f"unix_mode must be octal and at most 0o777, such as 0o660, got {mode}")
    return int(mode)


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
            hint = "; leave out origins to accept all pages"
        elif not origin.isascii():
            hint = "; write a name that is not ASCII in its xn-- form"
        raise ValueError(
            f"origins must have the form 'https://example.com', without a path, got {described(origin)}{hint}"
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


def checked_proxy(proxy: str) -> str:
    """A proxy: its address, its network, or "unix" for all that connect by a Unix socket.

    Raises:
        ValueError: it is neither.
    """
    if proxy != "unix":
        try:
            ip_network(proxy)
        except ValueError as error:
            raise ValueError(
                "trusted_proxies must be addresses or networks, such as '127.0.0.1' or '10.0.0.0/8', or 'unix', not "
                f"names: {error}"
            ) from error
    return proxy


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


def check_app(name: str, value: Any) -> Any:
    """Returns an ASGI application.

    Raises:
        TypeError: it is none, such as the name of one, its class, or a function that makes one.
    """
    what = "an ASGI application such as FastAPI() or Starlette()"
    if isinstance(value, type) or not callable(value):
        raise TypeError(f"{name} must be {what}, got {described(value)}")
    try:
        signature(value).bind({}, None, None)
    except TypeError:
        raise TypeError(f"{name} must be {what}, called with scope, receive and send, got {described(value)}") from None
    except ValueError:
        # Of some callables Python knows no signature.
        pass
    return value


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


MOUNT = "/fanwire"
"""Where Fanwire is beside an application."""

NOT_GIVEN: Any = object()
"""The default of an argument of which every value is an error."""

NO_CONTEXT = (
    "ssl must not be given, because the engine encrypts, outside of Python: write "
    "tls=fanwire.TLS('fullchain.pem', 'privkey.pem'), with the files of the certificate chain and of its key; without "
    "TLS leave both out"
)
"""A context does not tell its certificates and keys, so none can be taken over from it."""

MAX_KEY = 4096
"""Characters of a key."""

WHERE = ("host", "port", "unix", "unix_mode", "fd", "reuse_port")
"""The arguments that say where it listens."""

LONGEST_PATH = 107 if sys.platform == "linux" else 103
"""Bytes of `sun_path`, without the NUL at its end (unix(7))."""
