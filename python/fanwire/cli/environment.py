"""Settings from environment variables: `FANWIRE_TABLE__KEY`, such as `FANWIRE_LIMITS__GRACE=60`. Pure, except that
`FANWIRE_..._FILE` names a file that is read.

Each key of the settings file has one variable. A wrong value or an unknown variable is an error, never ignored. An
empty variable counts as not set, as tools for containers set variables that have no value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from msgspec import inspect

from fanwire.cli.setting_key import PREFIX, TABLES, SettingKey, keys_of, kind_of, suggestion
from fanwire.cli.small_file import read_small_file
from fanwire.cli.toml_document import parse_toml_value

__all__ = ["Environment", "read_environment", "read_secret"]

TablePath = tuple[str, ...]
"""The table and the key, or ("rooms",) for all rooms."""


class Environment(NamedTuple):
    """What the environment sets.

    Attributes:
        values: by table and key, not checked yet.
        variables: the variable that has set each.
        problems: lines about variables that are unknown or cannot be read.
    """

    values: dict[TablePath, Any]
    variables: dict[TablePath, str]
    problems: list[str]


def read_secret(path: str) -> str:
    """Reads a file that a variable names, without the line end at its end.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, not UTF-8, or a named pipe.
    """
    content = read_small_file(path, MAX_FILE)
    if len(content) > MAX_FILE:
        raise ValueError(f"it has more than {MAX_FILE} bytes")
    try:
        return content.decode().strip()
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8 text") from error


def read_environment(
    environ: Mapping[str, str], read: Callable[[str], str] = read_secret, *, own: bool = False
) -> Environment:
    """Takes the settings out of the environment.

    Args:
        environ: the variables of the process.
        read: reads the file that a variable `FANWIRE_..._FILE` names; may raise OSError or ValueError.
        own: whether unknown variables without "__" may belong to somebody else, such as the user's program.
    """
    found = Environment({}, {}, [])
    known = known_variables()
    for variable in sorted(environ):
        text = environ[variable]
        if not variable.startswith(PREFIX) or not text or variable in OPTIONS or variable in OF_WORKERS:
            continue
        name, is_file = variable, False
        if name not in known and name.endswith(FILE):
            name, is_file = name.removesuffix(FILE), True
        if name not in known:
            if not (_is_of_kubernetes(variable, text) or (own and "__" not in variable)):
                found.problems.append(_unknown(variable))
            continue
        path = known[name]
        if path in found.values:
            found.problems.append(f"{found.variables[path]} and {variable} set the same: keep one of them")
            continue
        if is_file:
            try:
                text = read(text)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                # The name is not quoted: it may be the secret itself, meant for the variable without _FILE.
                found.problems.append(f"{variable}: cannot read the file that it names: {reason}")
                continue
        try:
            found.values[path] = _value(name, path, text, is_file=is_file)
        except ValueError as error:
            found.problems.append(f"{variable} must be a value as in the settings file: {error}")
            continue
        found.variables[path] = variable
    return found


def known_variables() -> dict[str, TablePath]:
    """Each variable of a setting, with the table and the key that it sets."""
    known: dict[str, TablePath] = {
        key.variable: key.path for table in TABLES if table != "rooms" for key in keys_of(table).values()
    }
    return {**known, f"{PREFIX}ROOMS": ("rooms",), f"{PREFIX}API_KEY": ("server", "api_keys")}


def _value(name: str, path: TablePath, text: str, *, is_file: bool) -> Any:
    if path == ("rooms",):
        return parse_toml_value(" ".join(text.split("\n")))
    key: SettingKey = keys_of(path[0])[path[1]]
    if name == f"{PREFIX}API_KEY":
        return text.split()
    return value_of(text, kind_of(key.kind), lines=is_file)


def value_of(text: str, kind: inspect.Type, *, lines: bool = False) -> Any:
    """The text of a variable as the value that the settings file would have. A text of another form stays a text, of
    which the check then says what it must be.

    Args:
        text: of the variable.
        kind: the type of the setting.
        lines: whether a list has one item in a line, and not commas.

    Raises:
        ValueError: a list in brackets is not TOML.
    """
    if isinstance(kind, (inspect.ListType, inspect.VarTupleType)):
        if text.lstrip().startswith("["):
            return parse_toml_value(" ".join(text.split("\n")))
        parts = text.split("\n") if lines else text.split(",")
        return [part.strip() for part in parts if part.strip()]
    if isinstance(kind, inspect.DictType) and text.lstrip().startswith("{"):
        return parse_toml_value(" ".join(text.split("\n")))
    parts_of = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    for part in parts_of:
        if isinstance(part, inspect.BoolType) and text.strip().lower() in FLAGS:
            return FLAGS[text.strip().lower()]
        if isinstance(part, (inspect.IntType, inspect.FloatType)):
            try:
                number = parse_toml_value(text)
            except ValueError:
                continue
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                return number
    return text


def _unknown(variable: str) -> str:
    known = {name.removeprefix(PREFIX): name for name in [*known_variables(), *OPTIONS]}
    asked = variable.removeprefix(PREFIX)
    last = [name for name in known if name.rpartition("__")[2] == asked]
    guess = last[0] if last else suggestion(asked, known)
    if not guess and asked.endswith(FILE):
        guess = suggestion(asked.removesuffix(FILE), known)
    hint = f"did you mean {known[guess]}?" if guess else "docs/configuration.md lists all variables"
    return f"there is no setting for the environment variable {variable}: {hint}"


def _is_of_kubernetes(variable: str, text: str) -> bool:
    """Whether Kubernetes sets this variable, for a Service with the name "fanwire"."""
    return bool(OF_KUBERNETES.fullmatch(variable)) or (variable == f"{PREFIX}PORT" and "://" in text)


FILE = "_FILE"

OPTIONS = frozenset({f"{PREFIX}CONFIG", f"{PREFIX}WORKERS", f"{PREFIX}WORKER_TIMEOUT", f"{PREFIX}ADMIN_KEY"})
"""Variables of options of `fanwire serve` that are no settings."""

OF_WORKERS = frozenset(
    {
        f"{PREFIX}EMBEDDED_NATS",
        *(f"{PREFIX}WORKER_{name}" for name in ("COUNT", "DIRECTORY", "FDS", "NUMBER", "PORT", "READY", "RESTARTS")),
    }
)
"""Variables that a process with workers sets for them."""

OF_KUBERNETES = re.compile(rf"{PREFIX}(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)")

FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}

MAX_FILE = 1 << 16
"""Bytes of a file that a variable names: some hundred keys."""
