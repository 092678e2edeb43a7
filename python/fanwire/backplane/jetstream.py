"""JetStream, as far as a node needs it: streams are made, messages stored, found and read (NATS ADR-8, ADR-31)."""

from __future__ import annotations

from typing import Any

import orjson

from fanwire.backplane.base import Unavailable
from fanwire.backplane.nats_client import NATSClient, Reply

__all__ = ["DUPLICATES", "JetStream"]


class JetStream:
    """See the module's head. Everything raises `Unavailable` where there is no answer, or none that was hoped for.

    Args:
        storage: where streams are kept: "file" or "memory".
        replicas: on how many servers.

    Attributes:
        client: the connection, while there is one.
    """

    def __init__(self, storage: str, replicas: int) -> None:
        self._settings = {"storage": storage, "num_replicas": replicas, "retention": "limits", "discard": "old"}
        self.client: NATSClient | None = None

    @property
    def opened(self) -> NATSClient:
        """The connection."""
        if self.client is None:
            raise Unavailable("the backplane is closed")
        return self.client

    async def make(self, stream: str, subject: str, max_age: float, **settings: Any) -> dict[str, Any]:
        """Makes a stream, or gives one that is there these settings; returns what is known of it.

        Args:
            stream: its name.
            subject: what it stores.
            max_age: seconds for which it keeps a message.
            settings: what else JetStream may be told of it.
        """
        config = {
            "name": stream,
            "subjects": [subject],
            "max_age": int(max_age * 1e9),
            "duplicate_window": int(min(max_age, DUPLICATES) * 1e9),
            "allow_direct": True,
            **self._settings,
            **settings,
        }
        answer = await self._ask(f"$JS.API.STREAM.CREATE.{stream}", orjson.dumps(config))
        if answer.get("error", {}).get("err_code") == IN_USE:
            answer = await self._ask(f"$JS.API.STREAM.UPDATE.{stream}", orjson.dumps(config))
        return result(answer)

    async def store(self, subject: str, data: bytes, headers: dict[str, str]) -> int:
        """Stores a message; returns its number."""
        return int(result(await self._ask(subject, data, headers))["seq"])

    async def info(self, stream: str, subject: str) -> dict[str, Any]:
        """What is known of a stream; how many messages it has of subjects."""
        return result(await self._ask(f"$JS.API.STREAM.INFO.{stream}", orjson.dumps({"subjects_filter": subject})))

    async def purge(self, stream: str, subject: str) -> None:
        """Keeps messages of a subject no longer."""
        result(await self._ask(f"$JS.API.STREAM.PURGE.{stream}", orjson.dumps({"filter": subject})))

    async def find(self, stream: str, **what: Any) -> Reply | None:
        """A stored message, such as that of a number (`seq`) or the last of a subject (`last_by_subj`)."""
        reply = await self.opened.ask(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(what))
        if reply.status == NOT_FOUND:
            return None
        if reply.status:
            raise refusal(reply)
        return reply

    async def read(self, stream: str, subject: str, seq: int, most: int) -> list[Reply]:
        """The messages of a subject from a number on; at most so many, and 4 MiB."""
        question = {"seq": seq, "next_by_subj": subject, "batch": most, "max_bytes": BATCH_BYTES}
        *replies, last = await self.opened.ask_for_all(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(question))
        if last.status not in (END_OF_BATCH, NOT_FOUND):
            raise refusal(last)
        return replies

    async def _ask(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
        reply = await self.opened.ask(subject, data, headers)
        if reply.status:
            raise refusal(reply)
        answer: dict[str, Any] = orjson.loads(reply.data)
        return answer


def result(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer of JetStream's own, if it is no error."""
    error = answer.get("error")
    if error:
        raise Unavailable(f"JetStream: {error.get('description')}")
    return answer


def refusal(reply: Reply) -> Unavailable:
    """What an answer with a status says."""
    return Unavailable(f"JetStream answers {reply.status} {reply.headers.get('Description', '')}")


DUPLICATES = 120.0
"""Seconds for which ids are remembered."""

BATCH_BYTES = 4 << 20
"""Bytes of messages that are read at once."""

IN_USE = 10058
"""JetStream's code for a stream that is there with another configuration."""

END_OF_BATCH, NOT_FOUND = 204, 404
"""Statuses of answers (NATS ADR-31)."""
