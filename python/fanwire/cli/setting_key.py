"""Each key of the settings, with its type, default, range, unit and text: what errors, the environment and the
reference say about it. Pure. The source is the structs of the tables and their docstrings."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from inspect import cleandoc
from typing import Any, NamedTuple

import msgspec
from msgspec import NODEFAULT, inspect

from fanwire.cli.settings import AdminTable, JWTTable, NATSTable, RecordingTable, RoomTable, ServerTable, Settings
from fanwire.config import Config, range_of
from fanwire.values.checks import any_of

__all__ = ["TABLES", "SettingKey", "keys_of", "suggestion", "table_text"]

TABLES: Mapping[str, type[msgspec.Struct]] = {
    "server": ServerTable,
    "jwt": JWTTable,
    "admin": AdminTable,
    "nats": NATSTable,
    "recording": RecordingTable,
    "limits": Config,
    "rooms": RoomTable,
}
"""The tables of the file. "rooms" is an array of tables."""


class SettingKey(NamedTuple):
    """One key.

    Attributes:
        table: the name of its table, such as "limits".
        name: its own, such as "grace".
        kind: its type.
        default: its value if it is not set; None: it has none; `msgspec.NODEFAULT`: it must be set.
        text: what it means, in one or more sentences.
        least: the smallest value of a number; None: its type says it.
        most: the largest value of a number; None: its type says it.
    """

    table: str
    name: str
    kind: Any
    default: Any
    text: str
    least: float | None = None
    most: float | None = None

    @property
    def path(self) -> tuple[str, str]:
        """The table and the name."""
        return self.table, self.name

    @property
    def is_secret(self) -> bool:
        """Whether its value is not shown. URLs of NATS servers may have a password."""
        return self.path in SECRETS

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"{PREFIX}{self.table}__{self.name}".upper()

    @property
    def sentence(self) -> str:
        """The first sentence of its text, and what "not set" and 0 mean."""
        first, *others = re.split(r"(?<=[.)])\s+(?=[A-Z0-9\"`])", self.text)
        return " ".join([first, *(other for other in others if other.startswith(("0:", "Not set:")))])

    @property
    def unit(self) -> str:
        """What its number counts: "seconds", "bytes", "bytes a second" or "a second"; "": nothing that has a name."""
        if not self.is_number:
            return ""
        for pattern, unit in UNITS:
            if re.match(pattern, self.text):
                return unit
        return ""

    @property
    def is_number(self) -> bool:
        """Whether it is a number and nothing else."""
        return isinstance(kind_of(self.kind), (inspect.IntType, inspect.FloatType))

    @property
    def wanted(self) -> str:
        """The type of its values in words, such as "a number of seconds"."""
        return f"{words_of(kind_of(self.kind))}{f' of {self.unit}' if self.unit in ('seconds', 'bytes') else ''}"

    @property
    def range(self) -> str:
        """The values that are allowed, such as "at least 0"; "": all of its type."""
        if self.path == ("server", "unix_mode"):
            return "from 0 to 0o777"
        kind = kind_of(self.kind)
        return range_words(*self.bounds) if self.is_number else length_words(kind)

    @property
    def bounds(self) -> tuple[float | None, float | None, float | None]:
        """For a number: the smallest value, what it must be more than, and the largest."""
        kind: Any = kind_of(self.kind)
        if self.least is not None:
            return self.least, None, self.most
        return kind.ge, kind.gt, kind.le


@cache
def keys_of(table: str) -> Mapping[str, SettingKey]:
    """The keys of a table, in their order. Their texts are empty where Python keeps no docstrings (`python -OO`)."""
    texts = texts_of(TABLES[table])
    found = {}
    for field in msgspec.structs.fields(TABLES[table]):
        default = field.default
        if default is NODEFAULT and field.default_factory is not NODEFAULT:
            default = field.default_factory()
        least, most = None, None
        if table == "limits" and field.type in (int, float):
            least, most = range_of(field.name)
        found[field.name] = SettingKey(table, field.name, field.type, default, texts.get(field.name, ""), least, most)
    return found


def table_text(table: str) -> str:
    """What a table is for."""
    return texts_of(Settings).get(table, "")


def texts_of(struct: type) -> dict[str, str]:
    """The entries below "Attributes:" of a docstring, each as one line."""
    lines = cleandoc(struct.__doc__ or "").partition("Attributes:\n")[2].split("\n")
    texts: dict[str, str] = {}
    name = ""
    for line in lines:
        if found := re.match(r"    (\w+): (.*)", line):
            name, texts[found[1]] = found[1], found[2]
        elif line.startswith("        ") and name:
            texts[name] += f" {line.strip()}"
        elif line.strip():
            break
    return texts


def suggestion(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The most similar of some names; "": none is similar.

    Args:
        name: what was given.
        known: all names.
        cutoff: how similar a name must be, from 0 to 1.
    """
    lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=cutoff)
    return lower[found[0]] if found else ""


