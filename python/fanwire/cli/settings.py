"""The settings of `fanwire serve`, and their TOML file. Pure: bytes in, values out.

::

    [server]
    host = "0.0.0.0"            # or "::", or instead of host and port:
    port = 8000                 # unix = "/run/fanwire.sock", unix_mode = 0o660; fd = 3; fd = "systemd"
    origins = ["https://example.com"]
    api_keys = ["..."]          # clients that send one may subscribe and publish
    insecure = false            # whether clients without key and token may subscribe
    trusted_proxies = ["10.0.0.0/8"]   # or ["unix"]
    proxy_protocol = false
    prefix = "/rt"              # a proxy adds it to all paths; the server removes it

    [jwt]                       # clients with a token may subscribe; with the scope "publish" also publish
    key = "public.pem"          # PEM, a JWKS file or its URL, or a file with a secret
    algorithms = ["ES256"]
    issuer = "https://login.example.com"
    audience = "fanwire"

    [nats]                      # connects the nodes of a cluster, and stores histories
    servers = ["nats://10.0.0.1:4222"]   # or ["embedded"]

    [limits]                    # the fields of fanwire.Config
    ping_interval = 20.0

    [[rooms]]                   # the first pattern that matches wins
    pattern = "quotes.*"
    delivery = "latest"
    max_keys = 1000
    history = 0                 # messages kept for clients that reconnect
    publish = "scope:quotes"    # or true, false, "identified", "subject"; join, see_members, see_history alike
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fanwire.config import Config
from fanwire.protocol.table import Delivery
from fanwire.values.arguments import check_delivery

__all__ = ["EMBEDDED", "JWTTable", "NATSTable", "RoomTable", "ServerTable", "Settings", "parse_room", "parse_settings"]

HISTORY = 1000
"""The default history of a room, in messages: half a minute, the grace of a session, at 30 messages a second."""

EMBEDDED = "embedded"
"""In place of a NATS server's address: start one."""


class ServerTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[server]`."""

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
    tls_cert: str | None = None
    tls_key: str | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class JWTTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[jwt]`: the arguments of `fanwire.auth.JWT`, with its defaults."""

    key: Annotated[str, Meta(min_length=1)]
    algorithms: Annotated[list[str], Meta(min_length=1)]
    audience: str | None = None
    issuer: str | None = None
    leeway: Annotated[float, Meta(ge=0)] = 10.0
    credentials: tuple[str, ...] = ("header", "subprotocol")


class NATSTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[nats]`: the arguments of `fanwire.backplane.nats.NATS`, and `store` for an embedded server."""

    servers: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1)]
    credentials: str | None = None
    ca: str | None = None
    """A file of trusted certificates; None: those of the system."""
    certificate: str | None = None
    """A file with this node's certificate, for NATS servers that require one."""
    key: str | None = None
    """A file with the key of the certificate."""
    store: str = "fanwire-data"
    """The directory of an embedded server."""
    prefix: Annotated[str, Meta(min_length=1, max_length=64)] = "fanwire"
    storage: Literal["file", "memory"] = "file"
    replicas: Annotated[int, Meta(ge=1, le=5)] = 1


class RoomTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the tables `[[rooms]]`: the arguments of `Server.room`, with other defaults."""

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


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file of settings."""

    server: ServerTable = ServerTable()
    limits: Config = Config()
    jwt: JWTTable | None = None
    nats: NATSTable | None = None
    rooms: list[RoomTable] = []


def parse_settings(text: bytes) -> Settings:
    """Reads a settings file.

    Raises:
        ValueError: the text is not TOML, or a field is unknown or has a wrong value. The error is one line that names
            the field.
    """
    try:
        return msgspec.toml.decode(text, type=Settings)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at ")
        path = path.strip("`").removeprefix("$").removeprefix(".")
        # The limits are a `Config`, which names itself.
        what = what.removeprefix("Config.")
        raise ValueError(f"{path}: {what}" if path else what) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the settings file must be TOML: {error}") from error


def parse_room(text: str) -> RoomTable:
    """Reads `PATTERN=DELIVERY`.

    Raises:
        ValueError: it has another form, or an unknown delivery class.
    """
    pattern, separator, delivery = text.rpartition("=")
    if not separator or not pattern:
        raise ValueError(f"a room must be given as PATTERN=DELIVERY, such as 'quotes.*=latest', got {text!r}")
    try:
        return msgspec.convert({"pattern": pattern, "delivery": delivery}, RoomTable)
    except msgspec.ValidationError as error:
        check_delivery(delivery)
        raise ValueError(f"the pattern {pattern!r} is not valid: {error}") from error
