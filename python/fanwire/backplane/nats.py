"""A backplane over NATS: core subjects from node to node, JetStream for logs. Needs `fanwire[nats]`.

Subjects, all below a prefix (see `subjects` for names of rooms):

* `fanwire.live.NAME.NODE`: what a node sends to those who hear a name.
* `fanwire.nodes`: what is told to all.
* `fanwire.records.NAME`: what is kept for a while, each with its own expiry (NATS ADR-43).
* `fanwire.log.LOG.ROOM`: what is to be stored. A stream takes it, and republishes what it has stored as
  `fanwire.fresh.LOG.ROOM`, with its number and that of the room's message before it: whoever hears that knows at once
  what it has missed, and no node needs a consumer.

It needs a NATS server of 2.11 or newer: batches of direct gets (NATS ADR-31), and republishing (ADR-28).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from typing import Any

import nats
import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from fanwire.backplane.base import INFINITE, Backplane, Listener, Log, LogState, Stored, Unavailable
from fanwire.backplane.subjects import token_of

__all__ = ["NATS"]

logger = logging.getLogger("fanwire.backplane")


class NATS(Backplane):
    """See the module's head.

    Args:
        servers: addresses of servers of one cluster, such as "nats://127.0.0.1:4222", with a user and password or a
            token if need be; or a function that returns them when it connects.
        credentials: a file with a user's JWT and its seed.
        tls: for servers with certificates of their own; None: the system's are believed.
        prefix: of all subjects and streams; installations that share a NATS server have each their own.
        storage: where logs are kept: "file", or "memory" for as long as the NATS server runs.
        replicas: on how many servers of the cluster a log is kept.
    """

    def __init__(
        self,
        servers: str | Sequence[str] | Callable[[], Sequence[str]],
        *,
        credentials: str | None = None,
        tls: ssl.SSLContext | None = None,
        prefix: str = "fanwire",
        storage: str = "file",
        replicas: int = 1,
    ) -> None:
        self._servers = servers
        self._credentials = credentials
        self._tls = tls
        self._prefix = token_of(prefix)
        self._storage = storage
        self._replicas = replicas
        self._client: Client | None = None
        self._listener: Listener | None = None
        # Tells our own messages from those of others.
        self._node = secrets.token_hex(4)
        self._wanted: set[str] = set()
        self._heard: dict[str, Subscription] = {}
        self._followed: dict[tuple[str, str], Subscription] = {}
        self._places: dict[int, tuple[str | None, str]] = {}
        self._epochs: dict[str, str] = {}
        self._has_records = False
        self._outgoing: deque[tuple[str, bytes]] = deque()
        self._outgoing_bytes = 0
        self._pump: asyncio.Task[None] | None = None
        # The last complaint of the client, which its exceptions do not repeat.
        self._said: Exception | None = None

    async def open(self, listener: Listener) -> None:
        """See `Backplane`."""
        self._listener = listener
        client = Client()
        servers = self._servers() if callable(self._servers) else self._servers
        servers = [servers] if isinstance(servers, str) else list(servers)
        connecting = client.connect(
            servers,
            name="fanwire",
            error_cb=self._failed,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            # Its defaults give up after two minutes, and notice a dead server after four.
            max_reconnect_attempts=-1,
            reconnect_time_wait=RETRY,  # type: ignore[arg-type]
            connect_timeout=TIMEOUT,
            ping_interval=PING,
            max_outstanding_pings=2,
            pending_size=PENDING,
            user_credentials=self._credentials,
            tls=self._tls,
        )
        try:
            await asyncio.wait_for(connecting, TIMEOUT)
        except (asyncio.TimeoutError, OSError, nats.errors.Error) as error:
            await _let_go(client)
            places = ", ".join(server.rpartition("@")[2] for server in servers)
            raise Unavailable(f"no NATS server at {places}: {reason_of(self._said or error)}") from error
        self._client = client
        await client.subscribe(f"{self._prefix}.nodes", cb=self._told)
        await self._flush()

    async def close(self) -> None:
        """See `Backplane`."""
        client, self._client, self._listener = self._client, None, None
        self._wanted.clear()
        for subscribed in (self._heard, self._followed, self._places):
            subscribed.clear()
        self._has_records = False
        if self._pump is not None:
            await asyncio.wait([self._pump], timeout=TIMEOUT)
            self._pump.cancel()
        if client is not None:
            with contextlib.suppress(nats.errors.Error, asyncio.TimeoutError, OSError):
                await client.flush(1)
            await _let_go(client)

    @property
    def is_up(self) -> bool:
        """See `Backplane`."""
        return self._client is not None and self._client.is_connected

    @property
    def max_bytes(self) -> int:
        """See `Backplane`."""
        return self._client.max_payload if self._client is not None and self._client.max_payload else 1 << 20

    async def reconnect(self) -> None:
        """See `Backplane`."""
        if self._client is not None and self.is_up:
            await self._client.force_reconnect()

    # From node to node.

    def send(self, name: str, data: bytes) -> bool:
        """See `Backplane`."""
        return self._put(f"{self._prefix}.live.{token_of(name)}.{self._node}", data)

    async def hear(self, name: str) -> None:
        """See `Backplane`."""
        self._wanted.add(name)
        if name not in self._heard:
            subject = f"{self._prefix}.live.{token_of(name)}.*"
            subscription = await self._subscribe(subject, (None, name), self._hearing(name))
            if name in self._heard or name not in self._wanted:
                # Meanwhile somebody else has, or nobody wants it any more.
                self._unsubscribe(subscription)
            else:
                self._heard[name] = subscription
        await self._flush()

    def unhear(self, name: str) -> None:
        """See `Backplane`."""
        self._wanted.discard(name)
        self._unsubscribe(self._heard.pop(name, None))

    def tell(self, data: bytes) -> bool:
        """See `Backplane`."""
        return self._put(f"{self._prefix}.nodes", data)

    # Logs.

    async def declare(self, log: Log) -> None:
        """See `Backplane`."""
        name = self._stream(log)
        config = {
            "name": name,
            "description": f"fanwire rooms {log.name}",
            "subjects": [self._log_subject(log, "*")],
            "retention": "limits",
            "discard": "old",
            "storage": self._storage,
            "num_replicas": self._replicas,
            # One more, to see that nothing is missing before the others.
            "max_msgs_per_subject": log.messages + 1,
            "max_bytes": log.bytes,
            "max_age": int(log.age * 1e9),
            "duplicate_window": int(min(log.age, DUPLICATES) * 1e9),
            "allow_direct": True,
            "republish": {
                "src": self._log_subject(log, "*"),
                "dest": self._fresh_subject(log, "{{wildcard(1)}}"),
            },
        }
        answer = await self._ask(f"$JS.API.STREAM.CREATE.{name}", config)
        if answer.get("error", {}).get("err_code") == IN_USE:
            answer = await self._ask(f"$JS.API.STREAM.UPDATE.{name}", config)
        self._note_epoch(name, _result(answer))

    async def append(self, log: Log, room: str, data: bytes, id: str) -> int:
        """See `Backplane`."""
        if len(data) > self.max_bytes - HEADERS:
            raise ValueError(f"the NATS server takes messages of {self.max_bytes - HEADERS} bytes, not of {len(data)}")
        headers = {"Nats-Msg-Id": id, "Nats-Expected-Stream": self._stream(log)}
        return int(_result(await self._ask(self._log_subject(log, token_of(room)), data, headers))["seq"])

    async def follow(self, log: Log, room: str) -> LogState:
        """See `Backplane`."""
        place = log.name, room
        if place not in self._followed:
            subject = self._fresh_subject(log, token_of(room))
            self._followed[place] = await self._subscribe(subject, place, self._following(*place))
        try:
            await self._flush()
            return await self.state(log, room)
        except Unavailable:
            self.unfollow(log, room)
            raise

    def unfollow(self, log: Log, room: str) -> None:
        """See `Backplane`."""
        self._unsubscribe(self._followed.pop((log.name, room), None))

    async def read(
        self, log: Log, room: str, after: int, upto: int | None = None, synced: float = INFINITE
    ) -> tuple[list[Stored], bool]:
        """See `Backplane`."""
        subject = self._log_subject(log, token_of(room))
        messages = await self._batch(log, {"seq": after + 1, "next_by_subj": subject, "batch": AT_ONCE}, after)
        # After the reading: what was let go meanwhile must not be taken for never having been.
        is_whole = await self._is_whole(log, subject, after, synced)
        return [message for message in messages if upto is None or message.seq <= upto], is_whole

    async def state(self, log: Log, room: str) -> LogState:
        """See `Backplane`."""
        subject = self._log_subject(log, token_of(room))
        info = await self._info(log, subject)
        seq = last_seq = int(info["last_seq"])
        if info["subjects"]:
            last = await self._get(log, {"last_by_subj": subject})
            seq = seq if last is None else int(last["Nats-Sequence"])
        return LogState(self._epochs[self._stream(log)], seq, last_seq)

    # What is kept for a while, by name.

    async def put(self, name: str, data: bytes, ttl: float) -> None:
        """See `Backplane`."""
        await self._make_records()
        _result(await self._ask(self._record_subject(name), data, {"Nats-TTL": f"{ceil(ttl)}s"}))

    async def get(self, name: str) -> bytes | None:
        """See `Backplane`."""
        await self._make_records()
        message = await self._find(self._records, {"last_by_subj": self._record_subject(name)})
        return None if message is None else message.data

    async def delete(self, name: str) -> None:
        """See `Backplane`."""
        await self._make_records()
        _result(await self._ask(f"$JS.API.STREAM.PURGE.{self._records}", {"filter": self._record_subject(name)}))

    @property
    def _records(self) -> str:
        return f"{self._prefix}-records"

    def _record_subject(self, name: str) -> str:
        return f"{self._prefix}.records.{token_of(name)}"

    async def _make_records(self) -> None:
        if self._has_records:
            return
        config = {
            "name": self._records,
            "description": "what fanwire keeps for a while",
            "subjects": [f"{self._prefix}.records.*"],
            "retention": "limits",
            "discard": "old",
            "storage": self._storage,
            "num_replicas": self._replicas,
            "max_msgs_per_subject": 1,
            "max_bytes": RECORDS,
            "max_age": int(RECORD_AGE * 1e9),
            "duplicate_window": int(DUPLICATES * 1e9),
            "allow_direct": True,
            "allow_msg_ttl": True,
        }
        answer = await self._ask(f"$JS.API.STREAM.CREATE.{self._records}", config)
        if answer.get("error", {}).get("err_code") == IN_USE:
            answer = await self._ask(f"$JS.API.STREAM.UPDATE.{self._records}", config)
        _result(answer)
        self._has_records = True

    # Inside.

    def _stream(self, log: Log) -> str:
        token = token_of(log.name)
        # Names of streams have at most 255 bytes.
        return f"{self._prefix}-{token if len(token) < 128 else hashlib.sha256(token.encode()).hexdigest()}"

    def _log_subject(self, log: Log, token: str) -> str:
        return f"{self._prefix}.log.{self._stream(log)}.{token}"

    def _fresh_subject(self, log: Log, token: str) -> str:
        return f"{self._prefix}.fresh.{self._stream(log)}.{token}"

    def _put(self, subject: str, data: bytes) -> bool:
        if not self.is_up or self._outgoing_bytes + len(data) > PENDING:
            return False
        self._outgoing.append((subject, data))
        self._outgoing_bytes += len(data)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.ensure_future(self._send_all())
        return True

    async def _send_all(self) -> None:
        while self._outgoing and self._client is not None:
            subject, data = self._outgoing.popleft()
            self._outgoing_bytes -= len(data)
            try:
                await self._client.publish(subject, data)
            except (nats.errors.Error, OSError) as error:
                # Whoever should have had it finds out by the numbers of what comes later.
                logger.debug("not sent to %s: %s", subject, error)

    def _hearing(self, name: str) -> Callable[[Msg], Awaitable[None]]:
        own = f".{self._node}"

        async def hear(message: Msg) -> None:
            if self._listener is not None and not message.subject.endswith(own):
                self._listener.heard(name, message.data)

        return hear

    def _following(self, log: str, room: str) -> Callable[[Msg], Awaitable[None]]:
        async def hear(message: Msg) -> None:
            headers = message.headers
            if self._listener is not None and headers is not None and "Nats-Sequence" in headers:
                seq, prev = int(headers["Nats-Sequence"]), int(headers.get("Nats-Last-Sequence", 0))
                self._listener.stored(log, room, Stored(seq, prev, message.data))

        return hear

    async def _told(self, message: Msg) -> None:
        if self._listener is not None:
            self._listener.told(message.data)

    async def _subscribe(
        self, subject: str, place: tuple[str | None, str], call: Callable[[Msg], Awaitable[None]]
    ) -> Subscription:
        if self._client is None:
            raise Unavailable("the backplane is closed")
        try:
            subscription = await self._client.subscribe(
                subject, cb=call, pending_msgs_limit=WAITING, pending_bytes_limit=WAITING_BYTES
            )
        except (nats.errors.Error, OSError) as error:
            raise Unavailable(f"NATS: {error}") from error
        self._places[subscription._id] = place
        return subscription

    def _unsubscribe(self, subscription: Subscription | None) -> None:
        if subscription is not None:
            self._places.pop(subscription._id, None)
            task = asyncio.ensure_future(subscription.unsubscribe())
            # On a closed connection there is nothing to end.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _flush(self) -> None:
        """Until the server has seen all that was sent before."""
        if self._client is None or not self.is_up:
            raise Unavailable("NATS is away")
        try:
            # What was sent may still wait for the client's own task, which `flush` overtakes.
            await self._client._flush_pending(force_flush=True)
            await self._client.flush(TIMEOUT)
        except (nats.errors.Error, asyncio.TimeoutError, OSError) as error:
            raise Unavailable(f"NATS does not answer: {error}") from error

    async def _request(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> Msg:
        if self._client is None or not self.is_up:
            raise Unavailable("NATS is away")
        try:
            return await self._client.request(subject, data, timeout=TIMEOUT, headers=headers)
        except (nats.errors.Error, asyncio.TimeoutError, OSError) as error:
            raise Unavailable(f"NATS does not answer: {reason_of(error)}") from error

    async def _ask(self, subject: str, question: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
        data = question if isinstance(question, bytes) else orjson.dumps(question)
        answer: dict[str, Any] = orjson.loads((await self._request(subject, data, headers)).data)
        return answer

    async def _info(self, log: Log, subject: str) -> dict[str, Any]:
        name = self._stream(log)
        info = _result(await self._ask(f"$JS.API.STREAM.INFO.{name}", {"subjects_filter": subject}))
        self._note_epoch(name, info)
        return {"subjects": {}, **info["state"]}

    def _note_epoch(self, name: str, info: dict[str, Any]) -> None:
        # A stream that was deleted and made again was created at another time, and counts from 1 again.
        made = f"{name} {info['created']}"
        self._epochs[name] = f"{int(hashlib.sha256(made.encode()).hexdigest()[:10], 16):x}"

    async def _get(self, log: Log, what: dict[str, Any]) -> dict[str, str] | None:
        """The headers of a stored message; None: there is none."""
        message = await self._find(self._stream(log), what)
        return None if message is None else message.headers

    async def _find(self, stream: str, what: dict[str, Any]) -> Msg | None:
        message = await self._request(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(what))
        headers: dict[str, str] = message.headers or {}
        status = headers.get("Status")
        if status is None:
            return message
        if status == NOT_FOUND:
            return None
        raise Unavailable(f"JetStream answers {status} {headers.get('Description', '')}")

    async def _is_whole(self, log: Log, subject: str, after: int, synced: float) -> bool:
        """Whether all of the room's messages after a number are kept. Limits let go of the oldest first: so if that
        message is still there, or nothing can have been let go from there on."""
        info = await self._info(log, subject)
        is_young = synced < log.age / 2 and info["bytes"] < log.bytes * 0.9
        if (is_young or int(info["first_seq"]) <= after + 1) and info["subjects"].get(subject, 0) <= log.messages:
            return True
        if after == 0:
            return False
        found = await self._get(log, {"seq": after})
        return found is not None and found.get("Nats-Subject") == subject

    async def _batch(self, log: Log, what: dict[str, Any], after: int) -> list[Stored]:
        client = self._client
        if client is None or not self.is_up:
            raise Unavailable("NATS is away")
        inbox = client.new_inbox()
        messages: list[Stored] = []
        try:
            answers = await client.subscribe(inbox)
            try:
                subject = f"$JS.API.DIRECT.GET.{self._stream(log)}"
                await client.publish(subject, orjson.dumps({**what, "max_bytes": BATCH_BYTES}), reply=inbox)
                while True:
                    message = await answers.next_msg(TIMEOUT)
                    headers = message.headers or {}
                    status = headers.get("Status")
                    if status in (END_OF_BATCH, NOT_FOUND):
                        return messages
                    if status is not None:
                        raise Unavailable(f"JetStream answers {status} {headers.get('Description', '')}")
                    seq = int(headers["Nats-Sequence"])
                    messages.append(Stored(seq, messages[-1].seq if messages else after, message.data))
            finally:
                with contextlib.suppress(nats.errors.Error):
                    await answers.unsubscribe()
        except (nats.errors.Error, asyncio.TimeoutError, OSError) as error:
            raise Unavailable(f"NATS does not answer: {reason_of(error)}") from error

    async def _disconnected(self) -> None:
        # A server that keeps them in memory may come back without.
        self._has_records = False
        if self._listener is not None and self._client is not None:
            logger.warning("NATS is away")
            self._listener.went(False)

    async def _reconnected(self) -> None:
        if self._listener is not None:
            logger.warning("NATS is back")
            self._listener.went(True)

    async def _failed(self, error: Exception) -> None:
        if isinstance(error, nats.errors.SlowConsumerError):
            place = self._places.get(error.sid)
            if self._listener is not None and place is not None:
                self._listener.lost(*place)
            return
        # Each attempt to connect fails with one of these; that it is away was said.
        self._said = error
        logger.debug("NATS: %r", error)


def reason_of(error: Exception) -> str:
    """What an error says; some say nothing."""
    return str(error) or type(error).__name__


async def _let_go(client: Client) -> None:
    """Closes a client. When it was interrupted while it connected, it leaves its socket open."""
    with contextlib.suppress(nats.errors.Error, asyncio.TimeoutError, OSError):
        await client.close()
    transport = client._transport
    if transport is not None:
        transport.close()  # type: ignore[no-untyped-call]


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    error = answer.get("error")
    if error:
        raise Unavailable(f"JetStream: {error.get('description')}")
    return answer


TIMEOUT = 2
"""Seconds that an answer may take: a cluster elects a leader in less."""

RETRY = 0.25
"""Seconds between two attempts to connect."""

PING = 1
"""Seconds between pings; two without an answer, and the connection counts as lost."""

PENDING = 16 << 20
"""Bytes that may wait to be sent: a tenth of a second at gigabits."""

WAITING = 65_536
"""Messages of a room that may wait for our own loop; beyond it they are lost, and we know."""

WAITING_BYTES = 64 << 20
"""Bytes of the same."""

RECORDS = 256 << 20
"""Bytes of all that is kept by name: some 300,000 sessions. JetStream sets them aside."""

RECORD_AGE = 86_400.0
"""Seconds for which it is kept at most."""

DUPLICATES = 120.0
"""Seconds for which ids are remembered."""

AT_ONCE = 256
"""Messages that `read` returns at most."""

BATCH_BYTES = 4 << 20
"""Bytes of the same."""

HEADERS = 1024
"""Bytes that a server may want for headers besides a message's own."""

IN_USE = 10058
"""JetStream's code for a stream that is there with another configuration."""

END_OF_BATCH = "204"
NOT_FOUND = "404"