def kind_of(annotation: Any) -> inspect.Type:
    """The type of the values in the file: without None, which TOML does not have."""
    kind = inspect.type_info(annotation)
    if isinstance(kind, inspect.UnionType):
        left = tuple(part for part in kind.types if not isinstance(part, inspect.NoneType))
        return left[0] if len(left) == 1 else inspect.UnionType(left)
    return kind


def words_of(kind: inspect.Type) -> str:
    """A type in words."""
    if isinstance(kind, inspect.UnionType):
        return " or ".join(map(words_of, kind.types)).replace("true or false or", "true, false or")
    if isinstance(kind, inspect.LiteralType):
        return any_of([f'"{value}"' for value in sorted_values(kind)])
    if isinstance(kind, inspect.DictType):
        return "a table of lists of texts"
    if isinstance(kind, inspect.ListType):
        return "a list of pairs of texts" if isinstance(kind.item_type, inspect.TupleType) else "a list of texts"
    for known, words in WORDS:
        if isinstance(kind, known):
            return words
    return "a value"


def sorted_values(kind: inspect.LiteralType) -> list[Any]:
    """The values of a literal, in an order of their own: msgspec sorts them."""
    return [value for value in ORDER if value in kind.values] + [one for one in kind.values if one not in ORDER]


def range_words(least: float | None, above: float | None, most: float | None) -> str:
    """A range in words; "": there is none, or only the largest number that can be stored."""
    if most is not None and most >= NO_LIMIT:
        most = None
    if least is not None and most is not None:
        return f"from {least:.15g} to {most:.15g}"
    words = [] if above is None else [f"more than {above:g}"]
    words += [] if least is None else [f"at least {least:.15g}"]
    words += [] if most is None else [f"at most {most:.15g}"]
    return " and ".join(words)


def length_words(kind: inspect.Type) -> str:
    """How long a text or a list must be, in words; "": any length."""
    least, most = getattr(kind, "min_length", None), getattr(kind, "max_length", None)
    if most is not None:
        return f"{least or 0} to {most} characters"
    return "not empty" if least else ""


PREFIX = "FANWIRE_"

NO_LIMIT = 1e9
"""A largest value from which on it says nothing: the limits of `Config` for all counts and durations."""

SECRETS = frozenset({("server", "api_keys"), ("admin", "keys"), ("nats", "servers")})

UNITS = (
    (r"Seconds\b", "seconds"),
    (r"Bytes a second\b", "bytes a second"),
    (r"Bytes\b", "bytes"),
    (r"[A-Z][\w ]* a second\b", "a second"),
)
"""How the text of a number begins, and its unit."""

WORDS: tuple[tuple[type, str], ...] = (
    (inspect.BoolType, "true or false"),
    (inspect.IntType, "a whole number"),
    (inspect.FloatType, "a number"),
    (inspect.StrType, "a text"),
    (inspect.VarTupleType, "a list of texts"),
    (inspect.TupleType, "a pair of texts"),
)

ORDER = (
    *("reliable", "latest", "drop-oldest", "drop-newest"),
    *("debug", "info", "warning", "error"),
    *("required", "optional"),
    *("file", "memory"),
    *("wait", "fail"),
)
"""Words in the order in which they are told."""
