"""`fanwire health`: asks a server once whether it works. One request and one answer; there is no retry."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from typing import Any
from urllib.parse import urlsplit

import click

from fanwire.cli.address import server_url
from fanwire.cli.failure import CommandFailed, Misuse

__all__ = ["check_health", "health"]

ANSWER_MAX = 200
"""The most characters of an answer that are shown: those of Fanwire have one short line."""


@click.command()
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="URL of the server.")
@click.option("--unix", metavar="FILE", help="Unix socket of the server, instead of host and port.")
@click.option(
    "--live", "is_live", is_flag=True, help="Ask whether the process works (/healthz), not whether it is ready."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 60, min_open=True),
    default=3.0,
    show_default=True,
    help="Seconds to wait for the answer.",
)
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False),
    help="File with the certificates (PEM) to trust, in place of those of the system.",
)
@click.option("--no-verify", is_flag=True, help="Do not check the server's certificate, as for wss://127.0.0.1.")
def health(url: str, no_verify: bool, **options: Any) -> None:
    """Asks a server once whether it is ready for new clients (/readyz).

    For the health checks of containers and scripts. A server that is not ready may have a good reason: it
    drains, or its connection to NATS is lost. So only end a server for a failure of --live.

    The exit code is 0 if the server answers with 200, 1 if not, and 2 for wrong options.
    """
    click.echo(check_health(url, verify=not no_verify, **options))


def check_health(
    url: str,
    *,
    unix: str | None = None,
    is_live: bool = False,
    timeout: float = 3.0,
    ca: str | None = None,
    verify: bool = True,
) -> str:
    """Returns the first line of a healthy server's answer, such as "ready".

    Args:
        url: of the server, with its prefix if it has one.
        unix: the file of its Unix socket; None: host and port of the URL count.
        is_live: whether to ask `/healthz` (the process works) instead of `/readyz` (it is ready for new clients).
        timeout: the most seconds until the whole answer is there.
        ca: the file of the certificates that are trusted; None: those of the system.
        verify: whether the server's certificate is checked.

    Raises:
        CommandFailed: there is no answer in time, or it is not 200.
        Misuse: the URL is no URL of a server, or `ca` is no file of certificates.
    """
    parts = urlsplit(server_url(url))
    path = parts.path.rstrip("/") + ("/healthz" if is_live else "/readyz")
    where = f"unix:{unix}" if unix else f"{parts.scheme}://{parts.netloc}"
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if unix is not None:
        connection = _UnixConnection(unix, timeout=timeout)
    elif parts.scheme == "wss":
        connection = http.client.HTTPSConnection(host, parts.port, timeout=timeout, context=_context(ca, verify))
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=timeout)
    late = f"{where}{path} has not answered within {timeout:g} seconds"
    # The timeout of a socket begins again with each part that comes.
    limit = _Limit(connection, timeout)
    try:
        connection.request("GET", path)
        # Closed here: an answer without a length keeps the socket, which outlives its connection.
        with connection.getresponse() as answer:
            status, text = answer.status, answer.read(ANSWER_MAX).decode(errors="replace").strip()
    except TimeoutError as error:
        raise CommandFailed(late) from error
    except (OSError, http.client.HTTPException) as error:
        if limit.is_over:
            raise CommandFailed(late) from error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CommandFailed(f"{where}{path} cannot be asked: {_printable(reason)}") from error
    finally:
        limit.end()
        connection.close()
    if limit.is_over:
        raise CommandFailed(late)
    line = _printable(text.splitlines()[0]) if text else ""
    if status != http.HTTPStatus.OK:
        hint = (
            "; beside an application Fanwire is at /fanwire by default" if status == http.HTTPStatus.NOT_FOUND else ""
        )
        raise CommandFailed(f"{where}{path} has answered {status}: {line!r}{hint}")
    return line


def _printable(text: str) -> str:
    """A peer's text without what would control a terminal."""
    return "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in text[:ANSWER_MAX])


class _Limit:
    """Shuts a connection down when its time is over."""

    def __init__(self, connection: http.client.HTTPConnection, seconds: float) -> None:
        self.is_over = False
        self._connection = connection
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """The time does not count any more."""
        self._timer.cancel()

    def _shut(self) -> None:
        self.is_over = True
        # Without a connection, the socket's own timeout is about to end the attempt.
        sock = self._connection.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                # Of the plain socket: that of TLS would take its reader's state away.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: str, *, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self._path)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


def _context(ca: str | None, verify: bool) -> ssl.SSLContext:
    if not verify:
        # The request shows nothing that is secret, and its answer is one line.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise Misuse(f"--ca must be a file of certificates (PEM), got {ca!r}: {error}") from error
