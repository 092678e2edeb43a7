"""`python/fanwire/protocol/table.py`."""

from __future__ import annotations

from collections.abc import Iterable

from table import Table, sentence

__all__ = ["source"]


def source(table: Table) -> str:
    """The module, formatted as ruff does."""
    messages, closes = table["message"], table["close"]
    client = [row["type"] for row in messages if row["from"] == "client"]
    server = [row["type"] for row in messages if row["from"] == "server"]
    parts = [
        _words("ClientType", client, "Types that a client sends. All others are the application's."),
        _words("ServerType", server, "Types that a server sends."),
        _words("Delivery", _names(table, "delivery"), "The delivery classes, see `Server.room`."),
        _words("ErrorCode", [row["code"] for row in table["error"]], "Codes of the payload of `error`."),
        _words("HttpErrorCode", _once(row["code"] for row in table["http_error"]), "Codes of answers of HTTP."),
    ]
    for of in _once(row["of"] for row in table["reason"]):
        reasons = [row["name"] for row in table["reason"] if row["of"] == of]
        parts.append(_words(f"{of.title()}Reason", reasons, f"Values of `reason` in the payload of `{of}`."))
    parts += [
        "CLIENT_TYPES: frozenset[str] = frozenset(get_args(ClientType))\n",
        "SERVER_TYPES: frozenset[str] = frozenset(get_args(ServerType))\n",
        'RESERVED = CLIENT_TYPES | SERVER_TYPES\n"""Types that an application cannot declare."""\n',
        _set("UNCOUNTED", [row["type"] for row in messages if not row["counted"]], "Types that neither side counts."),
        _set("URGENT", [row["type"] for row in messages if row["urgent"]], "Types about the connection itself."),
        _set(
            "ABOUT_LINK",
            [row["type"] for row in messages if row["immediate"]],
            "Types that are answered at once, however many messages wait for slow handlers.",
        ),
        'DELIVERIES: tuple[str, ...] = get_args(Delivery)\n"""By their numbers between nodes, from 1."""\n',
        _set("DROPPABLE", [row["name"] for row in table["delivery"] if row["droppable"]], "Classes with windows."),
        _set("KEYED", [row["name"] for row in table["delivery"] if row["keyed"]], "Classes that keep a value per key."),
        "ERROR_CODES: frozenset[str] = frozenset(get_args(ErrorCode))\n",
        _set(
            "RETRY",
            [row["code"] for row in table["error"] if row["retry"]],
            "Error codes of which the same message can succeed later, unless the error says otherwise.",
        ),
        _dict(
            "SUBPROTOCOLS",
            [f'"{row["codec"]}": "{row["name"]}"' for row in table["subprotocol"]],
            "What a client offers for each codec.",
        ),
        f'TOKEN_OFFER = "{table["token_offer"]}"  # noqa: S105 - the prefix of one\n'
        '"""What begins the offer that is a token."""\n',
    ]
    parts += [
        f'{row["name"].upper()} = {row["value"]:_}\n"""{sentence(row["meaning"], row["unit"])}"""\n'
        for row in table["limit"]
    ]
    first, last = table["close_range"]["reconnect"]
    codes = ", ".join(str(row["code"]) for row in closes if row["reconnect"] and not first <= row["code"] <= last)
    parts.append(f"_RECONNECT = frozenset({{{codes}}})\n")
    parts.append(f"RECONNECT_RANGE = range({first}, {last + 1})\n{RANGE_MEANING}")
    members = "".join(f'    {row["name"]} = {row["code"]}\n    """{sentence(row["meaning"])}"""\n' for row in closes)
    return HEAD + "\n".join(parts) + CLOSE_CODE.replace("    MEMBERS\n", members)


def _words(name: str, words: list[str], meaning: str) -> str:
    return f'{name} = Literal[\n{_lines(words)}]\n"""{meaning}"""\n'


def _set(name: str, words: Iterable[str], meaning: str) -> str:
    lines = "".join(f'        "{word}",\n' for word in _once(words))
    return f'{name}: frozenset[str] = frozenset(\n    {{\n{lines}    }}\n)\n"""{meaning}"""\n'


def _dict(name: str, items: list[str], meaning: str) -> str:
    lines = "".join(f"    {item},\n" for item in items)
    return f'{name} = {{\n{lines}}}\n"""{meaning}"""\n'


def _lines(words: Iterable[str]) -> str:
    return "".join(f'    "{word}",\n' for word in words)


def _names(table: Table, kind: str) -> list[str]:
    return [row["name"] for row in table[kind]]


def _once(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


HEAD = '''\
"""The words and numbers of the protocol. Made from protocol/protocol.toml by `make protocol`: change that file."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, get_args

'''

RANGE_MEANING = '"""Codes of an application with which the other side comes back."""\n'

CLOSE_CODE = '''

class CloseCode(IntEnum):
    """The codes that fanwire sends or reports."""

    MEMBERS

    @property
    def should_reconnect(self) -> bool:
        """Whether a client that got this code should connect again."""
        return should_reconnect(self)


def should_reconnect(code: int) -> bool:
    """Whether a client that got this close code should connect again."""
    return code in _RECONNECT or code in RECONNECT_RANGE
'''
