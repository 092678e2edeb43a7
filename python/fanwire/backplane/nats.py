"""A backplane over NATS: core subjects from node to node, JetStream for logs.

Subjects, all below a prefix (see `subjects` for names of rooms):

* `fanwire.live.NAME.NODE`: what a node sends to those who hear a name.
* `fanwire.nodes`: what is told to all.
* `fanwire.echo.NODE`: what a node sends itself, to know that NATS has seen all that it sent before.
* `fanwire.records.NAME`: what is kept for a while, each with its own expiry (NATS ADR-43).
* `fanwire.log.LOG.ROOM`: what is to be stored. A stream takes it, and republishes what it has stored as
  `fanwire.fresh.LOG.ROOM`, with its number and that of the room's message before it: whoever hears that knows at once
  what it has missed, and no node needs a consumer.

It needs a NATS server of 2.11 or newer: batches of direct gets (NATS ADR-31), and republishing (ADR-28).
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

from fanwire._engine import Ingress
from fanwire.backplane.access import Access
from fanwire.backplane.base import INFINITE, Backplane, Listener, Log, LogState, Stored, Unavailable
from fanwire.backplane.jetstream import JetStream
from fanwire.backplane.nats_client import NATSClient
from fanwire.backplane.subjects import token_of
from fanwire.values.checks import (
    check_choice,
    check_function,
    check_integer,
    check_optional,
    check_text,
    check_texts,
    described,
)

__all__ = ["NATS"]

logger = logging.getLogger("fanwire.backplane")


class NATS(Backplane):
    """See the module's head.

    Args:
        servers: addresses of servers of one cluster, such as "nats://127.0.0.1:4222", with a user and password or a
            token if need be; or a function that returns them when it connects.
        credentials: a file with a user's JWT and its seed.
        ca: a file of certificates that are believed; None: the system's are.
        certificate: files with our own certificate and its key, for servers that want one.
        prefix: of all subjects and streams; installations that share a NATS server have each their own.
        storage: where logs are kept: "file", or "memory" for as long as the NATS server runs.
        replicas: on how many servers of the cluster a log is kept, 1 to 5.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: one is empty, or out of range.
    """

    def __init__(
        self,
        servers: str | Sequence[str] | Callable[[], Sequence[str]],
        *,
        credentials: str | None = None,
        ca: str | None = None,
        certificate: tuple[str, str] | None = None,
        prefix: str = "fanwire",
        storage: str = "file",
        replicas: int = 1,
    ) -> None:
        if callable(servers):
            self._servers: Any = check_function("servers", servers, plain=True)
        else:
            # One address may come alone: a text here is one address.
            given = [servers] if isinstance(servers, str) else servers
            self._servers = check_texts("servers", given, empty=False)
        check_optional(check_text, "credentials", credentials)
        check_optional(check_text, "ca", ca)
        if certificate is not None and (not isinstance(certificate, (tuple, list)) or len(certificate) != 2):
            raise TypeError(f"certificate must be two files, a certificate and its key, got {described(certificate)}")
        check_text("prefix", prefix, most=64)
        check_choice("storage", storage, ("file", "memory"))
        check_integer("replicas", replicas, least=1, most=5)
        self._access = Access((), credentials, ca, certificate)
        self._prefix = token_of(prefix)
        self._jetstream = JetStream(storage, replicas)
        self._listener: Listener | None = None
        # Tells our own messages from those of others.
        self._node = secrets.token_hex(4)
        self._heard: dict[str, int] = {}
        self._followed: dict[tuple[str, str], int] = {}
        # None: nobody is told yet.
        self._was_up: bool | None = None
        self._epochs: dict[str, str] = {}
        self._has_records = False

    async def open(self, listener: Listener) -> None:
        """See `Backplane`."""
        servers = self._servers() if callable(self._servers) else self._servers
        access = self._access._replace(servers=[servers] if isinstance(servers, str) else list(servers))
        own, echo = f".{self._node}", f"{self._prefix}.echo.{self._node}"
        # Of an earlier life, perhaps in another loop, which has ended without a word.
        self._forget()
        self._listener = listener
        self._jetstream.client = client = NATSClient(access, own, echo, listener, self._note)
        try:
            await client.opened()
            client.subscribe(f"{self._prefix}.nodes", None, "")
            await client.sync()
        except Unavailable as error:
            await self.close()
            raise Unavailable(f"no NATS server at {', '.join(access.places)}: {error}") from error
        self._was_up = True
        self._note()

    async def close(self) -> None:
        """See `Backplane`."""
        client, self._jetstream.client, self._listener = self._client, None, None
        self._forget()
        if client is not None:
            await client.close()

    @property
    def _client(self) -> NATSClient | None:
        return self._jetstream.client

    @property
    def is_up(self) -> bool:
        """See `Backplane`."""
        return self._client is not None and self._client.is_up

    @property
    def max_bytes(self) -> int:
        """See `Backplane`."""
        return (self._client.max_payload if self._client is not None else 1 << 20) - HEADERS

    async def reconnect(self) -> None:
        """See `Backplane`."""
        if self._client is not None:
            self._client.reconnect()

    # From node to node.

    def send(self, name: str, data: bytes) -> bool:
        """See `Backplane`."""
        client = self._client
        return client is not None and client.send(f"{self._prefix}.live.{token_of(name)}.{self._node}", data)

    async def hear(self, name: str, ingress: Ingress | None = None) -> None:
        """See `Backplane`."""
        client = self._jetstream.opened
        if name not in self._heard:
            self._heard[name] = client.subscribe(f"{self._prefix}.live.{token_of(name)}.*", None, name, ingress)
        await self._sync()

    def unhear(self, name: str) -> None:
        """See `Backplane`."""
        if self._client is not None and name in self._heard:
            self._client.unsubscribe(self._heard.pop(name))

    def tell(self, data: bytes) -> bool:
        """See `Backplane`."""
        return self._client is not None and self._client.send(f"{self._prefix}.nodes", data)

    # Logs.

    async def declare(self, log: Log) -> None:
        """See `Backplane`."""
        name, subject = self._stream(log), self._log_subject(log, "*")
        info = await self._jetstream.make(
            name,
            subject,
            log.age,
            description=f"fanwire rooms {log.name}",
            # One more, to see that nothing is missing before the others.
            max_msgs_per_subject=log.messages + 1,
            max_bytes=log.bytes,
            republish={"src": subject, "dest": self._fresh_subject(log, "{{wildcard(1)}}")},
        )
        self._note_epoch(name, info)

    async def append(self, log: Log, room: str, data: bytes, id: str) -> int:
        """See `Backplane`."""
        if len(data) > self.max_bytes:
            raise ValueError(f"the NATS server takes messages of {self.max_bytes} bytes, not of {len(data)}")
        headers = {"Nats-Msg-Id": id, "Nats-Expected-Stream": self._stream(log)}
        return await self._jetstream.store(self._log_subject(log, token_of(room)), data, headers)

    async def follow(self, log: Log, room: str) -> LogState:
        """See `Backplane`."""
        client, place = self._jetstream.opened, (log.name, room)
        if place not in self._followed:
            self._followed[place] = client.subscribe(self._fresh_subject(log, token_of(room)), *place)
        try:
            await self._sync()
            return await self.state(log, room)
        except Unavailable:
            self.unfollow(log, room)
            raise

    def unfollow(self, log: Log, room: str) -> None:
        """See `Backplane`."""
        if self._client is not None and (log.name, room) in self._followed:
            self._client.unsubscribe(self._followed.pop((log.name, room)))

    async def read(
        self, log: Log, room: str, after: int, upto: int | None = None, synced: float = INFINITE
    ) -> tuple[list[Stored], bool]:
        """See `Backplane`."""
        subject = self._log_subject(log, token_of(room))
        messages: list[Stored] = []
        for reply in await self._jetstream.read(self._stream(log), subject, after + 1, AT_ONCE):
            seq = int(reply.headers["Nats-Sequence"])
            messages.append(Stored(seq, messages[-1].seq if messages else after, reply.data))
        # After the reading: what was let go meanwhile must not be taken for never having been.
        is_whole = await self._is_whole(log, subject, after, synced)
        return [message for message in messages if upto is None or message.seq <= upto], is_whole

    async def state(self, log: Log, room: str) -> LogState:
        """See `Backplane`."""
        subject = self._log_subject(log, token_of(room))
        info = await self._info(log, subject)
        seq = last_seq = int(info["last_seq"])
        if info["subjects"]:
            last = await self._jetstream.find(self._stream(log), last_by_subj=subject)
            seq = seq if last is None else int(last.headers["Nats-Sequence"])
        return LogState(self._epochs[self._stream(log)], seq, last_seq)

    # What is kept for a while, by name.

    async def put(self, name: str, data: bytes, ttl: float) -> None:
        """See `Backplane`."""
        await self._make_records()
        await self._jetstream.store(self._record_subject(name), data, {"Nats-TTL": f"{ceil(ttl)}s"})

    async def get(self, name: str) -> bytes | None:
        """See `Backplane`."""
        await self._make_records()
        message = await self._jetstream.find(self._records, last_by_subj=self._record_subject(name))
        return None if message is None else message.data

    async def delete(self, name: str) -> None:
        """See `Backplane`."""
        await self._make_records()
        await self._jetstream.purge(self._records, self._record_subject(name))

    @property
    def _records(self) -> str:
        return f"{self._prefix}-records"

    def _record_subject(self, name: str) -> str:
        return f"{self._prefix}.records.{token_of(name)}"

    async def _make_records(self) -> None:
        if not self._has_records:
            await self._jetstream.make(
                self._records,
                f"{self._prefix}.records.*",
                RECORD_AGE,
                description="what fanwire keeps for a while",
                max_msgs_per_subject=1,
                max_bytes=RECORDS,
                allow_msg_ttl=True,
            )
            self._has_records = True

    # Inside.

    def _forget(self) -> None:
        self._heard.clear()
        self._followed.clear()
        self._has_records, self._was_up = False, None

    def _stream(self, log: Log) -> str:
        token = token_of(log.name)
        # Names of streams have at most 255 bytes.
        return f"{self._prefix}-{token if len(token) < 128 else hashlib.sha256(token.encode()).hexdigest()}"

    def _log_subject(self, log: Log, token: str) -> str:
        return f"{self._prefix}.log.{self._stream(log)}.{token}"

    def _fresh_subject(self, log: Log, token: str) -> str:
        return f"{self._prefix}.fresh.{self._stream(log)}.{token}"

    async def _sync(self) -> None:
        if not self.is_up:
            raise Unavailable("NATS is away")
        await self._jetstream.opened.sync()

    async def _info(self, log: Log, subject: str) -> dict[str, Any]:
        name = self._stream(log)
        info = await self._jetstream.info(name, subject)
        self._note_epoch(name, info)
        return {"subjects": {}, **info["state"]}

    def _note_epoch(self, name: str, info: dict[str, Any]) -> None:
        # A stream that was deleted and made again was created at another time, and counts from 1 again.
        made = f"{name} {info['created']}"
        self._epochs[name] = f"{int(hashlib.sha256(made.encode()).hexdigest()[:10], 16):x}"

    async def _is_whole(self, log: Log, subject: str, after: int, synced: float) -> bool:
        """Whether all of the room's messages after a number are kept. Limits let go of the oldest first: so if that
        message is still there, or nothing can have been let go from there on."""
        info = await self._info(log, subject)
        is_young = synced < log.age / 2 and info["bytes"] < log.bytes * 0.9
        if (is_young or int(info["first_seq"]) <= after + 1) and info["subjects"].get(subject, 0) <= log.messages:
            return True
        if after == 0:
            return False
        found = await self._jetstream.find(self._stream(log), seq=after)
        return found is not None and found.headers.get("Nats-Subject") == subject

    def _note(self) -> None:
        """Tells when the backplane has gone, or is back."""
        if self._listener is None or self._was_up in (None, self.is_up):
            return
        self._was_up = not self._was_up
        # A server that keeps them in memory may have come back without.
        self._has_records = False
        # The listener logs it for people.
        logger.debug("NATS is back" if self._was_up else "NATS is away")
        self._listener.went(self._was_up)


RECORDS = 256 << 20
"""Bytes of all that is kept by name: some 300,000 sessions. JetStream sets them aside."""

RECORD_AGE = 86_400.0
"""Seconds for which it is kept at most."""

AT_ONCE = 256
"""Messages that `read` returns at most."""

HEADERS = 1024
"""Bytes of a message's headers at most."""
