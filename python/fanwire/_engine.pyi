"""The native half of fanwire: sockets, framing, limits, fan-out and the queues of all connections, on its own threads.

Only plain values cross this border. Every method may be called from any thread, none calls Python, and none waits for a
client. A call with the id of a connection that has ended, or never existed, does nothing: connections end at any
moment, so this is normal.

Words: a *newcomer* is a connection whose request is not answered yet. The *host* is the Python process. A *one-way*
link is an event stream (transport "sse") or a link of polls ("long-poll"): only the server sends, and the client's
messages come by other requests (`Engine.post`). A link of polls has no socket: each poll of the client gets one write
(`Engine.poll`). A *parked* session has lost its link and waits for its client.
"""

import os
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
    "RecordingReader",
    "RoomFull",
    "check_audience",
    "check_filter",
    "check_json",
    "check_tls",
    "glance",
    "is_surely_finite",
    "json_to_msgpack",
    "msgpack_to_json",
    "payload_of",
]

def check_json(document: bytes, max_nesting: int) -> tuple[str, str] | None:
    """Checks that bytes are a JSON document that MessagePack can hold exactly (docs/values.md).

    Args:
        document: the document in UTF-8.
        max_nesting: levels of lists and maps that it may have, at most 256.

    Returns:
        None, or the path of the wrong value, such as `$.orders[3].price`, and a text that says what it must be.
    """

def check_filter(filter: bytes) -> tuple[str, str] | None:
    """Checks a filter or a condition in its JSON form (docs/interest.md).

    Args:
        filter: the JSON document.

    Returns:
        None, or the path of what is wrong, such as `$.price.range[0]`, and a text that says what it must be.
    """

def check_audience(audience: bytes) -> tuple[str, str] | None:
    """Checks whom a message is for: a JSON object with `where`, a condition, and `tags`. Returns what `check_filter`
    returns."""

def glance(document: bytes, max_nesting: int) -> int:
    """Quickly looks at a JSON document that an encoder has written.

    Args:
        document: the document.
        max_nesting: as in `check_json`.

    Returns:
        The sum of 1 if it contains `null`, even inside a string, and of 2 if it has more levels than `max_nesting`.
    """

def is_surely_finite(value: object) -> bool:
    """Whether a value consists only of dict, list, str, int, bool, None and finite floats. False for any other type."""

def json_to_msgpack(document: bytes, max_nesting: int) -> bytes | tuple[str, str]:
    """Translates a JSON document to MessagePack exactly.

    Returns:
        The MessagePack document, or the path and the text of `check_json`.
    """

def payload_of(frame: bytes, is_json: bool) -> tuple[int, int] | None:
    """Returns where the payload of an envelope begins and ends, however deep or broken it is; None: it has none."""

def msgpack_to_json(document: bytes, max_nesting: int) -> bytes | tuple[str, str]:
    """Translates a MessagePack document to JSON exactly.

    Returns:
        The JSON document, or the path and the text of `check_json`. JSON has no bytes, extensions, keys other than
            strings, or floats that are not finite.
    """

def check_tls(
    certificates: Sequence[tuple[str, bytes, str, bytes]],
    *,
    client_ca: tuple[str, bytes] | None,
    client_required: bool,
    min_version: str,
) -> None:
    """Checks certificates, keys and rules as `Engine.set_tls` does, without an engine.

    Raises:
        ValueError: a text is not right; the error names the file, and says what to do.
    """

class FanwireError(Exception):
    """The base class of all exceptions of fanwire; `fanwire/errors.py` draws the tree."""

class Closed(FanwireError):
    """The caller used a server that is not running, or a client that is closed. For the engine: it was shut down, or
    the process was forked."""

class Overloaded(FanwireError):
    """A bounded queue or table is full. Nothing was queued and no sequence number was used; the caller tries again
    later.

    Attributes:
        limit: the field of `Config` that sets the limit, such as "max_rooms"; "max_connections" for the table of
            connections.
    """

    limit: str

class RoomFull(Overloaded):
    """The room has reached its `max_members` (`Server.room`); `limit` is "max_members". The caller tries again when a
    member has left."""

class EngineFailed(FanwireError):
    """A thread of the engine has panicked: a bug in fanwire. Every later call raises this; the operator restarts the
    server."""

