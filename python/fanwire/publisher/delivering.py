"""The delivery of one batch: which messages are sent in the next attempt, when, and what became of each. Pure: answers,
the time and the dice come in as arguments."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from random import Random
from time import time
from typing import Any, NamedTuple

import msgspec

from fanwire.errors import ConnectionFailed, FanwireError, RequestFailed, Unavailable
from fanwire.publisher.publication import EncodedPublication, Published, Results

__all__ = ["BatchDelivery", "PublishAnswer"]


class PublishAnswer(NamedTuple):
    """The answer of a server to a batch.

    Attributes:
        status: the HTTP status.
        body: the answer's body.
        retry_after: the header `Retry-After`; None: it has none.
        is_cut: whether the body is only the beginning of one that is longer than any answer of a Fanwire server.
    """

    status: int
    body: bytes
    retry_after: str | None = None
    is_cut: bool = False


class BatchDelivery:
    """Delivers a batch in as many attempts as the time allows. A message that a server has published, or refused for
    good, is not sent again. The others are, with the same ids.

    The caller asks `waits`, posts `body` within `remaining`, gives the answer to `answered` or an error to `failed`,
    and sleeps for `pause`; and so on until `waits` is false. Then it takes the `results`.

    Args:
        batch: the messages.
        place: names the server in errors.
        deadline: when the last attempt has to end, in seconds of a clock that never goes back.
        timeout: seconds of the deadline, for errors.
        random: the dice.

    Attributes:
        outcomes: what became of each message; None: nothing yet.
        is_given_up: whether the server cannot be reached or used, rather than that it has refused single messages.
    """

    def __init__(
        self, batch: Sequence[EncodedPublication], place: str, deadline: float, timeout: float, random: Random
    ) -> None:
        self._batch = batch
        self._place = place
        self._deadline = deadline
        self._timeout = timeout
        self._random = random
        self._pending = list(range(len(batch)))
        # Messages of an attempt: fewer after an answer that says that the body was too large.
        self._most = len(batch)
        self._failures = 0
        self._attempts = 0
        self._after = 0.0
        self._at_once = False
        self._last = "there was no attempt"
        self.outcomes: list[Published | FanwireError | None] = [None] * len(batch)
        self.is_given_up = False

    def waits(self, now: float) -> bool:
        """Whether there is a message to send. After the deadline the rest gets `Unavailable`."""
        if self._pending and now >= self._deadline:
            error = Unavailable(
                f"{self._place} has not confirmed a message within {self._timeout:g} s and {self._attempts} attempts, "
                f"so it is unknown whether it was published; the last attempt: {self._last}"
            )
            self.give_up(error)
        return bool(self._pending)

    def body(self) -> bytes:
        """The body of the next attempt: a JSON list."""
        self._attempts += 1
        return b"[" + b",".join(self._batch[index].document for index in self._sent) + b"]"

    def remaining(self, now: float) -> float:
        """Seconds for the next attempt. Half of what is left, so that a server that does not answer is asked again."""
        left = self._deadline - now
        return max(LEAST, left if left < 2 * LONG else min(LONGEST, left / 2))

    def failed(self, error: object) -> None:
        """Notes that an attempt has got no answer."""
        self._retry(str(error) or type(error).__name__)

    def answered(self, answer: PublishAnswer) -> None:
        """Takes an answer."""
        if answer.status in (200, 207):
            self._take_results(answer)
        elif answer.status == 413:
            self.too_large(_error_of(answer))
        elif answer.status in AGAIN:
            self._retry(f"{answer.status} {_error_of(answer)}", _seconds(answer.retry_after))
        else:
            self.give_up(_error_of(answer))

    def too_large(self, error: FanwireError) -> None:
        """Notes that a limit is lower than the size of the attempt: a part of it is next. A single message that is
        above the limit gets the error."""
        sent = self._sent
        if len(sent) == 1:
            self.outcomes[sent[0]] = error
            del self._pending[0]
        else:
            self._most = len(sent) // 2
        self._at_once = True

    def give_up(self, error: FanwireError) -> None:
        """Ends the delivery: all messages that wait get this error."""
        self.is_given_up = True
        for index in self._pending:
            self.outcomes[index] = error
        self._pending.clear()

    def pause(self, now: float) -> float:
        """Seconds until the next attempt: full jitter, and not before the server's `Retry-After`."""
        if not self._pending or self._at_once:
            self._at_once = False
            return 0.0
        bound = min(CAP, BASE * 2.0 ** min(self._failures - 1, 32))
        seconds = self._random.uniform(0, bound) + self._after
        return max(0.0, min(seconds, self._deadline - now))

    def results(self) -> list[Published | FanwireError]:
        """What became of each message, when none waits any more."""
        return [outcome for outcome in self.outcomes if outcome is not None]

    @property
    def _sent(self) -> list[int]:
        return self._pending[: self._most]

    def _take_results(self, answer: PublishAnswer) -> None:
        sent = self._sent
        try:
            if answer.is_cut:
                raise ValueError(f"the answer has more than {len(answer.body)} bytes")
            results = _RESULTS.decode(answer.body).results
            if len(results) != len(sent):
                raise ValueError(f"{len(results)} results for {len(sent)} messages")
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
            self.give_up(ConnectionFailed(f"{self._place} does not answer like a Fanwire server: {error}"))
            return
        again: list[int] = []
        why, after = "", 0.0
        for index, result in zip(sent, results, strict=True):
            one = self._batch[index]
            if result.seq is not None:
                self.outcomes[index] = Published(one.room, result.seq, one.id, result.epoch)
                continue
            failure = _request_failed(result.error or {}, "internal")
            if failure.retry:
                again.append(index)
                why, after = str(failure), max(after, (failure.retry_after_ms or 0) / 1000)
            else:
                self.outcomes[index] = failure
        self._pending = again + self._pending[len(sent) :]
        if again:
            self._retry(why, after)
        else:
            self._failures, self._at_once = 0, True

    def _retry(self, why: str, after: float = 0.0) -> None:
        self._failures += 1
        self._after = after
        self._last = why


