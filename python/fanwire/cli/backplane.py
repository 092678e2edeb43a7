"""The backplane of `fanwire serve`, made from its settings."""

from __future__ import annotations

import os
import ssl

from fanwire.backplane.base import Backplane
from fanwire.backplane.nats import NATS
from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.cli.settings import EMBEDDED, NATSTable
from fanwire.values.checks import described_file

__all__ = ["build_backplane", "embedded_store"]


def build_backplane(table: NATSTable | None) -> Backplane | None:
    """Makes a backplane, which is not open yet; None: there are no other nodes.

    Raises:
        CommandFailed: a certificate or the credentials cannot be read.
        Misuse: a URL has another scheme, or a certificate comes without its key, or the other way round.
    """
    if table is None or not table.servers:
        return None
    for url in table.servers:
        scheme, mark, _ = url.partition("://")
        if mark and scheme.lower() not in SCHEMES:
            # The rest may be a password.
            raise Misuse(
                f"nats.servers must be URLs such as 'nats://10.0.0.1:4222' or 'embedded', got one of {scheme}://"
            )
    try:
        context = ssl.create_default_context(cafile=table.ca)
    except (OSError, ssl.SSLError) as error:
        raise CommandFailed(f"cannot read certificates (PEM) from {described_file(table.ca)}: {error}") from error
    if (table.certificate is None) != (table.key is None):
        raise Misuse("give both nats.certificate and nats.key, or neither")
    certificate = None if table.certificate is None or table.key is None else (table.certificate, table.key)
    if certificate is not None:
        try:
            context.load_cert_chain(*certificate)
        except (OSError, ssl.SSLError) as error:
            names = f"{described_file(table.certificate)} and {described_file(table.key)}"
            raise CommandFailed(f"cannot use {names} as a certificate and its key: {error}") from error
    if table.credentials is not None and not os.access(table.credentials, os.R_OK):
        raise CommandFailed("cannot read the file that nats.credentials names")
    # The address of an embedded server is known when it runs.
    servers = (lambda: [os.environ[URL_VARIABLE]]) if EMBEDDED in table.servers else table.servers
    return NATS(
        servers,
        credentials=table.credentials,
        ca=table.ca,
        certificate=certificate,
        prefix=table.prefix,
        storage=table.storage,
        replicas=table.replicas,
    )


def embedded_store(table: NATSTable | None) -> str | None:
    """The directory of an embedded NATS server; None: there is none, or the parent process runs it.

    Raises:
        Misuse: "embedded" comes with other servers.
    """
    if table is None or EMBEDDED not in table.servers:
        return None
    if len(table.servers) > 1:
        raise Misuse(f"{EMBEDDED!r} starts a NATS server: leave out the other servers")
    return None if URL_VARIABLE in os.environ else table.store


SCHEMES = frozenset({"nats", "tls", "ws", "wss"})
"""The schemes of URLs that NATS clients know. A URL may come without its scheme."""

URL_VARIABLE = "FANWIRE_EMBEDDED_NATS"
"""The variable with the embedded server's address and token, for workers. Arguments are visible to other users."""
