"""A backplane over NATS: core subjects from node to node, JetStream for logs. Needs `fanwire[nats]`.

Subjects, all below a prefix (see `subjects` for names of rooms):

* `fanwire.live.NAME.NODE`: what a node sends to those who hear a name.
* `fanwire.nodes`: what is told to all.
* `fanwire.echo.NODE`: what a node sends itself, to know that NATS has seen all that it sent before.
* `fanwire.records.NAME`: what is kept for a while, each with its own expiry (NATS ADR-43).
* `fanwire.log.LOG.ROOM`: what is to be stored. A stream takes it, and republishes what it has stored as
  `fanwire.fresh.LOG.ROOM`, with its number and that of the room's message before it: whoever hears that knows at once
  what it has missed, and no node needs a consumer.

There are two connections: what is pushed comes over the one (`push`, in Rust), what is asked goes over the other
(nats-py). The backplane is up when both are.

It needs a NATS server of 2.11 or newer: batches of direct gets (NATS ADR-31), and republishing (ADR-28).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import nats
import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from fanwire._engine import Inlet
from fanwire.backplane.access import Access
from fanwire.backplane.base import INFINITE, Backplane, Listener, Log, LogState, Stored, Unavailable
from fanwire.backplane.push import PING, RETRY, TIMEOUT, Push
from fanwire.backplane.subjects import token_of

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
        replicas: on how many servers of the cluster a log is kept.
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
        self._servers = servers
        self._access = Access((), credentials, ca, certificate)
        self._prefix = token_of(prefix)
        self._storage = storage
        self._replicas = replicas
        self._client: Client | None = None
        self._push: Push | None = None
        self._listener: Listener | None = None
        # Tells our own messages from those of others.
        self._node = secrets.token_hex(4)
        self._heard: dict[str, int] = {}
        self._followed: dict[tuple[str, str], int] = {}
        # None: nobody is told yet.
        self._was_up: bool | None = None
        self._epochs: dict[str, str] = {}
        self._has_records = False
        # What the client complained of: its exceptions do not repeat it.
        self._said: Exception | None = None

    async def open(self, listener: Listener) -> None:
        """See `Backplane`."""
        servers = self._servers() if callable(self._servers) else self._servers
        access = self._access._replace(servers=[servers] if isinstance(servers, str) else list(servers))
        self._listener = listener
        try:
            await self._open_client(access)
            own, echo = f".{self._node}", f"{self._prefix}.echo.{self._node}"
            self._push = Push(access, own, echo, listener, self._note)
            await self._push.opened()
        except Unavailable as error:
            await self.close()
            raise Unavailable(f"no NATS server at {', '.join(access.places)}: {error}") from error
        self._push.subscribe(f"{self._prefix}.nodes", None, "")
        await self._push.sync()
        self._was_up = True
        self._note()

    async def _open_client(self, access: Access) -> None:
        self._said = None
        self._client = client = Client()
        connecting = client.connect(
            list(access.servers),
            name="fanwire",
            error_cb=self._failed,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            # Its defaults give up after two minutes, and notice a dead server after four.
            max_reconnect_attempts=-1,
            reconnect_time_wait=RETRY,  # type: ignore[arg-type]
            connect_timeout=TIMEOUT,  # type: ignore[arg-type]
            ping_interval=PING,  # type: ignore[arg-type]
            max_outstanding_pings=2,
            user_credentials=access.credentials,
            tls=access.tls,
        )
        try:
            await asyncio.wait_for(connecting, TIMEOUT)
        except (asyncio.TimeoutError, OSError, nats.errors.Error) as error:
            raise Unavailable(reason_of(self._said or error)) from error

    async def close(self) -> None:
        """See `Backplane`."""
        client, push, self._client, self._push, self._listener = self._client, self._push, None, None, None
        self._heard.clear()
        self._followed.clear()
        self._has_records, self._was_up = False, None
        if push is not None:
            await push.close()
        if client is not None:
            await _let_go(client)

    @property
    def is_up(self) -> bool:
        """See `Backplane`."""
        client, push = self._client, self._push
        return client is not None and push is not None and client.is_connected and push.is_up

    @property
    def max_bytes(self) -> int:
        """See `Backplane`."""
        return self._client.max_payload if self._client is not None and self._client.max_payload else 1 << 20

    async def reconnect(self) -> None:
        """See `Backplane`."""
        if self._client is not None and self._push is not None and self.is_up:
            self._push.reconnect()
            await self._client.force_reconnect()

    # From node to node.

    def send(self, name: str, data: bytes) -> bool:
        """See `Backplane`."""
        push = self._push
        return push is not None and push.send(f"{self._prefix}.live.{token_of(name)}.{self._node}", data)

    async def hear(self, name: str, inlet: Inlet | None = None) -> None:
        """See `Backplane`."""
        push = self._opened()
        if name not in self._heard:
            self._heard[name] = push.subscribe(f"{self._prefix}.live.{token_of(name)}.*", None, name, inlet)
        await self._sync()

    def unhear(self, name: str) -> None:
        """See `Backplane`."""
        if self._push is not None and name in self._heard:
            self._push.unsubscribe(self._heard.pop(name))

    def tell(self, data: bytes) -> bool:
        """See `Backplane`."""
        return self._push is not None and self._push.send(f"{self._prefix}.nodes", data)

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
        push, place = self._opened(), (log.name, room)
        if place not in self._followed:
            self._followed[place] = push.subscribe(self._fresh_subject(log, token_of(room)), *place)
        try:
            await self._sync()
            return await self.state(log, room)
        except Unavailable:
            self.unfollow(log, room)
            raise

    def unfollow(self, log: Log, room: str) -> None:
        """See `Backplane`."""
        if self._push is not None and (log.name, room) in self._followed:
            self._push.unsubscribe(self._followed.pop((log.name, room)))

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

    def _opened(self) -> Push:
        if self._push is None:
            raise Unavailable("the backplane is closed")
        return self._push

    async def _sync(self) -> None:
        if not self.is_up:
            raise Unavailable("NATS is away")
        await self._opened().sync()

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
        self._note()

    async def _reconnected(self) -> None:
        self._note()

    async def _failed(self, error: Exception) -> None:
        # Each attempt to connect fails with one of these; that it is away was said.
        logger.debug("NATS: %r", error)
        if self._said is None or not isinstance(error, OSError):
            # What a server says says more than that it hangs up after it.
            self._said = error

    def _note(self) -> None:
        """Tells when the backplane has gone, or is back."""
        if self._listener is None or self._was_up in (None, self.is_up):
            return
        self._was_up = not self._was_up
        logger.warning("NATS is back" if self._was_up else "NATS is away")
        self._listener.went(self._was_up)


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
