"""A backplane over NATS: core subjects from node to node, JetStream for logs.

Subjects, all below a prefix (see `subjects` for names of rooms):

* `fanwire.live.NAME.NODE`: messages of a node to the nodes that hear a name.
* `fanwire.nodes`: messages to all nodes.
* `fanwire.echo.NODE`: messages of a node to itself, which prove that NATS has seen all that it sent before.
* `fanwire.records.NAME`: values with an expiry (NATS ADR-43).
* `fanwire.log.LOG.ROOM`: messages to be stored. A stream stores them and republishes them as `fanwire.fresh.LOG.ROOM`,
  with their number and that of the room's message before: so a node knows what it has missed, and needs no consumer.

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
from fanwire.backplane.subjects import name_of, token_of
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
    """Connects the nodes of a Fanwire cluster through NATS, and stores histories and sessions in JetStream.

    Example::

        from fanwire.backplane.nats import NATS

        server = fanwire.Server(insecure=True, backplane=NATS("nats://127.0.0.1:4222"))

    It needs a NATS server of version 2.11 or newer with JetStream. `Backplane` describes the methods.

    Args:
        servers: one URL or several of the NATS servers of one cluster, such as "nats://127.0.0.1:4222". A URL may have
            a user and password, or a token, percent-encoded. Or a function that returns the URLs, called at each start.
        credentials: the path of a file with a NATS user's JWT and seed; None: no such file.
        ca: the path of a file with trusted certificates (PEM); None: the certificates of the system.
        certificate: the paths of this node's certificate and its private key (PEM); None: no certificate.
        prefix: how the names of all subjects and streams begin, 1 to 64 bytes. Installations that share a NATS server
            need different prefixes.
        storage: where NATS stores messages: "file", or "memory", which loses them when the NATS server stops.
        replicas: the number of NATS servers that store each message, 1 to 5.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: an argument is empty or out of range.
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
            self._servers: Any = check_function("servers", servers, plain=True, takes=())
        else:
            # A str is one address.
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
        # The end of this node's subjects, so that it does not hear its own messages.
        self._node = secrets.token_hex(4)
        self._heard: dict[str, int] = {}
        self._followed: dict[tuple[str, str], int] = {}
        # None: the listener gets no events yet.
        self._was_up: bool | None = None
        self._epochs: dict[str, str] = {}
        self._has_records = False

    async def open(self, listener: Listener) -> None:
        """Connects to NATS, and reconnects by itself until `close`.

        Raises:
            Unavailable: no server can be reached, or none answers in time. The text names the addresses.
        """
        servers = self._servers() if callable(self._servers) else self._servers
        access = self._access._replace(servers=[servers] if isinstance(servers, str) else list(servers))
        own, echo = f".{self._node}", f"{self._prefix}.echo.{self._node}"
        # The state of an earlier run, perhaps in another loop that has ended without `close`.
        self._forget()
        self._listener = listener
        self._jetstream.client = client = NATSClient(access, own, echo, listener, self._note)
        try:
            await client.opened()
            client.subscribe(f"{self._prefix}.nodes", None, "")
            await client.sync()
        except Unavailable as error:
            await self.close()
            raise Unavailable(f"cannot connect to a NATS server at {', '.join(access.places)}: {error}") from error
        self._was_up = True
        if not client.is_up:
            self._note(False)

    async def close(self) -> None:
        """Sends the waiting messages, and disconnects."""
        client, self._jetstream.client, self._listener = self._client, None, None
        self._forget()
        if client is not None:
            await client.close()

    @property
    def _client(self) -> NATSClient | None:
        return self._jetstream.client

    @property
    def is_up(self) -> bool:
        """Whether it is connected."""
        return self._client is not None and self._client.is_up

    @property
    def max_bytes(self) -> int:
        """The most bytes of a message."""
        return (self._client.max_payload if self._client is not None else 1 << 20) - HEADERS

    async def reconnect(self) -> None:
        """Replaces the connection."""
        if self._client is not None:
            self._client.reconnect()

    # From node to node.

    def send(self, name: str, data: bytes) -> bool:
        """Sends data to all other nodes that hear a name, from any thread. Returns whether it was sent."""
        client = self._client
        return client is not None and client.send(f"{self._prefix}.live.{token_of(name)}.{self._node}", data)

    async def hear(self, name: str, ingress: Ingress | None = None) -> None:
        """Hears a name, as `Backplane.hear` describes."""
        client = self._jetstream.opened
        if name not in self._heard:
            self._heard[name] = client.subscribe(f"{self._prefix}.live.{token_of(name)}.*", None, name, ingress)
        await self._sync()

    def unhear(self, name: str) -> None:
        """Hears a name no longer."""
        if self._client is not None and name in self._heard:
            self._client.unsubscribe(self._heard.pop(name))

    def tell(self, data: bytes) -> bool:
        """Tells data to all nodes."""
        return self._client is not None and self._client.send(f"{self._prefix}.nodes", data)

    # Logs.

    async def declare(self, log: Log) -> None:
        """Makes a log, or changes its limits."""
        name, subject = self._stream(log), self._log_subject(log, "*")
        info = await self._jetstream.make(
            name,
            subject,
            log.age,
            description=f"fanwire rooms {log.name}",
            # One more: it shows that nothing is missing before the others.
            max_msgs_per_subject=log.messages + 1,
            max_bytes=log.bytes,
            republish={"src": subject, "dest": self._fresh_subject(log, "{{wildcard(1)}}")},
        )
        self._note_epoch(name, info)

    async def append(self, log: Log, room: str, data: bytes, id: str) -> int:
        """Stores a message once for each id, and returns its number, as `Backplane.append`."""
        if len(data) > self.max_bytes:
            raise ValueError(
                f"the message must have at most {self.max_bytes} bytes, the limit of the NATS server, got {len(data)}"
            )
        headers = {"Nats-Msg-Id": id, "Nats-Expected-Stream": self._stream(log)}
        return await self._jetstream.store(self._log_subject(log, token_of(room)), data, headers)

    async def follow(self, log: Log, room: str) -> LogState:
        """Follows a room, as `Backplane.follow` describes."""
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
        """Follows a room no longer."""
        if self._client is not None and (log.name, room) in self._followed:
            self._client.unsubscribe(self._followed.pop((log.name, room)))

    async def read(
        self, log: Log, room: str, after: int, upto: int | None = None, synced: float = INFINITE
    ) -> tuple[list[Stored], bool]:
        """Reads messages of a room, as `Backplane.read` describes."""
        subject = self._log_subject(log, token_of(room))
        messages: list[Stored] = []
        for reply in await self._jetstream.read(self._stream(log), subject, after + 1, AT_ONCE):
            seq = int(reply.headers["Nats-Sequence"])
            messages.append(Stored(seq, messages[-1].seq if messages else after, reply.data))
        # After the reading: a message that was dropped meanwhile must not look as if it never was.
        is_whole = await self._is_whole(log, subject, after, synced)
        return [message for message in messages if upto is None or message.seq <= upto], is_whole

    async def rooms(self, log: Log) -> list[str]:
        """The rooms that have messages in a log."""
        info = await self._info(log, self._log_subject(log, "*"))
        return [name_of(subject.rpartition(".")[2]) for subject in info["subjects"] or ()]

    async def state(self, log: Log, room: str) -> LogState:
        """The position of a room in its log."""
        subject = self._log_subject(log, token_of(room))
        info = await self._info(log, subject)
        epoch, last_seq = self._epochs[self._stream(log)], int(info["last_seq"])
        if not info["subjects"]:
            # Age and size drop the oldest messages of all rooms, so those of this room were before the oldest now.
            return LogState(epoch, last_seq, last_seq, max(0, int(info["first_seq"]) - 1))
        last = await self._jetstream.find(self._stream(log), last_by_subj=subject)
        seq = last_seq if last is None else int(last.headers["Nats-Sequence"])
        return LogState(epoch, seq, last_seq, None if last is None else seq)

    # Values with an expiry, by name.

    async def put(self, name: str, data: bytes, ttl: float) -> None:
        """Keeps a value for `ttl` seconds."""
        await self._make_records()
        await self._jetstream.store(self._record_subject(name), data, {"Nats-TTL": f"{ceil(ttl)}s"})

    async def get(self, name: str) -> bytes | None:
        """Returns a value, if it has not expired."""
        await self._make_records()
        message = await self._jetstream.find(self._records, last_by_subj=self._record_subject(name))
        return None if message is None else message.data

    async def delete(self, name: str) -> None:
        """Deletes a value."""
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
            raise Unavailable("not connected to NATS")
        await self._jetstream.opened.sync()

    async def _info(self, log: Log, subject: str) -> dict[str, Any]:
        name = self._stream(log)
        info = await self._jetstream.info(name, subject)
        self._note_epoch(name, info)
        return {"subjects": {}, **info["state"]}

    def _note_epoch(self, name: str, info: dict[str, Any]) -> None:
        # A stream that was deleted and made again has another time of creation, and counts from 1 again.
        made = f"{name} {info['created']}"
        self._epochs[name] = f"{int(hashlib.sha256(made.encode()).hexdigest()[:10], 16):x}"

    async def _is_whole(self, log: Log, subject: str, after: int, synced: float) -> bool:
        """Whether all messages of a room after a number are kept. Limits drop the oldest first: so they are if that
        message is still there, or if nothing after it can have been dropped."""
        info = await self._info(log, subject)
        is_young = synced < log.age / 2 and info["bytes"] < log.bytes * 0.9
        if (is_young or int(info["first_seq"]) <= after + 1) and info["subjects"].get(subject, 0) <= log.messages:
            return True
        if after == 0:
            return False
        found = await self._jetstream.find(self._stream(log), seq=after)
        return found is not None and found.headers.get("Nats-Subject") == subject

    def _note(self, is_up: bool) -> None:
        """Tells the listener that the connection was lost, or is back."""
        if self._listener is None or self._was_up in (None, is_up):
            return
        self._was_up = is_up
        # A server that keeps its streams in memory may have been restarted without them.
        self._has_records = False
        # At DEBUG: the listener logs it for operators.
        logger.debug("NATS is back" if is_up else "NATS is away")
        self._listener.connection_changed(is_up)


RECORDS = 256 << 20
"""The most bytes of all values: some 300,000 sessions. JetStream reserves them."""

RECORD_AGE = 86_400.0
"""The most seconds for which a value is kept."""

AT_ONCE = 256
"""The most messages that `read` returns."""

HEADERS = 1024
"""The most bytes of a message's headers."""