@final
class Engine:
    """Rooms, connections, and the threads that read and write them. Sizes are in bytes, durations in seconds, rates per
    second.

    Args:
        shards: writing threads, 1 to 1,023. A connection belongs to one of them for its whole life.
        shard_spin: seconds for which a writing thread looks for work before it sleeps; it takes a whole core meanwhile.
        shard_cores: the processor of each writing thread; empty: the system chooses.
        connection_bytes: bytes that may wait for one connection, 256 bytes of overhead per message included.
        replay_bytes: sent and unacknowledged bytes that a session keeps, overhead included.
        engine_bytes: bytes that may wait for all connections; a shared message counts once, plus 16 bytes for each
            reference.
        history_bytes: bytes of the histories of all rooms together.
        max_rooms: rooms at the same time.
        queue_items: publishes and sends that may wait for one shard.
        queue_bytes: bytes of the publishes and sends that may wait for one shard.
        unsent_bytes: `TCP_NOTSENT_LOWAT` of every socket (tcp(7)).
        write_timeout: `TCP_USER_TIMEOUT` of every socket (tcp(7)).
        ping_interval: seconds between two pings; 0: no pings.
        ping_timeout: seconds from a ping to the end of a connection that has not answered.
        close_timeout: seconds from the decision to close a connection to its end; it starts again as long as the peer
            takes at least `min_rate` of what waits.
        min_rate: bytes a second, in either direction, that prove a peer alive that answers no ping.
        slow_code: the close code of a connection over its limit.
        max_nesting: levels of lists and maps in a message from another node; a deeper message is refused.
        max_message: bytes of a client's message, all fragments together, after it was inflated.
        max_fragments: fragments of a client's message.
        message_timeout: seconds from the beginning of a client's message to its end, and one second more for each
            `min_rate` bytes received.
        inbox_messages: messages of one client that may wait for the host.
        inbox_bytes: bytes of these messages, with 64 bytes of overhead each.
        inbound_bytes: bytes of all messages that are unfinished or wait for the host. Above it only clients without
            waiting messages are read, and a client with an unfinished message is closed with 1013.
        message_rate, message_burst: messages of one client per second, and at once; 0: no limit. A session's messages
            over the rate come with the seconds to wait; other clients are not read for that time.
        byte_rate, byte_burst: bytes of one client per second, and at once; 0: no limit.
        ping_rate, ping_burst: pings and pongs of one client; more are not answered.
        max_refused: messages over their rate until a connection is closed with 1008. A ping counts for ten.
        dry_run: rates, and limits of connections, are only counted; see `stats`.
        max_head: bytes of a request head; a larger one is answered with 431.
        handshake_timeout: seconds for a request head to come; then it is answered with 408.
        max_connections: connections at the same time, including plain HTTP; more are answered with 503. 0: no limit, as
            in all the following.
        handshake_rate, handshake_burst: new connections per second, and at once; more are answered with 503.
        max_address_connections: connections from one address, or one /64 of IPv6; more are answered with 429.
        address_handshake_rate, address_handshake_burst: new connections from one address, as in
            `max_address_connections`.
        hosts: the names of the server in `Host`; others are answered with 421. None: any name.
        origins: the values of `Origin` that are let in; others are answered with 403. None: all, but cookies are
            believed only from the server's own origin.
        trusted_proxies: addresses and networks of proxies that may name their clients; "unix": all peers of Unix
            sockets.
        prefix: the prefix of all paths, such as "/rt". A request may come without it.
        mount: what follows it in Fanwire's own paths, such as "/fanwire". Other paths belong to the application,
            upgrades included.

    Raises:
        ValueError: a value is out of range.
        OSError: the system has no descriptors or threads left.
    """

    def __new__(
        cls,
        *,
        shards: int,
        shard_spin: float = 0.0,
        shard_cores: Sequence[int] = ...,
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
        """Returns the descriptor (an eventfd or a pipe) that is readable until `events` has returned nothing."""

    def events(self, most: int = 1024, held: int = 0) -> list[tuple[str, int, Any]]:
        """Returns the events since the last call, as `(kind, link, detail)`; those of one link are in order. The
        messages of the call before now count as handled.

        A connection is named by its link: its id or, after `resume`, the id that `resume` has returned. A session
        without a link is named by its own id. One call returns at most four events `"request"` and `"http"` together.

        * `"messages"`: messages of the client. The detail is `(bytes, messages)`. A message is bytes or str, or a pair
          of it and the seconds to wait if it came too fast. A pair of two numbers stands for messages that came too
          fast and were refused already: how many, and their bytes.
        * `"peer_closed"`: the client's close frame; the detail is `(code, reason)`. It was answered, unless a session's
          code is 4000 to 4499: then the host calls `retire` or `close`.
        * `"broke"`: the client broke a rule, and its connection is closed with the detail, `(code, reason)`. If
          messages came just before, it is closed half a second later, unless the host closes it first.
        * `"closing"`: the engine has begun to close a connection; the detail is the reason: `"slow"` or `"budget"`.
        * `"closed"`: the engine has ended a connection, whose id is now stale. The detail is `"unanswered"`, `"close
          timeout"`, `"reset"`, `"eof"` (without a close frame), `"over"` (after both close frames) or `"cut"`; for a
          parked session `"slow"` or `"budget"`. It also comes for a retired link.
        * `"ended"`: a connection has ended, for any reason. It is named by its id, and the event comes once, before a
          `"closed"`. The detail is `(messages, bytes, drops, highest_queue, median_age)`: what was sent over all its
          links; the dropped messages by reason, see `stats`; the most bytes that have waited at once; and the median
          age in seconds, within a quarter, of the messages that the client's application took, or None if the client
          has reported no age.
        * `"parked"`: the link of a session is lost, with the details of `"closed"`.
        * `"resumed"`: a session goes on over the link; the detail is the session's id.
        * `"refused"`: a session cannot be resumed. The link is a new connection; the detail is `(session, reason)`: the
          session's id, and a reason of `resume`.
        * `"data"`: the answer to a poll; see `poll`.
        * `"read"`: so many of the bytes given to a one-way link by `post` were processed.
        * `"request"`: a newcomer asks for a connection, within all limits and rules: a WebSocket, or by a GET an event
          stream (`transport=sse` in the query, or a path `/rooms/NAME` without `transport` from a client that takes an
          event stream or anything) or a session whose client polls (`transport=long-poll`). It is not read until
          `accept`, `resume` or `refuse`. The detail is `(target, headers, remote, is_secure, is_origin_allowed,
          subprotocol, transport, tls, compression)`: path and query without `prefix` and `mount`; the header lines as
          they came, each with its CRLF; the client's address, "" for a Unix socket; whether it speaks TLS, perhaps to a
          trusted proxy; whether its cookies may be believed; the subprotocol of the answer, or None, of a fallback
          transport that of `protocol` in the query or raw; "websocket", "sse" or "long-poll"; what is known of its TLS,
          or None if it does not speak TLS to this server: `(version, cipher, server_name, alpn, is_resumed,
          certificate)`, that is "TLSv1.2" or "TLSv1.3"; the cipher suite as IANA names it; the name of the server that
          the client asked for, or None; the protocol agreed to by ALPN, or None; whether a session ticket took the
          place of certificates; the checked certificate of the client, or None: `(subject, names, serial, fingerprint,
          expires)`, its subject as RFC 4514 writes it; its domains, mail addresses, URIs and addresses; its serial
          number and its SHA-256 hash in hexadecimal digits; when it expires, in seconds since 1970; and whether
          messages may be compressed, in both directions (RFC 7692).
        * `"gone"`: a newcomer of a `"request"` has disconnected; the detail is None.
        * `"http"`: a newcomer's request is not for Fanwire. The detail is `(fd, data, peer, is_secure, tls)`; `tls` as
          in `"request"`. The non-blocking socket belongs to the host, which reads on after `data`, closes it and then
          calls `left`, or gives it back (`take_back`). If the client speaks TLS, it is one end of a pair of Unix
          sockets, and the engine decrypts and encrypts between the other end and the client. An end, or a half of one,
          is passed on in both directions.
        * `"turned_away"`: for the log: a newcomer was refused. The detail is `(remote, status, reason, suppressed,
          path, user_agent)`; `suppressed` is the number of refusals before without an event: after the first 50 there
          is one event a second. The path is without its query, and percent-encoded; it and the User-Agent are "" if
          they are not known, and have at most 200 bytes. The status 0 means, with a remote, that a TLS handshake has
          failed; without one, that accepting has failed, or works again. The reason is a whole sentence then. The link
          is 0.
        * `"numbered"`: messages have left with the tick of their room. The detail is a list of pairs of a ticket and a
          number, the link is 0. A value that a newer one has replaced gets the number of that one.
        * `"tick"`: an edge of a rate that the host leads. The detail is the rate and the number of the edge since 1970,
          the link is 0.
        * `"failed"`: a thread has panicked; the detail is a text, the link is 0.

        Args:
            most: messages to return, about, and at most about a megabyte. Each connection with waiting messages gets
                eight at a time in turn; more where all of them send much.
            held: bytes of messages that the host still keeps; they count for `inbound_bytes`.
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
        compress: bool = False,
        priority: str = "normal",
        tick: int = 0,
        interest: bool = False,
        delta: bool = False,
    ) -> None:
        """Sets the settings of the rooms whose names match a pattern. The first matching pattern counts; `*` stands for
        any characters.

        Rooms that exist keep their settings.

        Args:
            pattern: the pattern of names.
            delivery: the delivery class of their messages.
            max_keys: keys of a `latest` room.
            max_members: members of a room.
            history: messages that a room keeps; 0: none.
            history_bytes: bytes of these messages.
            history_age: seconds for which they are kept.
            compress: its messages are compressed for clients that have agreed to it; see `set_compression`.
            priority: which of the messages that wait for a connection leave first, and which connections are written
                to first: high, normal or low. Of eight writes at least one begins with what is lower and waits.
            tick: how often a second its messages leave, at most 1000; 0: each leaves at once.
            interest: members may have attributes and filters, and messages an audience.
            delta: of a `latest` room: a value may be sent as a delta to the one before of its key, to clients that have
                agreed to it (`accept`).

        Raises:
            ValueError: the delivery class or the priority is unknown.
            Closed: the engine was shut down, or the process was forked.
        """

    def set_compression(self, level: int, min_bytes: int) -> None:
        """Agrees to compress messages (permessage-deflate, RFC 7692) with newcomers from now on that offer it. Before
        the first call, every offer is declined.

        Messages of rooms with `compress` are then compressed for those who have agreed: once for all of them, when the
        first of them is written to, without the context of earlier messages. A message that does not get smaller is
        sent as it is. What clients compress is inflated here; `max_message` and the rates are about what it is inflated
        to. A window is used as a client asks for it: the largest of 9, 12 and 15 bits that is not above it.

        May be called again: messages that are not compressed yet follow.

        Args:
            level: of zlib, 1 (fast) to 9 (small).
            min_bytes: bytes of a message, its envelope included, from which on it is compressed.

        Raises:
            ValueError: the level is not 1 to 9.
            Closed: the engine was shut down, or the process was forked.
        """

    def open(
        self,
        fd: int,
        codec: str = "raw",
        *,
        session: bool = False,
        greeting: bytes = ...,
        first: bytes = ...,
        rest: bytes = ...,
        rate: float = 1.0,
    ) -> int:
        """Takes a connection by its connected socket, and returns its id. The engine keeps a duplicate of the
        descriptor.

        Sets `TCP_NODELAY`, `TCP_NOTSENT_LOWAT` and `TCP_USER_TIMEOUT`. From now on only the engine reads and writes the
        socket; the caller closes its own descriptor.

        Args:
            fd: the socket.
            codec: "raw": messages as they are; "json" or "msgpack": in envelopes.
            session: the connection has a session, which survives its link (`resume`).
            greeting: bytes that are sent first.
            first: an envelope that follows.
            rest: bytes that were already read.
            rate: factor of the client's rate limits; 0: no limit.

        Raises:
            ValueError: a number is negative, or the codec is unknown.
            OSError: the descriptor is not a socket, or none is left.
            Overloaded: there are four million connections per shard.
            Closed: the engine was shut down, or the process was forked.
        """

    def set_tls(
        self,
        certificates: Sequence[tuple[str, bytes, str, bytes]],
        *,
        client_ca: tuple[str, bytes] | None,
        client_required: bool,
        min_version: str,
        handshake_timeout: float,
    ) -> list[tuple[list[str], int]]:
        """Sets the certificates and the rules for listeners with TLS (TLS 1.2 of RFC 5246, TLS 1.3 of RFC 8446).

        May be called again at any time: open connections stay as they are, and handshakes that begin later follow the
        new settings. Session tickets from before are not resumed. If this fails, nothing has changed.

        ALPN offers "http/1.1"; a client that offers only others is refused. Renegotiation, early data (0-RTT) and key
        logs are off.

        Args:
            certificates: for each its file's name, for errors, and the PEM text in it: the certificate, then those that
                lead to one which clients know; then the name and the text of the file with its private key. The first
                is for clients that name no server (SNI), or one that no certificate is for. Otherwise the first that
                has the name, and a key that the client can use, is chosen (wildcards: RFC 9525 section 6.3).
            client_ca: name and PEM text of a file with the certificates that a client's has to come from; None: clients
                are not asked for one.
            client_required: a client without a certificate is refused. Needs `client_ca`.
            min_version: "1.2" or "1.3".
            handshake_timeout: seconds in which a handshake has to end, from when the connection was accepted.

        Returns:
            For each certificate the names that it is for, and when it expires, in seconds since 1970.

        Raises:
            ValueError: a text is not right; the error names the file, and says what to do.
            Closed: the engine was shut down, or the process was forked.
        """

    def listen(self, fd: int, *, tls: bool = False, proxy_protocol: bool = False) -> None:
        """Accepts connections from a listening socket, TCP or Unix. The engine keeps a duplicate of the descriptor, and
        sets the mode and the options that it needs on the shared socket.

        Args:
            fd: the socket.
            tls: its clients speak TLS; see `set_tls`.
            proxy_protocol: its clients are trusted proxies, which begin with a header of the PROXY protocol.

        Raises:
            ValueError: the socket does not listen, or has TLS, and `set_tls` was not called before.
            OSError: the descriptor is not a socket, or none is left.
            Closed: the engine was shut down, or the process was forked.
        """

    def stop_listening(self) -> None:
        """Stops accepting, and closes the engine's listening sockets. A newcomer whose head is not complete is refused
        with 503 when it is."""

    def set_ready(self, is_ready: bool) -> None:
        """Sets the answer to `GET /readyz` of newcomers that a limit refuses. The default is not ready."""

    def accept(
        self,
        request: int,
        session: str | None = None,
        first: bytes = ...,
        rate: float = 1.0,
        batch: bool = False,
        delta: bool = False,
    ) -> int | None:
        """Lets a newcomer in: sends the head of the response and returns the id of the connection; None: it has
        disconnected.

        For transport "websocket" the head is the 101. For "sse" it is a 200 whose body is the event stream and ends
        with the connection. For "long-poll" the whole response is sent, with `first` in its body, and its connection
        ends; the client's polls and messages come to the host by other requests (`poll`, `post`). Responses of fallback
        transports have the headers of CORS.

        Args:
            request: the newcomer's id.
            session: the codec of its session, "json" or "msgpack"; None: no session. A newcomer with "long-poll" must
                have one.
            first: an envelope that follows the head.
            rate: factor of the client's rate limits; 0: no limit.
            batch: messages that wait for a session leave as one, an array of their envelopes (docs/protocol.md,
                batches). Without a session it has no effect.
            delta: values of rooms with `delta` may come as deltas (docs/protocol.md, deltas). Without a session it has
                no effect.

        Raises:
            ValueError: the codec is unknown.
            Overloaded: there are four million connections per shard.
            Closed: the engine was shut down, or the process was forked.
        """

    def resume(
        self,
        conn: int,
        request: int,
        session: str,
        received: int,
        refusals: int,
        accepted: bytes,
        refused: dict[str, bytes],
        close: tuple[int, str],
        rate: float = 1.0,
        batch: bool = False,
        delta: bool = False,
    ) -> int | None:
        """Lets a newcomer in as the next link of a session. Returns the link's id; None: it has disconnected.
        `"resumed"` or `"refused"` follows.

        A link that the session still has is closed as by `retire`. The messages that the client has not received are
        sent again, then those that wait. The new link may have another transport than the old one.

        Args:
            conn: the session's connection.
            request: as in `accept`.
            session: the newcomer's codec.
            received: how many messages of the session the client has received.
            refusals: how many of the client's messages that the engine has refused the host has counted. The answers to
                later ones are withdrawn: `accepted` does not count these messages, so the client sends them again.
            accepted: an envelope that follows the head if the session is resumed.
            refused: an envelope for each reason, of which one follows if it is not. `"closed"`: the session has ended
                or is about to. `"overflow"`: too much waited for it, or missing messages are not kept. `"codec"`: it
                uses the other codec. The link is then a new connection with a session, under the returned id; the host
                ends the old session.
            close: close code and reason for the session's present link.
            rate: as in `accept`.
            batch: as in `accept`; of this link, whatever the one before took.
            delta: as in `accept`. A session that has had a link without it gets whole values from then on.

        Raises: as `accept`; ValueError also if a reason has no envelope, or `conn` is not a connection.
        """

    def refuse(
        self,
        request: int,
        status: int,
        headers: Sequence[str] = ...,
        reason: str = "",
        path: str = "",
        user_agent: str = "",
    ) -> None:
        """Answers a newcomer with an HTTP status, and closes its connection. Does nothing if it has disconnected.

        Args:
            request: the newcomer's id.
            status: the HTTP status; 401 gets a `WWW-Authenticate`.
            headers: lines of the answer, such as "Retry-After: 1". The answer to a request for a fallback transport has
                the headers of CORS besides.
            reason: for the `"turned_away"` event. The client does not see it.
            path: of its request, for the same event.
            user_agent: likewise.
        """

    def take_back(self, request: int, fd: int, data: bytes) -> None:
        """Takes the connection of an `"http"` event back: its client asks for a connection, by any transport. It is a
        newcomer again, with the same id and place; `left` is not called for it. The engine keeps a duplicate of the
        descriptor, and sends what the host has written before, which writes nothing more. Does nothing if there was no
        such event.

        Args:
            request: the newcomer's id.
            fd: its socket.
            data: the bytes that were read, from the beginning of the request.

        Raises:
            OSError: the descriptor is not a socket, or none is left.
            Closed: the engine was shut down, or the process was forked.
        """

    def left(self, request: int) -> None:
        """Frees the place of an `"http"` event's connection: its socket or transport is closed. Over TLS it is
        free when the client was sent all that was written before. Does nothing after `shutdown`."""

    @property
    def waiting(self) -> int:
        """The number of newcomers that are not decided: their request is not complete, or waits for an answer."""

    def resume_socket(
        self,
        conn: int,
        fd: int,
        codec: str,
        received: int,
        greeting: bytes,
        accepted: bytes,
        refused: dict[str, bytes],
        close: tuple[int, str],
        *,
        rest: bytes = ...,
        rate: float = 1.0,
    ) -> int:
        """Resumes a session over another socket, and returns the link's id. `"resumed"` or `"refused"` follows.

        The link that the session still has is closed as by `retire`. The messages that the client has not received are
        sent again, then those that wait.

        Args:
            conn: the session's connection.
            fd: as in `open`.
            codec: as in `open`; it must be the session's.
            received: how many messages of the session the client has received.
            greeting: bytes that are sent first.
            accepted: an envelope that follows if the session is resumed.
            refused: as in `resume`.
            close: close code and reason for the session's present link.
            rest: as in `open`.
            rate: as in `open`.

        Raises: as `open`; ValueError also if a reason has no envelope.
        """

    def cut(self, conn: int, link: int) -> None:
        """Ends a link at once, if the connection still has it; `"closed"` or `"parked"` follows. A session stays in its
        rooms, and its messages wait, until `resume` or `gone`."""

    def hold(self, conn: int, is_held: bool) -> None:
        """Stops or resumes reading a connection. Bytes that were read before still come as messages."""

    def post(self, conn: int, link: int, lines: bytes, is_binary: bool = False, close: int | None = None) -> int:
        """Passes messages of a one-way link's client, which came in the body of another request. They are handled like
        messages of a WebSocket: the same limits, rates, credit and reports hold, and they come as `"messages"` or
        `"broke"`. A sign of life: an answer to the last ping is no longer missing.

        Events `"read"` of the link add up to the returned number when all of it was decoded. None come any more once
        the link has ended (`"parked"`, `"closed"`). The caller passes one body at a time, because what is not decoded
        waits without a limit of its own. Does nothing if the connection does not have the link, or it is not one-way.

        Args:
            conn: the connection.
            link: its link.
            lines: one message a line; an end of CR LF is one of LF, and empty lines stand for nothing.
            is_binary: the messages are bytes, and each line is their base64; False: each is a text message.
            close: the code with which the client closes behind these messages, as by a close frame; None: it does not.

        Returns:
            The number of bytes that are to be read, 0 if there is neither a message nor a close.

        Raises:
            ValueError: a line is not valid, or the code must not be sent; nothing was passed.
            Closed: the engine was shut down, or the process was forked.
        """

    def poll(self, conn: int, link: int, received: int) -> None:
        """Takes a poll of the client of a link of polls. A sign of life, as in `post`.

        Exactly one event `"data"` of the link answers each poll, in their order: as soon as something is there, with
        everything that may leave then. It is empty (`b""`) if the next poll came before. A caller that stops waiting
        calls nothing: bytes that come later are lost on the way, and the next poll, with the client's `received`,
        brings their counted messages again. An event `"data"` that no poll waits for has the close event of a link that
        was retired. No `"data"` comes once the link has ended (`"parked"`, `"closed"`).

        A client that polls no more and posts nothing is noticed by the missing answer to a ping. If there are no pings,
        the host has to `cut` the link.

        Args:
            conn: the session's connection.
            link: its link.
            received: how many counted messages of the session the client has received. They need not be kept any more,
                and what follows them is sent again. If they cannot be so many, or what follows is no longer kept, the
                link is lost: `"parked"` or `"closed"` with the detail "reset".

        Raises:
            Closed: the engine was shut down, or the process was forked.
        """

    def retire(self, conn: int, link: int, close: tuple[int, str], is_over: bool) -> None:
        """Closes the link of a session, if it still is this one. The session stays as after `cut`.

        The link finishes the frame that it has begun, and ends with a close frame and FIN within `close_timeout`. Of
        its events only `"closed"` comes, and `"data"` of a link of polls. A session that is closing keeps its link.

        Args:
            conn: the session's connection.
            link: the link.
            close: close code and reason.
            is_over: the session ends as by `gone`, whatever link it has.

        Raises:
            ValueError: the code may not be sent (RFC 6455 section 7.4).
        """

    def report(self, conn: int, count: int, taken: list[tuple[str, int, int | None]] | None) -> None:
        """Applies a report (`received`) that the host has decoded. The engine handles well-formed reports that begin
        with their type itself. A client over the rate of reports is not read for a while.

        Args:
            conn: the connection.
            count: messages of the session that have arrived and need not be kept. An impossible count is ignored.
            taken: triples of a room, a count and a time: the application has taken or dropped all messages of the room
                among the first so many of the session, and the newest of them was published so many milliseconds after
                1970. Unknown rooms are ignored. From the first list on, which may be empty, each room has a window:
                that many bytes of its droppable messages are under way and not taken; the rest waits, within
                `connection_bytes`. A message `window` tells the client a changed window. None: the client does not
                report what was taken, and pongs show what was read, if there are pings.
        """

    def gone(self, conn: int) -> None:
        """Ends a connection: waiting messages are dropped, memberships end, the id becomes stale. Must be called for
        each session, even if the engine has ended it: until then the reason is kept."""

    def send_raw(self, conn: int, data: bytes) -> None:
        """Sends bytes that are not a frame, such as the answer of a handshake, before all messages."""

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
            json: the payload is a JSON document, which makes a text message.
            delivery: the delivery class; None: "reliable".
            id: the message's id in its envelope; None: a new one.
            ack: the envelope asks for an acknowledgement.

        Raises:
            TypeError: the payload is neither bytes nor str.
            ValueError: the payload is larger than `connection_bytes` allows, or the delivery class is unknown.
            Overloaded: the shard's queue is full.
            Closed: the engine was shut down, or the process was forked.
        """

    def send_envelope(self, conn: int, codec: str, envelope: bytes, urgent: bool = False) -> None:
        """Sends a complete envelope to a session, as a counted message. Never raises `Overloaded`, because it answers a
        message that was accepted; otherwise raises as `send`. An `urgent` one, about the connection itself, goes before
        all others and does not wait for `taken`."""

    def send_control(self, conn: int, codec: str, envelope: bytes) -> None:
        """Sends a complete envelope to a session, before all messages. It is not counted and not sent again."""

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
        ticket: int = 0,
        audience: bytes | None = None,
    ) -> int | None:
        """Publishes a message to the members of a room except some; returns its sequence number in the room, from 1.
        None: the room has a tick, and the message gets its number at the next edge.

        All members get the messages of a room in the order of their numbers, whichever threads publish them.

        Args:
            room: the name of the room, 1 to 255 bytes of UTF-8.
            payload: bytes for a binary message, str for a text message.
            json: the payload is a JSON document, which makes a text message.
            key: with the delivery class "latest", the key whose value the message replaces; None: the key "".
            exclude: ids of members that do not get it.
            delivery: another delivery class than the room's.
            ticket: if the message waits for a tick, an event `"numbered"` tells its number with this ticket; 0: none
                does.
            audience: whom it is for, see `check_audience`; None: all members. For rooms with `interest`.

        Raises:
            TypeError: the payload is neither bytes nor str.
            ValueError: the length of the name, the size of the payload or the delivery class is wrong, or there is a
                key without the class "latest".
            Overloaded: a shard's queue, the table of rooms, the room's keys or what waits for ticks are full.
            Closed: the engine was shut down, or the process was forked.
        """

    def lead_tick(self, hz: int, is_led: bool) -> None:
        """Begins or ends to tell the host of the edges of a rate, by the event `"tick"`. Each has to be answered by
        `flush_tick`; there is no other event before. An edge that has passed by then has no event.

        Raises:
            Closed: the engine was shut down, or the process was forked.
        """

    def flush_tick(
        self, hz: int, envelopes: Sequence[tuple[int, str, bytes]] = ..., stopped: Sequence[str] = ...
    ) -> int:
        """Lets the messages leave that wait in rooms of a rate. Returns how many there are.

        Args:
            hz: the rate.
            envelopes: what some sessions get before these messages, as `send_envelope`, and in the same write: the
                connection, the codec and the envelope.
            stopped: rooms that `stop_in_tick` has stopped, and that leave again behind the envelopes: those of this
                rate now, others at their next edge.

        Raises:
            Closed: the engine was shut down, or the process was forked.
        """

    def stop_in_tick(self, room: str, is_stopped: bool) -> None:
        """Keeps what waits in a room also at the edges of its tick, or ends that. Nothing if it has no tick.

        Raises:
            Closed: the engine was shut down, or the process was forked.
        """

    def next_in_tick(self, room: str) -> int:
        """Returns the number that the next message of the room's tick will have; if none waits, that of the last.

        Raises:
            Closed: the engine was shut down, or the process was forked.
        """

    def notify(self, room: str, event: str, payload: str, exclude: Sequence[int]) -> None:
        """Sends an event to the sessions in a room: "member_joined" or "member_left", with a JSON payload. It has no
        number and is not kept. Does nothing if the room does not exist.

        Raises:
            ValueError: the event is unknown.
        """

    def place(self, room: str, epoch: str, seq: int) -> None:
        """Moves a room whose numbers come from a log to another position. Creates the room if needed.

        Its history is emptied; the newest values of its keys stay.

        Args:
            room: the name of the room.
            epoch: the name of the numbering: up to 16 hexadecimal digits.
            seq: the number after which the next message comes.

        Raises:
            ValueError: the epoch is not valid.
            ValueError, Overloaded, Closed: as `publish`.
        """

    def raise_position(self, room: str, epoch: str, seq: int) -> None:
        """Says that a room has no message up to a number, so that clients may join from there. Its history stays.

        Does nothing if the room does not exist, has another epoch, or has that number or a greater one.

        Args:
            room: the name of the room.
            epoch: the name of the numbering.
            seq: the number.

        Raises:
            ValueError: the epoch is not valid.
            Closed: the engine was shut down, or the process was forked.
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
        audience: bytes | None = None,
        prev: int | None = None,
    ) -> bool:
        """Publishes a message that already has its number and time to the members of a room except some.

        Numbers grow and may have gaps: no message of the room has a number between `prev` and this one, and the
        envelope says so.

        Args:
            room: the name of the room.
            seq: the number of the message.
            ts_ms: when it was published, in milliseconds since 1970.
            payload: as in `publish`; None: the key is forgotten.
            json: as in `publish`.
            key: as in `publish`.
            exclude: as in `publish`.
            delivery: as in `publish`.
            audience: as in `publish`, but for all rooms.
            prev: the number of the room's message before it; None, or above the room's position: that position.

        Returns:
            False if the room has had this number or a greater one; then nothing is done.

        Raises: as `publish`.
        """

    def extend(
        self,
        room: str,
        epoch: str,
        floor: int,
        messages: list[tuple[int, int, bytes | str | None, bool, str | None, str | None, bytes | None]],
    ) -> None:
        """Adds messages before those in a room's history: as many of the newest as fit.

        Messages after the room's `floor` are ignored. A message that is newer than the newest value of its key becomes
        that value. Does nothing if the room does not exist, keeps no history, or has another epoch.

        Args:
            room: the name of the room.
            epoch: the numbering of the messages.
            floor: the number after which the list is complete.
            messages: tuples `(seq, ts_ms, payload, json, key, delivery, audience)` in the order of their numbers.
                Without a payload the key was forgotten.

        Raises:
            TypeError: a payload is neither bytes nor str.
            ValueError: the epoch is not valid, the numbers do not grow, or `publish` would not accept a message.
            Closed: the engine was shut down, or the process was forked.
        """

    def skip(self, room: str, count: int, reason: str) -> None:
        """Skips the next numbers of a room: its history is emptied, and its sessions get a `skipped` event with the
        last of them. Does nothing if the room does not exist.

        Args:
            room: the name of the room.
            count: how many numbers.
            reason: "backplane".

        Raises:
            ValueError: the reason is unknown.
            Closed: the engine was shut down, or the process was forked.
        """

    def floor(self, room: str) -> tuple[str, int]:
        """Returns a room's epoch and the number after which it keeps every message; without a history, that of its
        newest message. Creates the room if needed.

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
        filter: bytes | None = None,
        everything: bool = False,
        last: int | None = None,
    ) -> tuple[str, int, str | None]:
        """Makes a connection a member of a room.

        The messages after `since` come first, if all of them are kept; otherwise, in a `latest` room, the newest
        message of every key. The stream follows in the same step, so that nothing is missing or repeated between them.
        The first messages may exceed `connection_bytes`.

        Args:
            conn: the id of the connection.
            room: the name of the room.
            since: epoch and sequence number of the last message that the client has.
            reply: a session gets a `joined` message first.
            re: the id of the message that this answers.
            extra: members of a JSON object for the reply's payload, each after a comma.
            is_state: `extra` has the state at `since`.
            only_whole: if the messages after `since` are not kept, nothing is done.
            again: the connection is a member already, and wants the messages that it has missed.
            filter: the messages that it wants, see `check_filter`; b"": all; None: as before, at first all.
            everything: it gets every message, whomever it is for.
            last: without `since`: so many of the newest messages of the history come first. The reply then says after
                which number they begin (`after`), and how many come (`last`).

        Returns:
            The room's epoch, the sequence number of its newest message, and why the messages after `since` cannot be
                had: "epoch", "history" or "position", also "history" without `since`; None: they come.

        Raises:
            RoomFull: the room has reached its `max_members`.
            ValueError, Overloaded, Closed: as `publish`.
        """

    def change_attributes(self, conn: int, room: str, change: dict[str, Any]) -> None:
        """Changes the attributes of a member of a room with `interest`. Those of a connection that is no member yet are
        kept for its join, of 64 rooms at most.

        Args:
            conn: the id of the connection.
            room: the name of the room. It is created if needed.
            change: by name a value, a list, tuple or set of values, or None to take the name away.

        Raises:
            TypeError: a value is of a type that no attribute has.
            ValueError: a name or value is wrong (the text begins with the path), or the room has no interest.
            Overloaded, Closed: as `publish`.
        """

    def set_filter(self, conn: int, room: str, filter: bytes) -> None:
        """Changes the filter of a member of a room with `interest`.

        Args:
            conn: the id of the connection.
            room: the name of the room.
            filter: see `check_filter`; b"": takes the filter away.

        Raises:
            ValueError: the filter is wrong (the text begins with the path), or the room has no interest.
            Closed: as `publish`.
        """

    def configure(self, conn: int, room: str, max_rate: float | None, max_bytes: int | None) -> None:
        """Sets how often and how much of a room a member gets. What was published before is not held back.

        Args:
            conn: the id of the connection. Does nothing if it is no member.
            room: the name of the room.
            max_rate: droppable messages of each key a second, 0.01 to 1,000; None: all.
            max_bytes: bytes of droppable messages a second; None: no limit.

        Raises:
            ValueError: a number is out of range.
            Overloaded, Closed: as `publish`.
        """

    def bytes_since(self, room: str, since: tuple[str, int]) -> int | None:
        """Returns the bytes of the messages after a position, which a member that joins from there gets first; None:
        they are not all kept. Creates the room if needed.

        Raises:
            ValueError, Overloaded, Closed: as `publish`.
        """

    def position(self, room: str) -> tuple[str, int]:
        """Returns a room's epoch and the sequence number of its newest message. Creates the room if needed.

        Raises:
            ValueError, Overloaded, Closed: as `publish`.
        """

    def leave(self, conn: int, room: str) -> None:
        """Ends a membership. Messages that were queued before are still sent."""

    def members(self, room: str) -> int:
        """Returns the number of members of a room; 0: the room does not exist."""

    def rooms(self) -> dict[str, int]:
        """Returns the number of members of each room, by name. Releases the interpreter meanwhile.

        Raises:
            Closed: the engine was shut down, or the process was forked.
        """

    def busy_rooms(self, most: int) -> list[tuple[str, int, int, int]]:
        """Returns the rooms with most deliveries since the last call, and then those with most members. Releases the
        interpreter meanwhile; publishers wait for the look at a 64th of the rooms at most.

        Args:
            most: rooms to return.

        Returns:
            Tuples of a name, the number of members, the number of messages since the last call, and their product. The
                first call counts from the begin of each room.

        Raises:
            Closed: the engine was shut down, or the process was forked.
        """

    def connection_reading(self, conn: int, timeout: float) -> dict[str, Any] | None:
        """Returns what a connection is doing. Waits for its shard without the interpreter, so it should not be called
        on an event loop.

        Args:
            conn: the connection.
            timeout: seconds to wait.

        Returns:
            `sent_messages`, `sent_bytes`; `drops`, the number of dropped messages by reason; `highest_queue`, the most
            bytes that have waited at once; `taken_age`, the median age in seconds at which the client's application
            took messages, None if it does not report it; `waiting_bytes`, `waiting_messages`, `waiting_age` of the
            oldest in seconds; `waits_for`, as `slow_readers` has it, or None. None: there is no such connection, or its
            shard has not answered in time.

        Raises:
            Closed: the engine was shut down, or the process was forked.
        """

    def slow_readers(self, most: int, timeout: float) -> tuple[int, list[tuple[int, int, int, float, str, int, int]]]:
        """Returns the connections for which something waits that cannot leave. Each shard looks at its connections
        once. Waits for the shards without the interpreter, so it should not be called on an event loop.

        Args:
            most: connections to return.
            timeout: seconds to wait. A shard that has not answered by then is left out.

        Returns:
            How many there are; and those with most bytes, as tuples of the connection, the bytes and the messages that
                wait, the age of the oldest of them in seconds, what they wait for ("socket": the kernel takes no more;
                "window": the client's application has not taken what was sent; "client": it is away), and the messages
                that were sent to it and dropped for it so far.

        Raises:
            Closed: the engine was shut down, or the process was forked.
        """

    def history(
        self, room: str, after: tuple[str, int] | None, limit: int, before: int | None = None
    ) -> tuple[str, list[tuple[int, bytes]]]:
        """Returns the messages in a room's history, oldest first, with their epoch. A room that does not exist has the
        epoch "0" and no messages.

        Args:
            room: the name of the room.
            after: an epoch and a number after which to begin; in another epoch it begins with the oldest message. None:
                the newest messages.
            limit: the largest number of messages.
            before: only messages with lower numbers; None: all.

        Returns:
            The epoch, and pairs of a number and a message as `fanwire.cluster.node_message` encodes it.

        Raises:
            Closed: the engine was shut down, or the process was forked.
        """

    def watch_rooms(self, pattern: str) -> None:
        """Has the event ("room", 0, NAME) told of each new room that matches a pattern, until `unwatch_rooms` is called
        as often. Such a room keeps its first messages, 1,024 at most, until `settle_room` is called.

        Args:
            pattern: `*` stands for any characters.

        Raises:
            Closed: the engine was shut down, or the process was forked.
        """

    def matching_rooms(self, pattern: str, part: int) -> tuple[list[str], int | None]:
        """Finds the rooms that match a pattern, in several calls: each looks at some 1,000 names.

        Args:
            pattern: `*` stands for any characters.
            part: 0, or what the last call has returned.

        Returns:
            Rooms that match and exist, and the part to go on with; None: it was the last. A room that is made meanwhile
            is among them, is told of if the pattern is watched, or both.

        Raises:
            Closed: the engine was shut down, or the process was forked.
        """

    def is_new_room(self, room: str) -> bool:
        """Whether a room was made while a pattern that matches it was watched, and is not settled."""

    def unwatch_rooms(self, pattern: str) -> None:
        """Ends what one call of `watch_rooms` has begun."""

    def settle_room(self, room: str) -> None:
        """Everybody who shall get the first messages of a new room has joined it: from now on it keeps what its rule
        says."""

    def values(self, room: str) -> list[bytes]:
        """Returns the newest value of each key of a room, as `fanwire.cluster.node_message` encodes it. Releases the
        interpreter meanwhile."""

    def take_values(self, room: str, since_ms: int, values: Sequence[bytes]) -> int:
        """Takes values of another node whose keys have no value here, or an older one from before this node subscribed.
        Members get them as new messages with their original time.

        Args:
            room: the name of the room.
            since_ms: when this node subscribed to the room, in milliseconds since 1970.
            values: values as `fanwire.cluster.node_message` encodes them. Those that are not valid or do not fit are
                left out.

        Returns:
            How many were taken.
        """

    def forget(self, room: str, key: str) -> tuple[bool, int]:
        """Forgets the newest value of a key. The sessions in the room get a `forgotten` message with a number.

        Returns:
            Whether there was a value, and the time in microseconds since 1970, not before that of the value.

        Raises:
            Overloaded: a shard's queue is full; nothing was forgotten.
            Closed: the engine was shut down, or the process was forked.
        """

    def forget_older(self, room: str, key: str, ts_us: int, is_numbered: bool) -> bool:
        """Forgets the value of a key that another node has forgotten, unless the value is newer.

        Args:
            room: the name of the room.
            key: the key.
            ts_us: when that node forgot it, in microseconds since 1970. A call with a known time does nothing.
            is_numbered: the forgetting takes a number of the room; False: numbers come from a log.

        Returns:
            Whether a value was forgotten.

        Raises: as `forget`.
        """

    def has_value(self, room: str, key: str) -> bool:
        """Whether a key of a room has a value."""

    @property
    def now_ms(self) -> int:
        """Milliseconds since 1970 by the clock that dates messages. It never goes back."""

    @property
    def now_us(self) -> int:
        """Microseconds since 1970 by the same clock."""

    def close(self, conn: int, code: int | None, reason: str = "", flush: bool = True) -> None:
        """Closes a connection with a close frame and FIN, and ends it after `close_timeout` at the latest. A one-way
        link gets an event `close` instead, with a JSON object of `code` (1005: none) and `reason`, and ends when it is
        written.

        Args:
            conn: the id of the connection.
            code: the close code; None: an empty close frame.
            reason: the reason, cut to 123 bytes.
            flush: True: the frame is sent after all waiting messages. False: messages that have not begun to leave are
                dropped.

        Raises:
            ValueError: the code may not be sent (RFC 6455 section 7.4).
        """

    def stats(self) -> dict[str, Any]:
        """Returns the engine's counters since its start.

        Returns:
            `connections` and `rooms` at present; `published` and `refused` messages, and `late` ones of other nodes,
                which were dropped; `delivered` messages and `bytes`, given to the kernel, or to TLS, which may hold 64
                KiB of a connection; `received` messages of clients, refused ones included, and `received_bytes`;
                `writes`, and how many of them were `blocked`; connections `held` at present, whose droppable messages
                wait until their clients take others; `pings` (without probes); connections `closed_slow` and
                `closed_unanswered`; `waiting_bytes` of messages that no room keeps, of
                `waiting_bytes_limit`; `history_bytes` of all rooms; `drops` by
                reason (`replaced`, `oldest`, `newest`, `budget`, `closed`, `rate`, `filtered`); `compressed`: the
                number of `messages` that got smaller, each counted once in each form however many clients got it,
                their `bytes_before` and `bytes_after`, and how many were `not_smaller`; `recording`: the `messages`
                and `bytes` in files of all recordings, messages `left_out`, `queue_bytes` that wait to be written, and
                `errors` of writes; `deltas`, the same as `compressed` of values of which a delta was made, each counted
                once; `inbound_bytes` of messages that are unfinished or wait
                for the host; `limits`: how often clients have exceeded each; `handshakes`: the number of answers to
                requests for connections by status (101 for accepted WebSockets, 200 for other transports);
                `tls_handshakes`: how many ended `full`, `resumed` with a ticket, or `failed`; `handshake_us`: how long
                the host took to answer requests, as pairs of an upper bound in microseconds and the number of durations
                below it, and not below the bound before; `handshake_sum_us`, the sum of these durations; `latency_us`
                and `latency_sum_us`, in the same form the ages of messages when they were written, once for each
                receiver (messages that leave together count with the age of the oldest); `rules`, by the pattern of the
                room's rule (`*`: no rule, "": no room): the messages `published` and `delivered`, the `bytes` of the
                payloads of the latter, `drops`, `latency_us` and `latency_sum_us`, and in the same form `spread_us` and
                `spread_sum_us`, from the first member's write of a message to the last member's, of up to 20 messages a
                second (empty before the first); rules after the first 254 count as `*`; `taken_age`, the ages of
                messages when the clients' applications took them, as the clients report, by the pattern of the room's
                rule (`*`: no rule): the `count` of ages, their `sum` in seconds, and `buckets`, pairs of an upper bound
                in seconds and the number of ages up to it and above the bound before. An age counts for at most 3600 s,
                the last bound; `ticks`, by rate: the `edges` at which
                something left or the host was told, the edges `missed` because they were too late, the `messages` that
                left, and `lateness_us` and `lateness_sum_us`, how late the edges were, in the form of `latency_us`.

        Raises:
            Closed: the process was forked.
        """

    def record(
        self,
        patterns: list[str],
        directory: str | os.PathLike[str],
        name: str,
        *,
        rotate_bytes: int,
        rotate_seconds: float,
        keep_bytes: int,
        sync: str,
        queue_bytes: int,
        flush_interval: float,
        about: str = "",
    ) -> int:
        """Records what is published in rooms that match one of the patterns, from now on, on a thread of its own. Waits
        until the first file has its header.

        Args:
            patterns: names of rooms, in which `*` stands for any characters.
            directory: where the files are; it is created if it does not exist.
            name: the first part of their names.
            rotate_bytes: the bytes after which a new file begins.
            rotate_seconds: the seconds after which a new file begins.
            keep_bytes: the bytes of all files together, the oldest of which are deleted; 0: no limit.
            sync: when the system has to store what was written: "never", "close" or "write".
            queue_bytes: the bytes of messages that may wait.
            flush_interval: the seconds that a message may wait for others.
            about: further members of the header, a JSON document, each after a comma.

        Returns:
            The id of the recording.

        Raises:
            OSError: the file cannot be written, or the name is in use.
            Overloaded: there are 16 recordings.
            ValueError: there is no such `sync`.
            Closed: the engine was shut down.
        """

    def stop_recording(self, id: int, timeout: float) -> dict[str, Any] | None:
        """Ends a recording: what was published before is written. Blocks for at most `timeout` seconds.

        Returns:
            What is known of it, as `recordings` returns it; None: there is no such recording.

        Raises:
            Closed: the process was forked.
        """

    def recordings(self) -> list[dict[str, Any]]:
        """Returns what is known of the recordings that were not stopped: `id`, `name`, the `file` that is written,
        `failure` (why nothing can be written; None: it can), `is_ended`, the `messages` and `bytes` in files, messages
        `left_out`, `queue_bytes` that wait, `errors` of writes, and the `files` that were begun and `deleted`.

        Raises:
            Closed: the process was forked.
        """

    def trace_next(self, room: str) -> bool:
        """Traces the next message of a room: when it is written, and to how many connections. A room without members
        and without a history has no message to trace, so call `trace_end` after publishing.

        Returns:
            whether it will be traced; False: 1024 messages are traced already.

        Raises:
            Closed: the process was forked.
        """

    def trace_end(self, room: str) -> bool:
        """Traces no further message of a room. Returns whether a message is traced since `trace_next`.

        Raises:
            Closed: the process was forked.
        """

    def traces(self) -> list[tuple[str, int, int, int, int]]:
        """Takes the traces that are over: nothing refers to the message any more, or it was published 5 s ago.

        Returns:
            for each the room, the number of the message, when it was published, the number of connections that it was
                written to, and when it was written to the last of them. Times are in microseconds since 1970, by the
                clock of `now_ms`. Without a connection the two times are equal.

        Raises:
            Closed: the process was forked.
        """

    def shutdown(self, timeout: float) -> bool:
        """Ends all connections and threads. Waits for at most `timeout` seconds without the interpreter lock; False: a
        thread was not done by then. Every later call raises `Closed`; another `shutdown` does nothing."""

@final
class RecordingReader:
    """Reads one file of a recording.

    Args:
        path: of the file.
        rooms: patterns of the rooms to read; None: all.
        since_ns: the time of the first message, in nanoseconds since 1970.
        until_ns: the time before which the last message is.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no recording.
    """

    def __new__(
        cls, path: str | os.PathLike[str], rooms: list[str] | None = None, since_ns: int = 0, until_ns: int = 2**64 - 1
    ) -> RecordingReader: ...
    @property
    def header(self) -> bytes:
        """The JSON document at the begin."""

    @property
    def torn(self) -> int:
        """The bytes at the end that are no whole block, once `read` has returned None."""

    def read(self) -> list[tuple[Any, ...]] | None:
        """Reads the next block.

        Returns:
            The fields of each `fanwire.RecordedMessage` and `RecordedGap`; None at the end, for now: the file
            may still be written.

        Raises:
            OSError: it cannot be read.
        """

    def skim(self) -> tuple[int, int, int, int, int]:
        """Reads the heads of all blocks that are left.

        Returns:
            How many blocks and messages there are, the first and the last time, and where the last block ends.

        Raises:
            OSError: it cannot be read.
        """

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
