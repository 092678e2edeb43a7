"""Checks the values of all settings, and says of each wrong one what it must be. Pure.

msgspec converts the values once they are right. Its own errors name types of Python and stop at the first one.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import NODEFAULT, inspect

from fanwire.cli.setting_key import TABLES, SettingKey, keys_of, kind_of, range_words, suggestion, words_of
from fanwire.cli.settings import Settings
from fanwire.cli.toml_document import KeyPath
from fanwire.rooms.rules import parse_rule

__all__ = ["SettingProblem", "check_values", "name_of", "shown", "to_settings"]


class SettingProblem(NamedTuple):
    """A setting that is wrong.

    Attributes:
        path: of the value; that of its table if it is missing.
        text: one line that names it and says what it must be.
    """

    path: KeyPath
    text: str


def check_values(values: Mapping[str, Any]) -> list[SettingProblem]:
    """Checks the values of a document, and returns all that is wrong."""
    problems: list[SettingProblem] = []
    for table, value in values.items():
        if table not in TABLES:
            problems.append(SettingProblem((table,), _unknown_table(table, value)))
        elif table == "rooms":
            problems += _check_rooms(value)
        elif not isinstance(value, dict):
            problems.append(
                SettingProblem((table,), f"{table} must be a table, written as [{table}], got {shown(value)}")
            )
        else:
            problems += _check_table(table, (table,), value)
    return problems


def to_settings(values: Mapping[str, Any]) -> tuple[Settings | None, list[SettingProblem]]:
    """Returns the settings of a document; None: something in it is wrong, which the second value has."""
    problems = check_values(values)
    if problems:
        return None, problems
    try:
        return msgspec.convert(values, Settings), []
    except msgspec.ValidationError as error:
        # A rule of `Config` that is no range.
        text = str(error).partition(" - at ")[0]
        found = re.match(r"Config\.(\w+)", text)
        path: KeyPath = ("limits", found[1]) if found else ()
        return None, [SettingProblem(path, text.replace("Config.", "limits.", 1))]


def name_of(path: KeyPath) -> str:
    """A path as errors write it, such as `rooms[0].delivery`."""
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name


def shown(value: Any) -> str:
    """A value for an error, as the file has it, or its type."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    if isinstance(value, (int, float)):
        return f"a number of {value.bit_length()} bits" if isinstance(value, int) and abs(value) >> 256 else str(value)
    for kind, words in KINDS:
        if isinstance(value, kind):
            return words
    return "a value of another type"


def _unknown_table(name: str, value: Any) -> str:
    if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
        guess = suggestion(name, TABLES)
        return f"there is no table [{name}]: {_ask(f'[{guess}]' if guess else '', [f'[{one}]' for one in TABLES])}"
    owners = [table for table in TABLES if name in keys_of(table)]
    if owners:
        return f"{name} must stand in a table: write it below {_header(owners[0])}"
    guess = suggestion(name, TABLES)
    return f"there is no setting {name} outside of a table{f': did you mean [{guess}]?' if guess else ''}"


def _check_rooms(value: Any) -> Iterator[SettingProblem]:
    if not isinstance(value, list):
        yield SettingProblem(("rooms",), f"rooms must be an array of tables, written as [[rooms]], got {shown(value)}")
        return
    for place, room in enumerate(value):
        path: KeyPath = ("rooms", place)
        if isinstance(room, dict):
            yield from _check_table("rooms", path, room)
        else:
            yield SettingProblem(path, f"{name_of(path)} must be a table, written as [[rooms]], got {shown(room)}")


def _check_table(table: str, path: KeyPath, values: Mapping[str, Any]) -> Iterator[SettingProblem]:
    keys = keys_of(table)
    for name, value in values.items():
        if name not in keys:
            yield SettingProblem((*path, name), _unknown_key(table, path, name))
        else:
            yield from _check_value(keys[name], (*path, name), kind_of(keys[name].kind), value)
            if table == "rooms" and name in RULES and isinstance(value, str):
                yield from _check_rule((*path, name), value, str(values.get("pattern", "*")))
    for key in keys.values():
        if key.default is NODEFAULT and key.name not in values:
            yield SettingProblem(
                path, f"{name_of((*path, key.name))} is missing{f': {_lower(key.sentence)}' if key.text else ''}"
            )


def _check_rule(path: KeyPath, rule: str, pattern: str) -> Iterator[SettingProblem]:
    try:
        parse_rule(rule, pattern)
    except ValueError as error:
        text = str(error)
        if rule != "subject":
            text = f'must be true, false, "identified", "subject" or "scope:NAME", got {shown(rule)}'
        yield SettingProblem(path, f"{name_of(path)}{':' if rule == 'subject' else ''} {text}")


def _unknown_key(table: str, path: KeyPath, name: str) -> str:
    what = f"there is no setting {name_of((*path, name))}"
    guess = suggestion(name, keys_of(table))
    owners = [other for other in TABLES if name in keys_of(other)]
    if table == "admin" and not guess and not owners:
        # It may be a key of the API, one table too high.
        return "there is a name below [admin] that is no setting: API keys belong into [admin.keys]"
    if owners and not (guess and guess.lower() == name.lower()):
        return f"{what}: {name} belongs into {_header(owners[0])}"
    return f"{what}{f': did you mean {guess}?' if guess else ', see `fanwire config reference`'}"


