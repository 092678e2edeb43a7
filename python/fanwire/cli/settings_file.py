"""Reading a file of settings, and replacing its values by options of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from fanwire.cli.failure import Misuse
from fanwire.cli.settings import JWTTable, NATSTable, ServerTable, Settings, parse_settings

__all__ = ["PLACES", "jwt_table", "load_settings", "nats_table", "server_table"]

PLACES = {"host": "tcp", "port": "tcp", "unix": "unix", "unix_mode": "unix", "fd": "fd"}
"""The options for where a server listens, each with the kind of the place."""


def load_settings(path: str) -> Settings:
    """Reads a file of settings. Paths in it are relative to its folder.

    Raises:
        Misuse: it cannot be read, or a setting is wrong.
    """
    try:
        settings = parse_settings(Path(path).read_bytes())
    except OSError as error:
        raise Misuse(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise Misuse(f"{path}: {error}") from error
    table = settings.server
    found = {
        name: str(Path(path).parent / value)
        for name, value in (("tls_cert", table.tls_cert), ("tls_key", table.tls_key), ("unix", table.unix))
        if value is not None
    }
    jwt = settings.jwt
    if jwt is not None and "://" not in jwt.key:
        jwt = msgspec.structs.replace(jwt, key=str(Path(path).parent / jwt.key))
    nats = settings.nats
    if nats is not None:
        named = {name: getattr(nats, name) for name in ("credentials", "ca", "certificate", "key", "store")}
        files = {name: str(Path(path).parent / value) for name, value in named.items() if value is not None}
        nats = msgspec.structs.replace(nats, **files)
    return msgspec.structs.replace(settings, server=msgspec.structs.replace(table, **found), jwt=jwt, nats=nats)


def server_table(table: ServerTable, given: dict[str, Any]) -> ServerTable:
    """The table with the values of options. An option for one kind of place removes the other kinds."""
    kinds = {PLACES[name] for name in given if name in PLACES}
    others = {name: None for name, kind in PLACES.items() if kinds and kind not in kinds}
    return msgspec.structs.replace(table, **others, **given)


def nats_table(table: NATSTable | None, given: dict[str, Any]) -> NATSTable | None:
    """The table with what was given by options in place of its own.

    Raises:
        Misuse: there is no server.
    """
    if not given:
        return table
    try:
        return msgspec.convert({**({} if table is None else msgspec.structs.asdict(table)), **given}, NATSTable)
    except msgspec.ValidationError as error:
        raise Misuse("no NATS server is given: add --nats URL, or --nats embedded to start one") from error


def jwt_table(table: JWTTable | None, given: dict[str, Any]) -> JWTTable | None:
    """The table with what was given by options in place of its own.

    Raises:
        Misuse: something is missing.
    """
    if not given:
        return table
    try:
        return msgspec.convert({**({} if table is None else msgspec.structs.asdict(table)), **given}, JWTTable)
    except msgspec.ValidationError as error:
        raise Misuse("tokens need both --jwt-key and --jwt-algorithm, such as ES256") from error
