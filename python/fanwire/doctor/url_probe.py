"""Asks a server at a URL as its clients do: a plain request, and a session over each transport. Decides nothing."""

from __future__ import annotations

import asyncio
import os
import ssl as tls
import time
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec

from fanwire.client import ConnectionFailed, connect
from fanwire.client.chooser import TRANSPORTS
from fanwire.timing.deadline import within

__all__ = ["Attempt", "UrlReadings", "read_url"]


Cause = Literal["", "certificate", "name", "refused", "other"]
"""Why there is no answer: the server's certificate is not trusted, there is no such host, nothing listens there."""


class Attempt(msgspec.Struct, frozen=True):
    """A session over one transport.

    Attributes:
        transport: its name.
        error: why there was no session; "": there was one.
        status: the HTTP status that refused it; None: it was not refused by one.
        seconds: until the session was there, or had failed.
    """

    transport: str
    error: str = ""
    status: int | None = None
    seconds: float = 0.0


class UrlReadings(msgspec.Struct, frozen=True, kw_only=True):
    """What was read.

    Attributes:
        url: of the server, as ws:// or wss://.
        error: why there was no answer to a plain request; "": there was one.
        cause: the kind of that reason.
        status: of the answer to GET /healthz.
        body: its beginning.
        headers: of that answer, with names in lower case.
        asked: our time when the request was sent, in seconds since 1970.
        answered: our time when the answer came.
        expires: when the server's certificate expires, in seconds since 1970; None: there is none.
        attempts: a session over each transport.
    """

    url: str
    error: str = ""
    cause: Cause = ""
    status: int = 0
    body: str = ""
    headers: dict[str, str] = {}
    asked: float = 0.0
    answered: float = 0.0
    expires: float | None = None
    attempts: list[Attempt] = []


async def read_url(url: str, *, token: str | None = None, context: tls.SSLContext | None = None) -> UrlReadings:
    """Asks a server. Takes half a minute at most.

    Args:
        url: ws:// or wss://, as for clients.
        token: an API key or a token; None: none.
        context: for wss://; None: the certificates of the system are trusted.
    """
    readings = await _plain(url, context)
    if readings.error:
        # No transport can do what a plain request cannot.
        return readings
    attempts = await asyncio.gather(*(_attempt(url, name, token, context) for name in TRANSPORTS))
    return msgspec.structs.replace(readings, attempts=list(attempts))


def health_url(url: str) -> str:
    """The URL of `/healthz`, below the path of the clients' URL."""
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}[parts.scheme]
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + "/healthz", "", ""))


async def _plain(url: str, context: tls.SSLContext | None) -> UrlReadings:
    # Here: it takes a quarter of a second.
    from aiohttp import ClientError, ClientSession, ClientTimeout

    options: dict[str, Any] = {"allow_redirects": False}
    if context is not None:
        options["ssl"] = context
    asked = time.time()
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=TIMEOUT)) as session,
            session.get(health_url(url), **options) as answer,
        ):
            answered = time.time()
            body = (await answer.content.read(MAX_BODY)).decode(errors="replace")
            headers = {name.lower(): value for name, value in answer.headers.items()}
    except asyncio.TimeoutError:
        return UrlReadings(url=url, error=f"no answer within {TIMEOUT:g} s", cause="other")
    except (ClientError, OSError, ValueError) as error:
        return UrlReadings(url=url, error=reason_of(error), cause=cause_of(error))
    expires = await _expiry(url, context)
    return UrlReadings(
        url=url, status=answer.status, body=body, headers=headers, asked=asked, answered=answered, expires=expires
    )


def cause_of(error: Exception) -> Cause:
    """The kind of an error of a request."""
    from aiohttp import ClientConnectorCertificateError, ClientConnectorDNSError, ClientConnectorSSLError

    if isinstance(error, (ClientConnectorCertificateError, ClientConnectorSSLError)):
        return "certificate"
    if isinstance(error, ClientConnectorDNSError):
        return "name"
    return "refused" if isinstance(getattr(error, "os_error", error), ConnectionRefusedError) else "other"


def reason_of(error: Exception) -> str:
    """The text of an error of a request, without the name of a library."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    number = getattr(inner, "errno", None)
    if type(inner) is not OSError and isinstance(inner, ConnectionError) and number:
        return os.strerror(number)
    return str(inner) or type(inner).__name__


async def _expiry(url: str, context: tls.SSLContext | None) -> float | None:
    """When the server's certificate expires; None: it has none, or there was no second connection to ask for it."""
    parts = urlsplit(url)
    if parts.scheme != "wss":
        return None
    context = context or tls.create_default_context()
    try:
        _, writer = await within(
            asyncio.open_connection(parts.hostname, parts.port or HTTPS, ssl=context, server_hostname=parts.hostname),
            TIMEOUT,
        )
    except (OSError, asyncio.TimeoutError):
        return None
    found: Mapping[str, Any] = writer.get_extra_info("peercert") or {}
    writer.transport.abort()
    return tls.cert_time_to_seconds(found["notAfter"]) if "notAfter" in found else None


async def _attempt(url: str, transport: str, token: str | None, context: tls.SSLContext | None) -> Attempt:
    begun = time.monotonic()
    client = connect(
        url, token=token, ssl=context, transports=(transport,), first_attempts=1, max_attempts=1, open_timeout=TIMEOUT,
        close_timeout=1.0,
    )  # fmt: skip

    async def open_and_close() -> float:
        async with client:
            return time.monotonic() - begun

    try:
        return Attempt(transport, seconds=await within(open_and_close(), 2 * TIMEOUT))
    except ConnectionFailed as error:
        text = str(error).removeprefix("given up after 1 attempt: ").removeprefix("1006 ")
        return Attempt(transport, text, error.status, time.monotonic() - begun)
    except asyncio.TimeoutError:
        return Attempt(transport, f"not there within {2 * TIMEOUT:g} s", None, time.monotonic() - begun)


HTTPS = 443

TIMEOUT = 5.0
"""Seconds for an answer, as clients allow for a transport on a slow network."""

MAX_BODY = 200
"""Bytes of an answer that are read."""
