"""The requests to JetStream that a node needs: make streams; store, find and read messages (NATS ADR-8, ADR-31)."""

from __future__ import annotations

from typing import Any

import orjson

from fanwire.backplane.base import Unavailable
from fanwire.backplane.nats_client import NATSClient, Reply

__all__ = ["DUPLICATES", "JetStream"]


class JetStream:
    """Sends requests to JetStream. All methods raise `Unavailable` if there is no answer, or an error.

    Args:
        storage: the storage of streams: "file" or "memory".
        replicas: the number of servers that keep each stream.

    Attributes:
        client: the connection; None: the backplane is closed.
    """

    def __init__(self, storage: str, replicas: int) -> None:
        self._settings = {"storage": storage, "num_replicas": replicas, "retention": "limits", "discard": "old"}
        self.client: NATSClient | None = None

    @property
    def opened(self) -> NATSClient:
        """The connection; raises `Unavailable` if the backplane is closed."""
        if self.client is None:
            raise Unavailable("the backplane is closed")
        return self.client

    async def make(self, stream: str, subject: str, max_age: float, **settings: Any) -> dict[str, Any]:
        """Makes a stream, or changes the settings of an existing one; returns its information.

        Args:
            stream: its name.
            subject: the subject, perhaps with `*`, whose messages it stores.
            max_age: seconds for which it keeps a message.
            settings: other fields of its configuration.
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
        """The information of a stream, with the number of messages of each matching subject."""
        return result(await self._ask(f"$JS.API.STREAM.INFO.{stream}", orjson.dumps({"subjects_filter": subject})))

    async def purge(self, stream: str, subject: str) -> None:
        """Deletes the messages of a subject."""
        result(await self._ask(f"$JS.API.STREAM.PURGE.{stream}", orjson.dumps({"filter": subject})))

    async def find(self, stream: str, **what: Any) -> Reply | None:
        """A stored message, by its number (`seq`) or as the last of a subject (`last_by_subj`); None: there is none."""
        reply = await self.opened.ask(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps(what))
        if reply.status == NOT_FOUND:
            return None
        if reply.status:
            raise refusal(reply)
        return reply

    async def read(self, stream: str, subject: str, seq: int, most: int) -> list[Reply]:
        """The messages of a subject from a number on: at most `most`, and 4 MiB."""
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
    """Returns an answer of JetStream, or raises `Unavailable` if it is an error."""
    error = answer.get("error")
    if error:
        text = f"JetStream: {error.get('description')}"
        if error.get("err_code") == NO_STORAGE:
            text += (
                ": its streams reserve more than the NATS server may store, by default three quarters of the free disk"
            )
        raise Unavailable(text)
    return answer


def refusal(reply: Reply) -> Unavailable:
    """The error of an answer with a status."""
    return Unavailable(f"JetStream answers {reply.status} {reply.headers.get('Description', '')}")


DUPLICATES = 120.0
"""Seconds for which a stream remembers ids."""

BATCH_BYTES = 4 << 20
"""The most bytes of messages of one read."""

IN_USE = 10058
"""JetStream's error code for a stream that exists with another configuration."""

NO_STORAGE = 10047
"""JetStream's error code for a stream that does not fit into the storage of the server."""

END_OF_BATCH, NOT_FOUND = 204, 404
"""Statuses of answers (NATS ADR-31)."""
