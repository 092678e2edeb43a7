"""The native half of fanwire: sockets, framing, limits, fan-out and every connection's queues, on threads of its own.

Only plain values cross this border. Every method may be called from any thread, none calls back into Python, and none
waits for a client. A connection id that is stale or was never given out makes a call do nothing: connections end at
any moment, so that race is normal.
"""

from collections.abc import Sequence
from typing import Any, final

__all__ = [
    "Closed",
    "Engine",
    "EngineFailed",
    "FanwireError",
    "Ingress",
    "NatsConnection",
    "Overloaded",
    "RoomFull",
    "check_json",
    "glance",
    "is_surely_finite",
    "json_to_msgpack",
    "msgpack_to_json",
    "payload_of",
]

def check_json(document: bytes, max_nesting: int) -> tuple[str, str] | None:
    """Checks that bytes are a JSON document which MessagePack can hold exactly; docs/values.md says what that is.

    Args:
        document: UTF-8.
        max_nesting: levels of lists and maps that it may have, at most 256.

    Returns:
        None, or the path of the value that is wrong, such as `$.orders[3].price`, and a text that says what it must be.
    """

def glance(document: bytes, max_nesting: int) -> int:
    """What is quickly seen of a JSON document that an encoder has written.

    Args:
        document: a JSON document.
        max_nesting: as in `check_json`.

    Returns:
        The sum of 1 if `null` stands in it, be it in a string, and 2 if it has more levels than that.
    """

def is_surely_finite(value: object) -> bool:
    """Whether a value is made of dict, list, str, int, bool, None and finite floats alone; false of any other type."""

def json_to_msgpack(document: bytes, max_nesting: int) -> bytes | tuple[str, str]:
    """Translates a JSON document to MessagePack, every value exactly.

    Returns:
        The MessagePack document, or what is wrong, as `check_json` says it.
    """

def payload_of(frame: bytes, is_json: bool) -> tuple[int, int] | None:
    """Where the payload of an envelope begins and ends, however deep or broken it is; None if there is none."""

def msgpack_to_json(document: bytes, max_nesting: int) -> bytes | tuple[str, str]:
    """Translates a MessagePack document to JSON, every value exactly.

    Returns:
        The JSON document, or what is wrong, as `check_json` says it: JSON has no bytes, extensions, keys that are no
        strings, or floats that are not finite.
    """

class FanwireError(Exception):
    """What all exceptions of fanwire derive from; `fanwire/errors.py` draws the tree."""

class Closed(FanwireError):
    """The caller used a server that is not running, or a client that is closed. Of the engine: it was shut down, or
    belongs to the process that this one was forked from."""

class Overloaded(FanwireError):
    """A bounded queue or table is full. Nothing was queued and no sequence number was taken; the caller tries again
    later.

    Attributes:
        limit: the field of `Config` that sets the limit, such as "max_rooms"; "queue_bytes" for either limit of a
            shard's queue, "max_connections" for the table of connections.
    """

    limit: str

class RoomFull(Overloaded):
    """The room has as many members as it may have: `limit` is "max_members", see `Server.room`. The caller tries again
    when a member has left."""

class EngineFailed(FanwireError):
    """A thread of the engine has panicked: a bug in fanwire. Every later call raises this; the operator restarts the
    server."""

