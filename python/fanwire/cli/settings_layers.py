"""The settings of the file and of the environment, one over the other, and where each value comes from.

The order of precedence is: command line, environment, file, default. Options of the command line come last, in
`fanwire serve`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fanwire.cli.environment import read_environment
from fanwire.cli.failure import Misuse
from fanwire.cli.setting_check import check_values, to_settings
from fanwire.cli.settings import NATSTable, Settings
from fanwire.cli.small_file import read_small_file
from fanwire.cli.toml_document import KeyPath, TomlDocument, TomlError, parse_toml

__all__ = ["PLACES", "LoadedSettings", "only_of_program", "parse_settings", "read_settings", "with_origin"]

PLACES = {"host": "tcp", "port": "tcp", "unix": "unix", "unix_mode": "unix", "fd": "fd"}
"""The keys for where a server listens, each with the kind of the place."""


class LoadedSettings(NamedTuple):
    """Settings, and where they come from.

    Attributes:
        settings: all of them.
        origins: of each that is set, by table and key: `fanwire.toml, line 3` or the name of a variable. Those of
            rooms have the number of the table between: ("rooms", 0, "pattern").
    """

    settings: Settings
    origins: dict[KeyPath, str]


def parse_settings(content: bytes) -> Settings:
    """Reads the content of a settings file.

    Raises:
        Misuse: it is not TOML, or a setting is unknown or has a wrong value.
    """
    return _load(_document(content, "the settings file"), "the settings file", None, {}).settings


def read_settings(path: str | None, environ: Mapping[str, str] | None = None) -> LoadedSettings:
    """Reads the settings of a file and of the environment. Paths in the file are relative to its folder.

    Args:
        path: of the file; None: there is none.
        environ: the variables of the process; None: they do not count.

    Raises:
        Misuse: the file cannot be read, or a setting is unknown or has a wrong value. The text has a line for each.
    """
    document, folder = TomlDocument({}, {}), None
    if path is not None:
        try:
            content = read_small_file(path, MAX_FILE)
        except OSError as error:
            raise Misuse(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise Misuse(f"{path}: {error}") from error
        if len(content) > MAX_FILE:
            raise Misuse(f"{path}: a settings file must have at most {MAX_FILE} bytes")
        document, folder = _document(content, path), Path(path).parent
    return _load(document, path or "", folder, environ or {})


def with_origin(text: str, origins: Mapping[KeyPath, str]) -> str:
    """The text of an error about an argument of the server, with where the setting comes from, if one of [server],
    [jwt] or [limits] has its name."""
    for path, origin in origins.items():
        table, *_, name = path
        prefix = ARGUMENTS.get(str(table))
        if prefix is not None and re.match(rf"{re.escape(prefix)}{name}\b", text):
            return f"{table}.{text.removeprefix(prefix)} ({origin})"
    return text


def only_of_program(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The settings of the environment that count for the server of a program: of [server] where it listens and its
    log, and [nats].

    Raises:
        Misuse: a variable is unknown or has a wrong value, or is of another setting.
    """
    found = read_environment(environ, own=True)
    problems = list(found.problems)
    # A key in FANWIRE_API_KEY may be there for `fanwire publish`.
    foreign = [
        name for path, name in found.variables.items() if not _counts_for_program(path) and name != "FANWIRE_API_KEY"
    ]
    if environ.get("FANWIRE_CONFIG"):
        foreign.append("FANWIRE_CONFIG")
    problems += [f"{name} cannot be used with a program: set it in the program" for name in foreign]
    tables = _tables({}, {path: value for path, value in found.values.items() if _counts_for_program(path)})
    # Options may add what is missing.
    wrong = [problem for problem in check_values(tables) if len(problem.path) > 1]
    problems += [f"{text} ({found.variables[str(path[0]), str(path[1])]})" for path, text in wrong]
    _raise(problems)
    return tables


def _counts_for_program(path: tuple[str, ...]) -> bool:
    return path[0] == "nats" or (path[0] == "server" and path[1] in OF_PROGRAM)


def _document(content: bytes, name: str) -> TomlDocument:
    try:
        return parse_toml(content)
    except TomlError as error:
        raise Misuse(f"{error} ({_place(name, error.line)})") from error