def _request_failed(error: dict[str, Any], code: str, text: str = "") -> RequestFailed:
    after = error.get("retry_after_ms")
    path = error.get("path")
    return RequestFailed(
        str(error.get("code", code)),
        str(error.get("text", text)),
        retry=error.get("retry") is True,
        path=path if isinstance(path, str) else None,
        retry_after_ms=max(0, min(after, LONGEST_AFTER)) if isinstance(after, int) else None,
    )


def _error_of(answer: PublishAnswer) -> RequestFailed:
    try:
        error = msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Such as the page of a proxy.
        error = {}
    text = f"the server has answered with status {answer.status}"
    if answer.status == HTTPStatus.NOT_FOUND:
        text += ": there is no Fanwire at the path of the URL; it is at /fanwire by default beside an application"
    return _request_failed(error, f"http_{answer.status}", text)


def _seconds(retry_after: str | None) -> float:
    """Reads a `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date."""
    if retry_after is None:
        return 0.0
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, OverflowError):
        return 0.0


AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed: those of servers and proxies that are busy, starting or stopping
(RFC 9110 section 15, RFC 8470)."""

BASE = 0.1
"""Seconds; the bound of the first pause, doubled with each failure."""

CAP = 5.0
"""The most seconds of a pause that no server has asked for."""

LONG = 2.0
"""Seconds that are enough for an answer of a healthy server; an attempt is not cut off before."""

LONGEST = 10.0
"""The most seconds of an attempt: over NATS nothing else tells that a node is dead."""

LONGEST_AFTER = 86_400_000
"""Milliseconds, a day: the most that a server may ask a client to wait. A larger number may not fit a float."""

LEAST = 0.01
"""The least seconds of an attempt that was begun."""

_RESULTS = msgspec.json.Decoder(Results)