@final
class Engine:
    """Rooms, connections and the threads that read and write them.

    Args:
        shards: threads, 1 to 1,023. A connection belongs to one of them for its life.
        connection_bytes: may wait for one connection, 256 bytes of overhead per message included.
        replay_bytes: a session keeps of what was sent and not acknowledged, overhead included.
        engine_bytes: may wait for all connections; a shared message counts once, plus 16 bytes for each reference.
        history_bytes: all rooms together keep in their histories.
        max_rooms: rooms at once.
        queue_items: publishes and sends that may wait for one shard.
        queue_bytes: bytes of the same.
        unsent_bytes: `TCP_NOTSENT_LOWAT` of every socket (tcp(7)).
        write_timeout: `TCP_USER_TIMEOUT` of every socket (tcp(7)), in seconds.
        ping_interval: from one ping to the next, in seconds; 0 sends none.
        ping_timeout: from a ping to the end of a connection that has not answered, in seconds.
        close_timeout: from the first thought of closing to the end of a connection, in seconds; once more as long as
            the peer takes at least `min_rate` of what waits.
        min_rate: bytes a second that have to move, either way, for a peer that answers no ping to count as alive.
        slow_code: the close code for a connection over its limit.
        max_nesting: levels of lists and maps in a message from another node; one with more is no message.
        max_message: bytes of a client's message, all fragments together.
        max_fragments: of a client's message.
        message_timeout: from the beginning of a client's message to its end, in seconds, and a second more for each
            `min_rate` bytes that have come.
        inbox_messages: of one client that may wait for the host.
        inbox_bytes: bytes of the same, with 64 for each message.
        inbound_bytes: of all messages that are coming or wait for the host; then only clients are read that have none
            waiting, and one whose message is coming is closed with 1013.
        message_rate, message_burst: messages of one client in a second, and at once; 0: no limit. Those of a session
            that are too many come with the seconds to wait; other clients are not read for as long.
        byte_rate, byte_burst: bytes of the same.
        ping_rate, ping_burst: pings and pongs of one client; more are not answered.
        max_refused: messages over their rate until a connection is closed with 1008. A ping counts for ten.
        dry_run: rates, and limits of connections, are only counted, see `stats`.
        max_head: bytes of a request head; a larger one is answered with 431.
        handshake_timeout: for a request head to come, in seconds; later it is answered with 408.
        max_connections: connections at once, requests of the application's HTTP included; more are answered with 503.
            0: no limit, as in all that follow.
        handshake_rate, handshake_burst: new connections in a second, and at once; more are answered with 503.
        max_address_connections: connections from one address, or one /64 of IPv6; more are answered with 429.
        address_handshake_rate, address_handshake_burst: new connections from one of these.
        hosts: the names in `Host` that are the server's; others are answered with 421. None: any.
        origins: the values of `Origin` that are let in; others are answered with 403. None: all, but cookies are
            believed only of the server's own.
        trusted_proxies: addresses and networks that are believed when they say for whom they ask; "unix": all peers of
            Unix sockets.
        prefix: of all paths, such as "/rt", which a request may have or not.
        mount: what comes after it in the paths that are ours, such as "/fanwire". Requests with others are the
            application's, upgrades as well.

    Raises:
        ValueError: a value is out of range.
        OSError: the system has no descriptors or threads left.
    """

    def __new__(
        cls,
        *,
        shards: int,
        connection_bytes: int,
        replay_bytes: int,
        engine_bytes: int,
        history_bytes: int,
        max_rooms: int,
        queue_items: int,
        queue_bytes: int,
        unsent_bytes: int,
        write_timeout: float,
        ping_interval: float,
        ping_timeout: float,
        close_timeout: float,
        min_rate: int,
        slow_code: int,
        max_nesting: int = 64,
        max_message: int = ...,
        max_fragments: int = ...,
        message_timeout: float = 30.0,
        inbox_messages: int = 64,
        inbox_bytes: int = ...,
        inbound_bytes: int = ...,
        message_rate: float = 1000.0,
        message_burst: float = 2000.0,
        byte_rate: float = ...,
        byte_burst: float = ...,
        ping_rate: float = 10.0,
        ping_burst: float = 100.0,
        max_refused: float = 1000.0,
        dry_run: bool = False,
        max_head: int = ...,
        handshake_timeout: float = 5.0,
        max_connections: int = 0,
        handshake_rate: float = 0.0,
        handshake_burst: float = 1.0,
        max_address_connections: int = 0,
        address_handshake_rate: float = 0.0,
        address_handshake_burst: float = 1.0,
        hosts: Sequence[str] | None = None,
        origins: Sequence[str] | None = None,
        trusted_proxies: Sequence[str] = ...,
        prefix: str = "",
        mount: str = "",
    ) -> Engine: ...
    def fileno(self) -> int:
        """The descriptor that is readable until `events` has returned nothing: an eventfd, or a pipe."""

    def events(self, most: int = 1024, held: int = 0) -> list[tuple[str, int, Any]]:
        """What has happened since the last call, as `(kind, link, detail)`; of one link in its order. Messages that
        were returned before count as handled.

        A connection is named by its link: its id or, after `resume`, what that returned. A session without a link is
        named by its id.

        Args:
            most: messages, about, and a megabyte of them. Each connection that has some waiting has eight at a time,
                and then the next; more where all of them send much.
            held: bytes of messages that the host keeps, which count for `inbound_bytes`.

        * `"messages"`: messages of the client; the detail is `(bytes, messages)`, where a message is bytes or str or,
          if it came too fast, a pair of that and the seconds to wait. A pair of two numbers stands for messages in this
          place that came too fast and were refused already: how many, and their bytes.
        * `"peer_closed"`: the client's close frame; the detail is `(code, reason)`. It was answered, unless a session's
          code is 4000 to 4499: then the host decides, and calls `retire` or `close`.
        * `"broke"`: the client broke a rule, and its connection is closed with the detail, `(code, reason)`. Where
          messages came just before, it is closed half a second later, unless the host does that before.
        * `"closing"`: the engine has begun to close a connection; the detail says why: `"slow"` or `"budget"`.
        * `"closed"`: it has ended one, whose id is stale now: `"unanswered"`, `"close timeout"`,
          `"reset"`, `"eof"` (without a close frame), `"over"` (after both) or `"cut"`, and of a parked session `"slow"`
          or `"budget"`. Also of a link that was retired.
        * `"ended"`: a connection has ended, whoever ended it. It is named by its id, and the event comes once, before
          `"closed"` if that follows. The detail is `(messages, bytes, drops)`: what it was sent over all its links,
          and how many messages were dropped, by reason; see `stats`.
        * `"parked"`: the link of a session is lost, for the same reasons.
        * `"resumed"`: a session goes on over the link; the detail is the session's id.
        * `"refused"`: it cannot; the link is a connection of its own; the detail is `(session, reason)`: the id of the
          session, and one of the reasons that `resume` has.
        * `"data"`: bytes to write to a hosted link.
        * `"read"`: so many bytes of what was fed of a hosted link were looked at.
        * `"finish"`: a hosted link has had all its bytes, and the client has closed it.
        * `"request"`: a newcomer asks to become a WebSocket, and limits and rules let it pass. It waits for `accept`,
          `resume` or `refuse`, and is not read meanwhile. The detail is `(target, headers, remote, is_secure,
          is_origin_allowed, subprotocol)`: path and query without `prefix` and `mount`; the header lines as they came,
          each with its CRLF; the client's address, "" for a Unix socket; whether it speaks TLS, perhaps to a trusted
          proxy; whether its cookies may be believed; the subprotocol that the answer names, or None.
        * `"gone"`: a newcomer has gone of which there was such an event; the detail is None.
        * `"http"`: a newcomer's request is not ours. The detail is `(fd, data, peer, is_secure)`. The socket, in
          non-blocking mode, is the host's, which reads on after `data`, closes it and then calls `left`. The descriptor
          is None where the host has the transport already, see below.
        * `"tls"`: a newcomer came to a listener with TLS. The detail is `(fd, peer)`; the socket is the host's. It
          speaks TLS there, and hands over what it decrypts by `feed(id, id, data)`, None at the end. `"data"`,
          `"read"`, `"finish"` and all of the above follow as they do for other links and newcomers.
        * `"turned_away"`: for the log; the detail is `(remote, status, reason, suppressed)`. So many newcomers were
          refused before of which there was no event: after the first 50 there is one a second. Status 0: from
          now on connections cannot be accepted, or they can again; the reason says so, once each. The link is 0.
        * `"failed"`: a thread has panicked; the detail is a text, the link 0.

        There are at most four events `"request"`, `"http"` and `"tls"` in one call.
        """

    def add_rule(
        self,
        pattern: str,
        *,
        delivery: str,
        max_keys: int,
        max_members: int,
        history: int,
        history_bytes: int,
        history_age: float,
    ) -> None:
        """Gives rooms that match a pattern their settings, unless an earlier pattern does. `*` is any characters.

        Rooms that exist keep the settings they have.

        Args:
            pattern: of names.
            delivery: the class of their messages.
            max_keys: keys of a room of latest values.
            max_members: members of a room.
            history: messages kept for those who come back; 0 keeps none.
            history_bytes: bytes of the same.
            history_age: for how long, in seconds.

        Raises:
            ValueError: there is no such delivery class.
            Closed: after `shutdown`, or in a forked process.
        """

    def open(
        self,
        fd: int | None,
        codec: str = "raw",
        window: int = 0,
        *,
        session: bool = False,
        greeting: bytes = ...,
        first: bytes = ...,
        rest: bytes = ...,
        rate: float = 1.0,
    ) -> int:
        """Takes a connection by its connected socket, and returns its id. The engine keeps a duplicate.

        Sets `TCP_NODELAY`, `TCP_NOTSENT_LOWAT` and `TCP_USER_TIMEOUT`. From here on only the engine reads and writes
        it; the caller closes its own descriptor.

        Args:
            fd: the socket. None, or with a `window`: the host writes what it gets by `"data"` events, and hands over
                what it reads by `feed`. The socket is only asked how much of it the peer has.
            codec: "raw": messages as they are; "json" or "msgpack": in envelopes.
            window: bytes that are under way to the host at most, until it calls `grant`.
            session: the connection has a session, which goes on when its link is lost, by `resume`.
            greeting: bytes that are sent first.
            first: an envelope that follows.
            rest: what was read already.
            rate: how many times as much as others the client may send; 0: as much as it likes.

        Raises:
            ValueError: the number is negative, or there is no such codec.
            OSError: it is no socket, or no descriptor is left.
            Overloaded: four million connections per shard are there.
            Closed: after `shutdown`, or in a forked process.
        """

    def listen(self, fd: int, *, tls: bool = False, proxy_protocol: bool = False) -> None:
        """Accepts connections from a listening socket, TCP or Unix. The engine keeps a duplicate, and sets the mode and
        the options that it needs on what both have in common.

        Args:
            fd: the socket.
            tls: its clients begin with TLS, which the host speaks.
            proxy_protocol: its clients are trusted proxies, which begin with a header of the PROXY protocol.

        Raises:
            ValueError: the socket does not listen.
            OSError: it is no socket, or no descriptor is left.
            Closed: after `shutdown`, or in a forked process.
        """

    def stop_listening(self) -> None:
        """Accepts no more, and closes the engine's listening sockets. A newcomer whose head is not whole is refused
        with 503 when it is."""

    def set_ready(self, is_ready: bool) -> None:
        """What `GET /readyz` of a newcomer is answered with that a limit refuses; at first, not ready."""

    def accept(self, request: int, session: str | None = None, first: bytes = ..., rate: float = 1.0) -> int | None:
        """Lets a newcomer in: sends it the 101, and returns the id of its connection; None if it has gone.

        Args:
            request: its id.
            session: the codec of its session, "json" or "msgpack"; None: it has none.
            first: an envelope that follows the 101.
            rate: how many times as much as others the client may send; 0: as much as it likes.

        Raises:
            ValueError: there is no such codec.
            Overloaded: four million connections per shard are there.
            Closed: after `shutdown`, or in a forked process.
        """

    def resume(
        self,
        conn: int,
        request: int,
        session: str,
        received: int,
        accepted: bytes,
        refused: dict[str, bytes],
        close: tuple[int, str],
        rate: float = 1.0,
    ) -> int | None:
        """Lets a newcomer in as the next link of a session. Returns the link's id, or None if it has gone. `"resumed"`
        or `"refused"` follows.

        The link that the session still has is closed as by `retire`. What the client has not received comes again, then
        what has waited.

        Args:
            conn: the session's connection.
            request: as in `accept`.
            session: the newcomer's codec.
            received: how many messages of the session the client has received.
            accepted: an envelope that follows the 101 when the session goes on.
            refused: one for each reason, of which one follows when it cannot. `"closed"`: the session has ended, or is
                about to. `"overflow"`: more waited for it than may, or some of what is missing is not kept. `"codec"`:
                it speaks another one. The link is a connection of its own then, by the id returned, with a session. The
                old session is for the host to end.
            close: close code and reason for the link that the session has still.
            rate: as in `accept`.

        Raises: as `accept`; ValueError also when a reason has no envelope, or `conn` is no connection.
        """

    def refuse(self, request: int, status: int, headers: Sequence[str] = ..., reason: str = "") -> None:
        """Answers a newcomer with a status, and closes its connection; does nothing if it has gone.

        Args:
            request: its id.
            status: of HTTP; 401 gets a `WWW-Authenticate`.
            headers: lines of the answer, such as "Retry-After: 1".
            reason: for the `"turned_away"` event. The client is not told.
        """

    def take_back(self, request: int, fd: int, data: bytes) -> None:
        """The client of an `"http"` event asks to become a WebSocket, over the same connection. It is a newcomer again,
        by the same id and in the place that it has; `left` is not called for it. The engine keeps a duplicate of the
        descriptor. Does nothing if there was no such event.

        Args:
            request: its id.
            fd: its socket.
            data: what was read of it, from the beginning of the request.

        Raises:
            OSError: it is no socket, or no descriptor is left.
            Closed: after `shutdown`, or in a forked process.
        """

    def left(self, request: int) -> None:
        """The socket or the transport of an `"http"` event is closed: the place of its connection is free. After
        `shutdown` it does nothing."""

    @property
    def waiting(self) -> int:
        """How many newcomers are not decided: their request is to come, or waits for an answer."""

    def resume_socket(
        self,
        conn: int,
        fd: int | None,
        codec: str,
        received: int,
        greeting: bytes,
        accepted: bytes,
        refused: dict[str, bytes],
        close: tuple[int, str],
        window: int = 0,
        *,
        rest: bytes = ...,
        rate: float = 1.0,
    ) -> int:
        """Goes on with a session over another link, and returns the link's id. `"resumed"` or `"refused"` follows.

        The link that it still has is closed as by `retire`. What the client has not received comes again, then what has
        waited.

        Args:
            conn: the session's connection.
            fd: as in `open`.
            codec: as in `open`, and the one that the session has.
            received: how many messages of the session the client has received.
            greeting: bytes that the link begins with.
            accepted: an envelope that follows when the session goes on.
            refused: one for each reason, of which one follows when it cannot. `"closed"`: the session has ended, or is
                about to. `"overflow"`: more waited for it than may, or some of what is missing is not kept. `"codec"`:
                it speaks another one. The link is a connection of its own then, by the id returned, with a session. The
                old session is for the host to end.
            close: close code and reason for the link that the session has still.
            window: as in `open`.
            rest: as in `open`.
            rate: as in `open`.

        Raises: as `open`; ValueError also when a reason has no envelope.
        """

    def cut(self, conn: int, link: int) -> None:
        """Ends a link at once, if the connection has it still; `"closed"` or `"parked"` follows. A session stays in its
        rooms, and its messages wait, until `resume` or `gone`."""

    def hold(self, conn: int, is_held: bool) -> None:
        """Reads nothing of a connection for now, or reads on. What has been read already still comes."""

    def feed(self, conn: int, link: int, data: bytes | None) -> None:
        """What the host has read of a hosted link; None: its end."""

    def retire(self, conn: int, link: int, close: tuple[int, str], is_over: bool) -> None:
        """Closes the link of a session, if it still is this one. The session stays as after `cut`.

        The link finishes the frame that it has begun, and ends with a close frame and FIN, within `close_timeout`. Of
        its events only `"closed"` comes, and `"data"` and `"finish"` of a hosted one. A session that is closing keeps
        its link.

        Args:
            conn: the session's connection.
            link: the link.
            close: close code and reason.
            is_over: the session ends as by `gone`, whatever link it has.

        Raises:
            ValueError: the code may not be sent (RFC 6455 section 7.4).
        """

    def report(self, conn: int, count: int, taken: list[tuple[str, int, int | None]] | None) -> None:
        """What a session has reported, where the host has read it: the engine takes reports itself that are right and
        begin with their type, and does not tell the host. Over the rate of reports the client is not read for a while.

        Args:
            conn: the connection.
            count: messages of the session that have come; they need not be kept. What cannot be is ignored.
            taken: of rooms, by name: the application has taken, or dropped, all that the room has among the first so
                many messages of the session, and the newest of them was published so many milliseconds after 1970.
                Rooms that the client is not in are ignored. From the first report with a list on, which may be empty,
                each room has a window: so many bytes of its droppable messages are under way that the application has
                not taken; the rest waits, within `connection_bytes`. The client is told by `window` when that has
                changed. None: the client does not say, and the answers to pings tell what was read, if there are
                pings.
        """

    def gone(self, conn: int) -> None:
        """A connection is over: what waits is dropped, memberships end, the id becomes stale. A link ends at once. To
        be called for each session, also where the engine has ended it: until then it is remembered why."""

    def send_raw(self, conn: int, data: bytes) -> None:
        """Sends bytes that are no frame, such as a handshake reply, ahead of all messages."""

    def send(
        self,
        conn: int,
        payload: bytes | str,
        json: bool = False,
        delivery: str | None = None,
        id: str | None = None,
        ack: bool = False,
    ) -> None:
        """Sends a message to one connection.

        Args:
            conn: its id.
            payload: bytes for a binary message, str for a text message.
            json: the payload is a JSON document, and makes a text message.
            delivery: its delivery class; None: "reliable".
            id: the message's name in its envelope; None: one is made.
            ack: the envelope asks for an acknowledgement.

        Raises:
            TypeError: the payload is neither bytes nor str.
            ValueError: it is larger than `connection_bytes` allows, or there is no such delivery class.
            Overloaded: the shard's queue is full.
            Closed: after `shutdown`, or in a forked process.
        """

    def send_envelope(self, conn: int, codec: str, envelope: bytes, urgent: bool = False) -> None:
        """Sends a whole envelope to a session, as a message like any other. Never refused as `Overloaded`:
        it answers a message that was taken. Raises otherwise as `send`. An `urgent` one, which is about the connection
        itself, goes ahead of all others and does not wait for `taken`."""

    def send_control(self, conn: int, codec: str, envelope: bytes) -> None:
        """Sends a whole envelope to a session, ahead of all messages, not counted and not sent again."""

    def broadcast(
        self, payload: bytes | str, json: bool = False, exclude: Sequence[int] = ..., delivery: str | None = None
    ) -> None:
        """Sends a message to every connection except some. Arguments and errors are those of `send`."""

    def publish(
        self,
        room: str,
        payload: bytes | str,
        json: bool = False,
        key: str | None = None,
        exclude: Sequence[int] = ...,
        delivery: str | None = None,
    ) -> int:
        """Sends a message to every member of a room except some; returns its sequence number there, from 1.

        All members see the messages of a room in the order of their numbers, whichever threads published them.

        Args:
            room: its name, 1 to 255 bytes of UTF-8.
            payload: bytes for a binary message, str for a text message.
            json: the payload is a JSON document, and makes a text message.
            key: with the delivery class "latest", what the message replaces; None is the key "".
            exclude: ids of members that do not get it.
            delivery: another delivery class than the room's.

        Raises:
            TypeError: the payload is neither bytes nor str.
            ValueError: the name's length, the payload's size or the delivery class is wrong, or a key is given without
                the class "latest".
            Overloaded: a shard's queue, the table of rooms or the room's keys are full.
            Closed: after `shutdown`, or in a forked process.
        """

    def notify(self, room: str, event: str, payload: str, exclude: Sequence[int]) -> None:
        """Tells the sessions in a room of an event: "member_joined" or "member_left", with a payload of JSON. It takes
        no number and is not kept. Does nothing where there is no such room.

        Raises:
            ValueError: there is no such event.
        """

    def place(self, room: str, epoch: str, seq: int) -> None:
        """A room whose numbering comes from outside goes on from another place. Makes the room if need be.

        Its history is emptied; the newest values of its keys stay.

        Args:
            room: its name.
            epoch: names the numbering: up to 16 hexadecimal digits.
            seq: the number after which the next message comes.

        Raises:
            ValueError: the epoch is none.
            ValueError, Overloaded, Closed: as `publish`.
        """

    def deliver(
        self,
        room: str,
        seq: int,
        ts_ms: int,
        payload: bytes | str | None,
        json: bool = False,
        key: str | None = None,
        exclude: Sequence[int] = ...,
        delivery: str | None = None,
    ) -> bool:
        """Sends a message that has its number and its time already to every member of a room except some.

        Numbers only grow, and may have holes: no message of the room has a number between the room's newest and this
        one, and the envelope says so (`prev`).

        Args:
            room: its name.
            seq: its number.
            ts_ms: when it was published, in milliseconds since 1970.
            payload: as in `publish`; None: the key is forgotten.
            json: as in `publish`.
            key: as in `publish`.
            exclude: as in `publish`.
            delivery: as in `publish`.

        Returns:
            False if the room has had that number or a greater one; nothing is done then.

        Raises: as `publish`.
        """

    def extend(
        self,
        room: str,
        epoch: str,
        floor: int,
        messages: list[tuple[int, int, bytes | str | None, bool, str | None, str | None]],
    ) -> None:
        """Puts messages before those in a room's history, as many of the newest as it has space for.

        Messages after the room's `floor` do not count. A message that is newer than the newest value of its key becomes
        that, too. Does nothing where there is no such room or it keeps no history, and if the room has another epoch.

        Args:
            room: its name.
            epoch: the numbering that they belong to.
            floor: the number after which they are all that there are.
            messages: as `(seq, ts_ms, payload, json, key, delivery)`, in the order of their numbers. Without a payload
                the key was forgotten.

        Raises:
            TypeError: a payload is neither bytes nor str.
            ValueError: the epoch is none, the numbers do not grow, or a message is one that `publish` would not take.
            Closed: after `shutdown`, or in a forked process.
        """

    def skip(self, room: str, count: int, reason: str) -> None:
        """The next numbers of a room will not come: its history is emptied, and the sessions in the room are told by a
        `skipped` event, which has the last of them. Does nothing where there is no such room.

        Args:
            room: its name.
            count: how many.
            reason: why: "backplane".

        Raises:
            ValueError: there is no such reason.
            Closed: after `shutdown`, or in a forked process.
        """

    def floor(self, room: str) -> tuple[str, int]:
        """A room's epoch and the number after which it keeps every message: that of the newest without a history.
        Makes the room if need be.

        Raises:
            ValueError, Overloaded, Closed: as `publish`.
        """

    def join(
        self,
        conn: int,
        room: str,
        since: tuple[str, int] | None = None,
        *,
        reply: bool = False,
        re: str | None = None,
        extra: str = "",
        is_state: bool = False,
        only_whole: bool = False,
        again: bool = False,
    ) -> tuple[str, int, str | None]:
        """Makes a connection a member.

        What came after `since` comes first, if all of that is kept; otherwise, in a room of latest values, the newest
        message of every key. Then comes the stream: one step, with nothing missing or doubled between. What comes first
        may pass `connection_bytes`.

        Args:
            conn: its id.
            room: the room's name.
            since: epoch and sequence number of the last message it has.
            reply: a session gets a `joined` message ahead of all that.
            re: the id of the message that this answers.
            extra: members of a JSON object for the reply's payload, each behind a comma.
            is_state: `extra` has the state at `since`.
            only_whole: when what came after `since` is not kept, nothing is done.
            again: the connection is a member already, and wants what it has missed.

        Returns:
            The room's epoch, the sequence number of its newest message, and why what came after `since` cannot be had:
            "epoch", "history" or "position", also "history" without `since`; None if it comes.

        Raises:
            RoomFull: it has as many members as it may have.
            ValueError, Overloaded, Closed: as `publish`.
        """

    def position(self, room: str) -> tuple[str, int]:
        """A room's epoch and the sequence number of its newest message. Makes the room if need be.

        Raises:
            ValueError, Overloaded, Closed: as `publish`.
        """

    def leave(self, conn: int, room: str) -> None:
        """Ends a membership. What was queued before is still sent."""

    def members(self, room: str) -> int:
        """How many members a room has."""

    def rooms(self) -> dict[str, int]:
        """The number of members of each room, by name. Others run meanwhile.

        Raises:
            Closed: after `shutdown`, or in a forked process.
        """

    def history(self, room: str, after: tuple[str, int] | None, limit: int) -> tuple[str, list[tuple[int, bytes]]]:
        """What the history of a room keeps, oldest first, and the epoch of the numbers; nothing, with the epoch "0",
        where there is no such room.

        Args:
            room: its name.
            after: an epoch and a number after which to begin; in another epoch at the first that is kept. None: the
                newest messages.
            limit: messages at most.

        Returns:
            The epoch, and pairs of a number and a node message (see `fanwire.cluster.node_message`).

        Raises:
            Closed: after `shutdown`, or in a forked process.
        """

    def values(self, room: str) -> list[bytes]:
        """The newest value of each key of a room, as node messages (see `fanwire.cluster.node_message`). Others run
        meanwhile."""

    def take_values(self, room: str, since_ms: int, values: Sequence[bytes]) -> int:
        """Takes values of another node: those whose keys have none here, or an older one from before the room was
        heard. Members get them as if they were published now, but for the time on them.

        Args:
            room: its name.
            since_ms: when it began to be heard, in milliseconds since 1970.
            values: as node messages. What is no value, or does not fit, is left out.

        Returns:
            How many were taken.
        """

    def forget(self, room: str, key: str) -> tuple[bool, int]:
        """Forgets the newest value of a key. Sessions in the room are told by a `forgotten` message with a number.

        Returns:
            Whether there was a value, and the moment in microseconds since 1970, which is not before that of the value.

        Raises:
            Overloaded: a shard's queue is full; nothing was forgotten.
            Closed: after `shutdown`, or in a forked process.
        """

    def forget_older(self, room: str, key: str, ts_us: int, is_numbered: bool) -> bool:
        """Forgets the value of a key that another node has forgotten, unless the value is newer.

        Args:
            room: its name.
            key: the key.
            ts_us: when that node forgot it, in microseconds since 1970. What is known already is not done again.
            is_numbered: the forgetting takes a number of the room; False: numbers come from a log.

        Returns:
            Whether a value was forgotten.

        Raises: as `forget`.
        """

    def has_value(self, room: str, key: str) -> bool:
        """Whether a key of a room has a value."""

    @property
    def now_ms(self) -> int:
        """Milliseconds since 1970, by the clock that dates messages here. It never goes back."""

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
        """What the engine has done since it started. In a forked process it raises Closed, as others do.

        Returns:
            `connections` and `rooms` now; `published` and `refused` messages, and `late` ones of other nodes, which
            were dropped; `delivered` messages and `bytes`, handed to the kernel or the TLS layer; `writes`, and how
            many of them were `blocked`; connections `held` now, for which droppable messages wait until more was taken;
            `pings` (probes aside); connections
            `closed_slow` and `closed_unanswered`; `waiting_bytes` of `waiting_bytes_limit`; `history_bytes`, kept by
            rooms; `drops` by reason
            (`replaced`, `oldest`, `newest`, `budget`, `closed`); `inbound_bytes` of messages that are coming or wait
            for the host; `limits`: how often clients have passed each; `handshakes`: how many requests `accept`,
            `refuse` and the engine have answered with each status; `latency_us`: pairs of an upper bound in
            microseconds and how often a write's oldest message was younger than that, but not than the bound before;
            `latency_sum_us`, the sum of these ages; `taken_age`, how old messages were when the applications of
            clients had taken them, as these report it, by the pattern of the room's rule (`*` for rooms without one):
            the `count` of ages, the `sum` of them in seconds, and `buckets`, pairs of an upper bound in seconds and
            how many ages were not above it, but above the bound before. An age counts for 3600 s at most, the last
            bound.
        """

    def shutdown(self, timeout: float) -> bool:
        """Ends all connections and threads. Waits without the interpreter lock, `timeout` seconds at most; false if a
        thread was not done by then. Every later call raises `Closed`; calling it again does nothing."""