def _load(document: TomlDocument, name: str, folder: Path | None, environ: Mapping[str, str]) -> LoadedSettings:
    environment = read_environment(environ)
    values = _tables(relative(document.values, folder), environment.values)
    settings, wrong = to_settings(values)

    def origin(path: KeyPath) -> str:
        keys = [tuple(map(str, path[:size])) for size in (1, 2)]
        variable = next((environment.variables[key] for key in keys if key in environment.variables), None)
        line = document.line(path)
        if variable is None and line is None:
            # Of a table that only variables have made.
            variable = ", ".join(one for key, one in environment.variables.items() if key[:1] == path[:1])
        return variable or _place(name, line)

    problems = [f"{text} ({origin(path)})" for path, text in wrong]
    problems = environment.problems + problems
    _raise(problems)
    assert settings is not None  # noqa: S101 - there is no problem
    return LoadedSettings(settings, {path: origin(path) for path in _set_paths(values, document, environment.values)})


def _set_paths(
    values: Mapping[str, Any], document: TomlDocument, given: Mapping[tuple[str, ...], Any]
) -> list[KeyPath]:
    """The paths of all settings that the file or the environment has."""
    paths: list[KeyPath] = []
    for table, content in values.items():
        if table == "rooms":
            paths += [("rooms", place, name) for place, room in enumerate(content) for name in room]
        else:
            paths += [
                (table, name) for name in content if (table, name) in given or name in document.values.get(table, {})
            ]
    return paths


def _tables(values: Mapping[str, Any], given: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """The tables of the file, with the values of the environment in place of theirs."""
    tables = {name: dict(table) if isinstance(table, dict) else table for name, table in values.items()}
    kinds = {PLACES[path[1]] for path in given if path[0] == "server" and path[1] in PLACES}
    server = tables.get("server")
    if kinds and isinstance(server, dict):
        # Another kind of place replaces that of the file.
        tables["server"] = {name: value for name, value in server.items() if PLACES.get(name) in (None, *kinds)}
    for path, value in given.items():
        if len(path) == 1:
            tables[path[0]] = value
        else:
            table = tables.setdefault(path[0], {})
            if isinstance(table, dict):
                table[path[1]] = value
    return tables


def relative(values: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """The values with the paths of files relative to a folder; None: as they are."""
    tables = dict(values)
    if folder is None:
        return tables

    def moved(path: Any) -> Any:
        return str(folder / path) if isinstance(path, str) and path and "://" not in path else path

    for table, names in FILES.items():
        if isinstance(found := tables.get(table), dict):
            tables[table] = {name: moved(value) if name in names else value for name, value in found.items()}
    if isinstance(nats := tables.get("nats"), dict):
        nats.setdefault("store", moved(NATSTable(servers=["embedded"]).store))
    if isinstance(server := tables.get("server"), dict) and isinstance(others := server.get("tls_others"), list):
        server["tls_others"] = [[*map(moved, pair)] if isinstance(pair, list) else pair for pair in others]
    return tables


def _place(name: str, line: int | None) -> str:
    return name if line is None else f"{name}, line {line}"


def _raise(problems: list[str]) -> None:
    if problems:
        rest = len(problems) - MOST_TOLD
        more = [f"and {rest} more"] if rest > 0 else []
        raise Misuse("\n".join([*problems[:MOST_TOLD], *more]))


FILES = {
    "server": ("tls_certificate", "tls_key", "tls_client_ca", "unix"),
    "jwt": ("key",),
    "nats": ("credentials", "ca", "certificate", "key", "store"),
    "recording": ("directory",),
}
"""The keys whose values are paths."""

OF_PROGRAM = frozenset({*PLACES, "log_level", "log_format"})
"""The keys of [server] that count for the server of a program."""

MAX_FILE = 1 << 20
"""Bytes of a settings file: 100 bytes for each of 10,000 rooms. The reference has 30 KB."""

MOST_TOLD = 20
"""Wrong settings that one error has."""

ARGUMENTS = {"server": "", "jwt": "jwt: ", "limits": "Config."}
"""How an error names a setting of a table: this, and the name."""
