"""Posts batches over NATS, from any thread, without an event loop."""

from __future__ import annotations

import os
import select
import threading
import time

from fanwire.publisher.delivering import PublishAnswer
from fanwire.publisher.http_poster import PostFailed
from fanwire.publisher.nats_connections import NatsPublisherConnection
from fanwire.publisher.target import PublishTarget

__all__ = ["NatsPoster"]


class NatsPoster:
    """Posts to the nodes of a cluster, over as many connections as threads post at once.

    A forked process makes connections of its own: the threads of a connection do not exist there.

    Args:
        target: the NATS server.
    """

    def __init__(self, target: PublishTarget) -> None:
        self._target = target
        self._idle = _IdleConnections(target.max_connections)

    def post(self, body: bytes, timeout: float) -> PublishAnswer:
        """Posts a batch and returns the answer.

        Args:
            body: a JSON list of messages.
            timeout: seconds until the answer has come.

        Raises:
            PostTooLarge: it is larger than the NATS server allows.
            PostFailed: there was no answer.
        """
        if self._idle.process != os.getpid():
            # Not closed: that would wait for a thread that this process does not have.
            _OF_PARENTS.append(self._idle)
            self._idle = _IdleConnections(self._target.max_connections)
        idle = self._idle
        deadline = time.monotonic() + timeout
        if not idle.slots.acquire(timeout=timeout):
            raise PostFailed(f"{self._target.max_connections} connections are in use (max_connections)")
        connection: NatsPublisherConnection | None = None
        try:
            connection = idle.take() or NatsPublisherConnection(self._target)
            answer = _post(connection, body, deadline)
        except OSError as error:
            raise PostFailed(str(error)) from error
        else:
            return answer
        finally:
            if connection is not None and not connection.is_over:
                idle.give_back(connection)
            idle.slots.release()

    def close(self) -> None:
        """Closes the idle connections."""
        while self._idle.process == os.getpid() and (connection := self._idle.take()) is not None:
            connection.close()


class _IdleConnections:
    """The connections of one process that are not in use."""

    def __init__(self, most: int) -> None:
        self.process = os.getpid()
        self.slots = threading.BoundedSemaphore(most)
        self._connections: list[NatsPublisherConnection] = []

    def take(self) -> NatsPublisherConnection | None:
        """The connection that was used last; None: there is none."""
        try:
            return self._connections.pop()
        except IndexError:
            return None

    def give_back(self, connection: NatsPublisherConnection) -> None:
        """Keeps a connection for the next request."""
        self._connections.append(connection)


def _post(connection: NatsPublisherConnection, body: bytes, deadline: float) -> PublishAnswer:
    # What has come while it was idle, such as its end.
    connection.take()
    _wait(connection, lambda: connection.is_ready, deadline)
    while connection.node is None:
        connection.ask()
        try:
            _wait(connection, lambda: connection.node is not None, min(deadline, time.monotonic() + ASK_AGAIN))
        except PostFailed:
            if time.monotonic() >= deadline:
                raise
    number = connection.publish(body)
    answers: dict[int, PublishAnswer] = {}

    def has_come() -> bool:
        return number in answers

    _wait(connection, has_come, deadline, answers)
    return answers[number]


def _wait(
    connection: NatsPublisherConnection,
    condition: object,
    deadline: float,
    answers: dict[int, PublishAnswer] | None = None,
) -> None:
    assert callable(condition)  # noqa: S101 - of this module
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    while not condition():
        left = deadline - time.monotonic()
        if left <= 0:
            raise connection.unanswered()
        poll.poll(left * 1000)
        found = connection.take()
        if answers is not None:
            answers.update(found)


ASK_AGAIN = 0.5
"""Seconds until it is asked again which nodes are there: a node may be starting."""

_OF_PARENTS: list[_IdleConnections] = []
"""Connections of the process that this one was forked from: never used and never closed here."""
