"""The tables of file and environment, with options of the command line in place of their values."""

from __future__ import annotations

from typing import Any

import msgspec

from fanwire.cli.failure import Misuse
from fanwire.cli.settings import AdminTable, JWTTable, NATSTable, ServerTable
from fanwire.cli.settings_layers import PLACES

__all__ = ["admin_table", "jwt_table", "nats_table", "server_table"]


def server_table(table: ServerTable, given: dict[str, Any]) -> ServerTable:
    """The table with the values of options. An option for one kind of place removes the other kinds."""
    kinds = {PLACES[name] for name in given if name in PLACES}
    others = {name: None for name, kind in PLACES.items() if kinds and kind not in kinds}
    return msgspec.structs.replace(table, **others, **given)


def admin_table(table: AdminTable | None, keys: dict[str, list[str]]) -> AdminTable | None:
    """The table with the keys of options in place of its own."""
    if not keys:
        return table
    return AdminTable(keys=keys) if table is None else msgspec.structs.replace(table, keys=keys)


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
