"""The native half of fanwire: framing, fan-out and every connection's outgoing queue, on threads of its own.

Only plain values cross this border. Every method may be called from any thread, none calls back into Python, and none
waits for a client. A connection id that is stale or was never given out makes a call do nothing: connections end at
any moment, so that race is normal.
"""

from collections.abc import Sequence
from typing import Any, final

__all__ = ["Engine", "EngineClosed", "EngineError", "Overloaded"]

class EngineError(RuntimeError):
    """The engine has failed. Raised by every call after one of its threads has panicked: a bug in fanwire."""

class EngineClosed(EngineError):
    """The engine was shut down, or belongs to the process that this one was forked from."""

class Overloaded(EngineError):
    """A bounded queue or table is full. Nothing was queued and no sequence number was taken; try again later."""

@final
class Engine:
    """Rooms, connections and the threads that write to them.

    Args:
        shards: writing threads, 1 to 1,024. A connection belongs to one of them for its life.
        connection_bytes: may wait for one connection, 128 bytes of overhead per message included.
        engine_bytes: may wait for all connections; a shared message counts once, plus 16 bytes for each reference.
        max_rooms: rooms at once.
        queue_items: publishes and sends that may wait for one shard.
        queue_bytes: bytes of the same.
        unsent_bytes: `TCP_NOTSENT_LOWAT` of every socket (tcp(7)).
        write_timeout: `TCP_USER_TIMEOUT` of every socket (tcp(7)), in seconds.
        ping_interval: from one ping to the next, in seconds; 0 sends none.
        ping_timeout: from a ping to the end of a connection that has not answered, in seconds.
        close_timeout: from the first thought of closing to the end of a connection, in seconds.
        slow_code: the close code for a connection over its limit.

    Raises:
        ValueError: a value is out of range.
        OSError: the system has no descriptors or threads left.
    """

    def __new__(
        cls,
        *,
        shards: int,
        connection_bytes: int,
        engine_bytes: int,
        max_rooms: int,
        queue_items: int,
        queue_bytes: int,
        unsent_bytes: int,
        write_timeout: float,
        ping_interval: float,
        ping_timeout: float,
        close_timeout: float,
        slow_code: int,
    ) -> Engine: ...
    def fileno(self) -> int:
        """The descriptor that is readable while `events` has something: an eventfd, a pipe where there is none."""

    def events(self) -> list[tuple[str, int, Any]]:
        """What has happened since the last call, as `(kind, connection, detail)`.

        * `"closing"`: the engine has begun to close a connection; the detail says why: `"slow"` or `"budget"`.
        * `"closed"`: it has ended one, whose id is stale now: `"unanswered"`, `"close timeout"` or `"reset"`. The host
          has to end its transport.
        * `"data"`: bytes to write to a hosted connection.
        * `"finish"`: a hosted connection has had all its bytes.
        * `"failed"`: a thread has panicked; the detail is a text, the connection 0.
        """

    def add_rule(self, pattern: str, delivery: str, max_keys: int) -> None:
        """Gives rooms that match a pattern their settings, unless an earlier pattern does. `*` is any characters.

        Rooms that exist keep the settings they have.

        Raises:
            ValueError: there is no such delivery class.
            EngineClosed: after `shutdown`, or in a forked process.
        """

    def open(self, fd: int) -> int:
        """Takes a connection by its connected socket, and returns its id. The engine keeps a duplicate.

        Sets `TCP_NODELAY`, `TCP_NOTSENT_LOWAT` and `TCP_USER_TIMEOUT`. From here on only the engine writes to it.

        Raises:
            ValueError: the number is negative.
            OSError: it is no socket, or no descriptor is left.
            Overloaded: four million connections per shard are there.
            EngineClosed: after `shutdown`, or in a forked process.
        """

    def open_hosted(self, window: int) -> int:
        """Takes a connection that the host writes to, and returns its id. At most `window` bytes are under way to the
        host until it calls `grant`. Raises as `open`."""

    def gone(self, conn: int) -> None:
        """The peer is gone: what waits is dropped, memberships end, the id becomes stale."""

    def send_raw(self, conn: int, data: bytes) -> None:
        """Sends bytes that are no frame, such as a handshake reply, ahead of all messages."""

    def send(self, conn: int, payload: bytes | str, text: bool = False, delivery: str | None = None) -> None:
        """Sends a message to one connection.

        Args:
            conn: its id.
            payload: bytes for a binary message, str for a text message.
            text: the bytes are UTF-8 and make a text message.
            delivery: its delivery class; None: "reliable".

        Raises:
            TypeError: the payload is neither bytes nor str.
            ValueError: it is larger than `connection_bytes` allows, or there is no such delivery class.
            Overloaded: the shard's queue is full.
            EngineClosed: after `shutdown`, or in a forked process.
        """

    def broadcast(
        self, payload: bytes | str, text: bool = False, exclude: Sequence[int] = ..., delivery: str | None = None
    ) -> None:
        """Sends a message to every connection except some. Arguments and errors are those of `send`."""

    def publish(
        self,
        room: str,
        payload: bytes | str,
        text: bool = False,
        key: str | None = None,
        exclude: Sequence[int] = ...,
        delivery: str | None = None,
    ) -> int:
        """Sends a message to every member of a room except some; returns its sequence number there, from 1.

        All members see the messages of a room in the order of their numbers, whichever threads published them.

        Args:
            room: its name, 1 to 255 bytes of UTF-8.
            payload: bytes for a binary message, str for a text message.
            text: the bytes are UTF-8 and make a text message.
            key: with the delivery class "latest", what the message replaces; None is the key "".
            exclude: ids of members that do not get it.
            delivery: another delivery class than the room's.

        Raises:
            TypeError: the payload is neither bytes nor str.
            ValueError: the name's length, the payload's size or the delivery class is wrong, or a key is given without
                the class "latest".
            Overloaded: a shard's queue, the table of rooms or the room's keys are full.
            EngineClosed: after `shutdown`, or in a forked process.
        """

    def join(self, conn: int, room: str) -> int:
        """Makes a connection a member; returns the sequence number of the last message before it.

        In a room of latest values the member gets the newest message of every key, and then the stream: one step, with
        nothing between. Those messages may pass `connection_bytes`. Raises as `publish`.
        """

    def leave(self, conn: int, room: str) -> None:
        """Ends a membership. What was queued before is still sent."""

    def members(self, room: str) -> int:
        """How many members a room has."""

    def forget(self, room: str, key: str) -> bool:
        """Forgets the newest value of a key; false when there was none."""

    def ping_received(self, conn: int, payload: bytes) -> None:
        """The peer has sent a ping: it is answered; of pongs that wait only the newest is kept (RFC 6455 5.5.3)."""

    def pong_received(self, conn: int) -> None:
        """The peer has sent a pong: it lives."""

    def close(self, conn: int, code: int | None, reason: str = "", flush: bool = True) -> None:
        """Closes a connection with a close frame and FIN; ends it after `close_timeout` at the latest.

        Args:
            conn: its id.
            code: the close code; None sends an empty close frame.
            reason: cut to 123 bytes.
            flush: the frame leaves after all that waits; otherwise what has not begun to leave is dropped.

        Raises:
            ValueError: the code may not be sent (RFC 6455 section 7.4).
        """

    def grant(self, conn: int, size: int) -> None:
        """The host has passed on so many bytes of a hosted connection and takes as many more."""

    def stats(self) -> dict[str, Any]:
        """What the engine has done since it started.

        Returns:
            `connections` and `rooms` now; `published` and `refused` messages; `delivered` messages and `bytes`, handed
            to the kernel or the TLS layer; `writes`, and how many of them were `blocked`; `pings`; connections
            `closed_slow` and `closed_unanswered`; `waiting_bytes` of `waiting_bytes_limit`; `drops` by reason
            (`replaced`, `oldest`, `newest`, `budget`, `closed`); `latency_us`: pairs of an upper bound in
            microseconds and how often a write's oldest message was younger than that, but not than the bound before.
        """

    def shutdown(self, timeout: float) -> bool:
        """Ends all connections and threads. Waits without the interpreter lock, `timeout` seconds at most; false if a
        thread was not done by then. Every later call raises `EngineClosed`; calling it again does nothing."""