def _check_value(key: SettingKey, path: KeyPath, kind: inspect.Type, value: Any) -> Iterator[SettingProblem]:
    name = name_of(path)
    if isinstance(kind, (inspect.ListType, inspect.VarTupleType)):
        yield from _check_list(key, path, kind, value)
        return
    if isinstance(kind, inspect.DictType):
        yield from _check_lists(key, path, kind, value)
        return
    got = _type_of(value) if key.is_secret else shown(value)
    if isinstance(kind, inspect.LiteralType):
        if not isinstance(value, str) or value not in kind.values:
            guess = suggestion(value, map(str, kind.values), 0.7) if isinstance(value, str) else ""
            hint = f": did you mean {shown(guess)}?" if guess else ""
            yield SettingProblem(path, f"{name} must be {words_of(kind)}, got {got}{hint}")
        return
    if not _is_a(value, kind):
        wanted = key.wanted if kind == kind_of(key.kind) else words_of(kind)
        yield SettingProblem(path, f"{name} must be {wanted}, got {got}")
        return
    wrong = _length_wrong(kind, value) if isinstance(value, str) else _range_wrong(key, value)
    if wrong:
        yield SettingProblem(path, f"{name} must {wrong}" + ("" if value == "" else f", got {got}"))


def _check_list(
    key: SettingKey, path: KeyPath, kind: inspect.ListType | inspect.VarTupleType, value: Any
) -> Iterator[SettingProblem]:
    name = name_of(path)
    if not isinstance(value, list):
        got = _type_of(value) if key.is_secret else shown(value)
        hint = ": write it in brackets" if isinstance(value, str) else ""
        yield SettingProblem(path, f"{name} must be {words_of(kind)}, got {got}{hint}")
        return
    if getattr(kind, "min_length", None) and not value:
        yield SettingProblem(path, f"{name} must not be empty")
    for place, item in enumerate(value):
        pair = kind.item_type
        if not isinstance(pair, inspect.TupleType):
            yield from _check_value(key, (*path, place), pair, item)
        elif not isinstance(item, list) or len(item) != 2 or not all(isinstance(one, str) and one for one in item):
            yield SettingProblem(
                (*path, place), f"{name_of((*path, place))} must be a pair of texts, got {shown(item)}"
            )


def _check_lists(key: SettingKey, path: KeyPath, kind: inspect.DictType, value: Any) -> Iterator[SettingProblem]:
    if not isinstance(value, dict):
        got = _type_of(value) if key.is_secret else shown(value)
        yield SettingProblem(path, f"{name_of(path)} must be {words_of(kind)}, got {got}")
        return
    if kind.min_length and not value:
        yield SettingProblem(path, f"{name_of(path)} must not be empty")
    for items in value.values():
        # Its own key is not named: it may be a secret.
        yield from _check_value(key, path, kind.value_type, items)


def _is_a(value: Any, kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(
            value in part.values if isinstance(part, inspect.LiteralType) else _is_a(value, part) for part in kind.types
        )
    if isinstance(kind, inspect.BoolType):
        return isinstance(value, bool)
    if isinstance(kind, inspect.IntType):
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(kind, inspect.FloatType):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, str)


def _range_wrong(key: SettingKey, value: Any) -> str:
    """What a number must be; "": it is right."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    if key.is_number:
        least, above, most = key.bounds
    else:
        # Such as a number or the word "systemd".
        (number,) = (part for part in kind_of(key.kind).types if isinstance(part, inspect.IntType))  # type: ignore[attr-defined]  # it is a union
        least, above, most = number.ge, number.gt, number.le
    if isinstance(value, float) and not math.isfinite(value):
        return "be a finite number"
    is_low = (least is not None and value < least) or (above is not None and value <= above)
    if is_low or (most is not None and value > most):
        words = key.range if key.is_number else range_words(least, above, most)
        if most is not None and value > most and words.startswith(("at least", "more than")):
            words = f"at most {most:.15g}"
        if key.path == ("server", "unix_mode"):
            return f"be {key.range}, written in octal such as 0o660"
        return f"be {words}{f' {key.unit}' if key.unit in ('seconds', 'bytes') else ''}"
    return ""


def _length_wrong(kind: inspect.Type, value: str) -> str:
    """How long a text must be; "": it is right."""
    least, most = getattr(kind, "min_length", None), getattr(kind, "max_length", None)
    for part in kind.types if isinstance(kind, inspect.UnionType) else ():
        least = getattr(part, "min_length", None) or least
    if least and len(value) < least:
        return "not be empty"
    return f"have at most {most} characters" if most is not None and len(value) > most else ""


def _type_of(value: Any) -> str:
    if isinstance(value, str):
        return "a text that is not shown" if value else "an empty text"
    return {bool: "true or false", int: "a number", float: "a number", list: "a list"}.get(type(value), "another type")


def _lower(sentence: str) -> str:
    text = sentence.rstrip(".")
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _ask(guess: str, known: list[str]) -> str:
    return f"did you mean {guess}?" if guess else f"the tables are {', '.join(known)}"


def _header(table: str) -> str:
    return "[[rooms]]" if table == "rooms" else f"[{table}]"


RULES = frozenset({"join", "publish", "see_members", "see_history"})
"""The keys of rooms whose texts are rules."""

LONGEST = 100
"""Characters of a value that an error quotes."""

KINDS: tuple[tuple[type, str], ...] = (
    (list, "a list"),
    (dict, "a table"),
    (datetime.datetime, "a date and time"),
    (datetime.date, "a date"),
    (datetime.time, "a time"),
)