@final
class Ingress:
    """The ingress of a room: messages that other nodes publish enter the engine here. Each node numbers its messages to
    a room, so this node knows which messages it missed, and tells the members (`skipped`).

    Args:
        engine: the engine of the members.
        room: the name of the room.
        since_ms: when this node subscribed to the room, in milliseconds since 1970.
    """

    def __new__(cls, engine: Engine, room: str, since_ms: int) -> Ingress: ...
    def take(self, data: bytes) -> tuple[int, str | None]:
        """Takes a message of another node, as `fanwire.cluster.node_message` encodes it.

        Returns:
            How many messages of that node the members of this node will not get, including this one if the engine was
            full or refused it; and what was wrong with it, or None.
        """

@final
class NatsConnection:
    """A connection to NATS, by async-nats, on a thread of its own. It reconnects for ever. Commands are collected and
    start with the next `flush`, in order. No method but `close` blocks.

    Args:
        servers: addresses of the servers of one NATS cluster, without credentials.
        node: the last token of the subjects that this node publishes to. Messages with this ending are our own and are
            ignored, except in logs.
        echo: a subject that only this node uses, for `sync`.
        token: a token to authenticate with.
        password: a user name and a password to authenticate with.
        credentials: a credentials file with a user's JWT and its seed.
        ca: a file of CA certificates that are trusted in addition to those of the system.
        certificate: files with the client certificate and its key.
        timeout: of one attempt to connect, in seconds.
        retry: the wait between two attempts, in seconds.
        ping: the interval of pings, in seconds. The connection counts as lost after two pings without an answer.
        max_bytes: the limit on bytes that wait to be sent, and on bytes that wait for `take`. Each message counts for
            200 bytes more than its own.

    Raises:
        OSError: the system has no descriptors or threads left.
    """

    def __new__(
        cls,
        servers: Sequence[str],
        *,
        node: str,
        echo: str,
        token: str | None = None,
        password: tuple[str, str] | None = None,
        credentials: str | None = None,
        ca: str | None = None,
        certificate: tuple[str, str] | None = None,
        timeout: float,
        retry: float,
        ping: float,
        max_bytes: int,
    ) -> NatsConnection: ...
    def fileno(self) -> int:
        """Returns the descriptor that is readable while `take` has something to return."""

    @property
    def is_up(self) -> bool:
        """Whether it is connected and all subscriptions are active."""

    def take(self, most: int) -> list[tuple[Any, ...]]:
        """Returns at most `most` events in their order, and some summaries.

        Returns:
            Tuples that begin with their kind:

            * `("up",)` and `("down",)`: `is_up` has changed.
            * `("ended", why)`: the connection has ended, or never began.
            * `("complained", what)`: NATS or the client reported an error.
            * `("synced", ticket)`: see `sync`.
            * `("answered", ticket, replies)` or `("unanswered", ticket, why)`: see `ask`. A reply is a tuple of its
              status (0 if it has none), its headers and its payload.
            * `("heard", id, data)`: a message of a subscription.
            * `("stored", id, seq, prev, data)`: a message of a log, its number, and the number of the room's message
              before it.
            * `("missed", id, count, fault)`: the room of an ingress missed so many messages; see `Ingress.take`.
            * `("lost", id)`: messages of a subscription were dropped because too many waited; `("lost_some",)`: the
              same, and the subscription is not known.
        """

    def send(self, subject: str, data: bytes) -> bool:
        """Sends a message. Returns False if there is no connection, or if more than `max_bytes` would wait."""

    def subscribe(self, id: int, subject: str, ingress: Ingress | None = None, is_log: bool = False) -> None:
        """Subscribes to a subject. Active after the next `sync`, and restored after a reconnect.

        Args:
            id: names the subscription; must not be reused.
            subject: of NATS, perhaps with wildcards.
            ingress: gets the messages; None: `take` returns them.
            is_log: a stream republishes the messages with their numbers (NATS ADR-28).
        """

    def unsubscribe(self, id: int) -> None:
        """Ends a subscription. A few messages may still come."""

    def sync(self, ticket: int) -> None:
        """Asks for `("synced", ticket)`, which comes when everything sent before has arrived. None comes if the
        connection is lost."""

    def ask(
        self, ticket: int, subject: str, data: bytes, headers: Sequence[tuple[str, str]] = ..., is_batch: bool = False
    ) -> None:
        """Sends a request. `take` returns the answer, or an error after at most twice `timeout`.

        Args:
            ticket: the id of the request; the answer has the same.
            subject: the subject that the request is sent to.
            data: the payload.
            headers: the headers; ignored in a batch.
            is_batch: several replies come; the last one has a status (NATS ADR-31).
        """

    def flush(self) -> None:
        """Starts all collected commands. It wakes a thread, which may take the processor."""

    def reconnect(self) -> None:
        """Drops the connection and connects again."""

    def counts(self) -> tuple[int, int, int]:
        """Returns the number of messages received, of bytes received, and of connects."""

    @property
    def max_payload(self) -> int | None:
        """The largest message that the server accepts, in bytes with headers; None before the first connect."""

    def close(self, timeout: float) -> bool:
        """Sends what waits and ends the thread. Returns False if that takes longer than `timeout` seconds."""
