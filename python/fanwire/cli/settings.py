"""The settings of `fanwire serve`: the tables of its TOML file. Pure.

The docstrings are the text of `fanwire config reference` and docs/configuration.md: one entry for each key.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fanwire.cli.log_format import LogFormat
from fanwire.config import Config
from fanwire.protocol.table import Delivery
from fanwire.tls.settings import LONGEST_HANDSHAKE
from fanwire.values.arguments import check_delivery
from fanwire.values.checks import described

__all__ = [
    "EMBEDDED",
    "AdminTable",
    "JWTTable",
    "NATSTable",
    "RecordingTable",
    "RoomTable",
    "ServerTable",
    "Settings",
    "parse_room",
]

HISTORY = 1000
"""The default history of a room, in messages: half a minute, the grace of a session, at 30 messages a second."""

EMBEDDED = "embedded"
"""In place of a NATS server's address: start one."""


class ServerTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[server]`.

    Attributes:
        host: Address to listen at. "::" means all IPv6 and IPv4 addresses. Without a place to listen at: "127.0.0.1".
        port: Port to listen at; 0: any free port. Without a place to listen at: 8000.
        unix: Path of a Unix socket to listen at, instead of host and port.
        unix_mode: Permissions of the Unix socket's file, as an octal number such as 0o660.
        fd: Number of an inherited socket to listen at, or "systemd" for all sockets that systemd passes.
        origins: Origins of web pages that may connect, such as "https://example.com". Not set: all.
        hosts: Host names that clients may use for this server. Not set: all.
        trusted_proxies: Addresses and networks of proxies whose X-Forwarded-For is believed, such as "10.0.0.0/8";
            "unix": all peers of the Unix socket.
        proxy_protocol: Whether each connection must begin with a header of the PROXY protocol.
        prefix: Prefix that a proxy adds to all paths, such as "/rt"; the server removes it.
        insecure: Whether clients without an API key or a token may subscribe.
        api_keys: Keys with which clients may subscribe and publish. Use at least 128 random bits each.
        tls_certificate: File with the server's certificate chain (PEM). It is read again when it changes.
        tls_key: File with the private key of `tls_certificate` (PEM, without a password).
        tls_others: Pairs of files [certificate, key] for more host names.
        tls_client_ca: File with the authorities whose certificates clients may show (PEM). Not set: clients are asked
            for none.
        tls_client_certificates: With `tls_client_ca`: whether each client must show a certificate.
        tls_min_version: The oldest version of TLS that is spoken.
        tls_handshake_timeout: Seconds for a TLS handshake.
        tls_watch_interval: Seconds between two looks at the files of TLS; changed ones are loaded. 0: never.
        log_level: Least severe level that is logged.
        log_format: How a line of the log is written: "console" for people; "json" or "logfmt" for programs that collect
            logs, with the extra `fanwire[logs]`.
    """

    host: str | None = None
    port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    unix: Annotated[str, Meta(min_length=1)] | None = None
    unix_mode: Annotated[int, Meta(ge=0, le=0o777)] | None = None
    fd: Annotated[int, Meta(ge=0)] | Literal["systemd"] | None = None
    origins: list[str] | None = None
    hosts: list[str] | None = None
    trusted_proxies: list[str] = []
    proxy_protocol: bool = False
    prefix: str = ""
    insecure: bool = False
    api_keys: list[Annotated[str, Meta(min_length=1)]] = []
    tls_certificate: Annotated[str, Meta(min_length=1)] | None = None
    tls_key: Annotated[str, Meta(min_length=1)] | None = None
    tls_others: list[tuple[Annotated[str, Meta(min_length=1)], Annotated[str, Meta(min_length=1)]]] = []
    tls_client_ca: Annotated[str, Meta(min_length=1)] | None = None
    tls_client_certificates: Literal["required", "optional"] = "required"
    tls_min_version: Literal["1.2", "1.3"] = "1.2"
    tls_handshake_timeout: Annotated[float, Meta(gt=0, le=LONGEST_HANDSHAKE)] = 5.0
    tls_watch_interval: Annotated[float, Meta(ge=0)] = 10.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: LogFormat = "console"


class JWTTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[jwt]`: the arguments of `fanwire.auth.JWT`, with its defaults.

    Attributes:
        key: Keys that check tokens: a file with a PEM key, a JWK Set or a secret, or the URL of a JWK Set.
        algorithms: Algorithms that tokens may have, such as "ES256".
        audience: Audience that a token must have (claim aud). Not set: any.
        issuer: Issuer that a token must have (claim iss). Not set: any.
        leeway: Seconds by which clocks may differ when the times of a token are checked.
        credentials: Where a client may send its token: "header" (Authorization), "subprotocol", "query".
    """

    key: Annotated[str, Meta(min_length=1)]
    algorithms: Annotated[list[str], Meta(min_length=1)]
    audience: str | None = None
    issuer: str | None = None
    leeway: Annotated[float, Meta(ge=0)] = 10.0
    credentials: tuple[str, ...] = ("header", "subprotocol")


class AdminTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[admin]`: the arguments of `fanwire.Admin`.

    Attributes:
        keys: The scopes of each key of operators: "read", "publish", "manage". A key is itself, or "sha256:" and its
            SHA-256 in hexadecimal.
        prefix: Path of the admin API.
    """

    keys: Annotated[dict[str, Annotated[list[str], Meta(min_length=1)]], Meta(min_length=1)]
    prefix: str = "/admin"


class NATSTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[nats]`: the arguments of `fanwire.backplane.nats.NATS`, and `store` for an embedded server.

    Attributes:
        servers: URLs of the NATS servers of one cluster, such as "nats://10.0.0.1:4222"; "embedded": start a server.
        credentials: File with the credentials of a NATS user. Not set: none.
        ca: File with the certificates that are trusted for NATS servers (PEM). Not set: those of the system.
        certificate: File with this node's certificate, for NATS servers that require one (PEM). Not set: none.
        key: File with the private key of `certificate` (PEM).
        store: Directory for the data of an embedded server.
        prefix: How the names of all subjects and streams begin. Installations that share a NATS server need different
            ones.
        storage: Where NATS stores messages; "memory" loses them when the NATS server stops.
        replicas: Number of NATS servers that store each message.
    """

    servers: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1)]
    credentials: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    store: str = "fanwire-data"
    prefix: Annotated[str, Meta(min_length=1, max_length=64)] = "fanwire"
    storage: Literal["file", "memory"] = "file"
    replicas: Annotated[int, Meta(ge=1, le=5)] = 1


class RecordingTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[recording]`: the arguments of `Server.record`. Only one process can have it: not several workers.

    Attributes:
        rooms: The rooms to record: names, in which `*` stands for any characters.
        directory: Where the files are written; it is made if it does not exist.
        name: The first part of the names of the files.
        rotate_bytes: Bytes after which a new file begins.
        rotate_seconds: Seconds after which a new file begins, with the next message.
        keep_bytes: Bytes of all files of this name together; the oldest are deleted. 0: no file is deleted.
        flush_interval: Seconds that a message waits for others before it is written.
        sync: When the system has to store what was written: "never", "close" (when a file is complete), or "write".
        queue_bytes: Bytes of messages that may wait for the disk. What does not fit is left out, and the file says so.
    """

    rooms: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=64)]
    directory: Annotated[str, Meta(min_length=1)]
    name: Annotated[str, Meta(min_length=1, max_length=64)] = "recording"
    rotate_bytes: Annotated[int, Meta(ge=64 << 10)] = 1 << 30
    rotate_seconds: Annotated[float, Meta(ge=1)] = 3600.0
    keep_bytes: Annotated[int, Meta(ge=0)] = 16 << 30
    flush_interval: Annotated[float, Meta(ge=0, le=60)] = 0.1
    sync: Literal["never", "close", "write"] = "close"
    queue_bytes: Annotated[int, Meta(ge=64 << 10)] = 64 << 20


class RoomTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the tables `[[rooms]]`: the arguments of `Server.room`, with other defaults.

    Attributes:
        pattern: The rooms of this table: their names match the pattern, in which `*` stands for any characters.
        delivery: What happens to a message for a slow client.
        max_keys: Keys of which a `latest` room keeps the newest value.
        max_members: Connections that may be in the room at the same time.
        history: Messages that the room keeps for clients that come back.
        history_bytes: Bytes of the messages that the room keeps.
        history_age: Seconds for which the room keeps a message.
        presence: Whether members are told who else is in the room.
        join: Who may join: true, false, "identified", "subject" or "scope:NAME".
        publish: Who may publish, as in `join`. API keys have the scope "publish".
        see_members: Who may see the members, as in `join`.
        see_history: Who may read the history, as in `join`.
        when_away: What a publish does while NATS is away: "wait" until it is stored, or "fail" at once.
        compress: Whether messages are compressed for clients that agree to it.
        priority: Which messages leave first while several wait.
        tick: How many times a second messages leave, together; 0: each leaves at once.
        delta: Whether values of a `latest` room leave as deltas to the values before, for clients that take deltas.
    """

    pattern: Annotated[str, Meta(min_length=1)]
    delivery: Delivery = "reliable"
    max_keys: Annotated[int, Meta(ge=1)] = 100_000
    max_members: Annotated[int, Meta(ge=1)] = 1_000_000
    history: Annotated[int, Meta(ge=0)] = HISTORY
    history_bytes: Annotated[int, Meta(ge=0)] = 16 << 20
    history_age: Annotated[float, Meta(gt=0)] = 300.0
    presence: bool = False
    join: bool | str = True
    publish: bool | str = "scope:publish"
    see_members: bool | str = True
    see_history: bool | str = True
    when_away: Literal["wait", "fail"] = "wait"
    compress: bool = False
    priority: Literal["high", "normal", "low"] = "normal"
    tick: Annotated[int, Meta(ge=0, le=1000)] = 0
    delta: bool = False


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a server.

    Attributes:
        server: Where the server listens, and who may connect.
        limits: The fields of `fanwire.Config`: limits and timeouts.
        jwt: Tokens (JWT) of clients. A client with a token may subscribe; to publish it needs the scope "publish".
        admin: The admin API and the dashboard, and who may use them.
        nats: The NATS servers that connect the nodes of a cluster and store histories.
        recording: What is recorded to files.
        rooms: Rules for rooms, in an array of tables. The first pattern that matches wins. Rooms without a rule keep
            1,000 messages.
    """

    server: ServerTable = ServerTable()
    limits: Config = Config()
    jwt: JWTTable | None = None
    admin: AdminTable | None = None
    nats: NATSTable | None = None
    recording: RecordingTable | None = None
    rooms: list[RoomTable] = []


def parse_room(text: str) -> RoomTable:
    """Reads `PATTERN=DELIVERY`.

    Raises:
        ValueError: it has another form, or an unknown delivery class.
    """
    pattern, separator, delivery = text.rpartition("=")
    if not separator or not pattern:
        raise ValueError(f"a room must be given as PATTERN=DELIVERY, such as 'quotes.*=latest', got {described(text)}")
    try:
        return msgspec.convert({"pattern": pattern, "delivery": delivery}, RoomTable)
    except msgspec.ValidationError as error:
        check_delivery(delivery)
        raise ValueError(f"the pattern {pattern!r} is not valid: {error}") from error
