"""`typescript/src/table.ts`."""

from __future__ import annotations

from collections.abc import Iterable

from table import Table, sentence

__all__ = ["source"]


def source(table: Table) -> str:
    """The module. A bundler leaves out what no other module imports."""
    messages, closes = table["message"], table["close"]
    client = [row["type"] for row in messages if row["from"] == "client"]
    server = [row["type"] for row in messages if row["from"] == "server"]
    parts = [
        _words("ServerType", server, "Types that a server sends."),
        _words("Delivery", [row["name"] for row in table["delivery"]], "The delivery classes."),
        _words("ErrorCode", [row["code"] for row in table["error"]], "Codes of the payload of `error`."),
    ]
    for of in dict.fromkeys(row["of"] for row in table["reason"]):
        reasons = [row["name"] for row in table["reason"] if row["of"] == of]
        parts.append(_words(f"{of.title()}Reason", reasons, f"Values of `reason` in the payload of `{of}`."))
    parts += [
        _list("CLIENT_TYPES", client, "Types that a client sends. All others are the application's."),
        _list("UNCOUNTED", [row["type"] for row in messages if not row["counted"]], "Types that neither side counts."),
        _list("KEYED", [row["name"] for row in table["delivery"] if row["keyed"]], "Classes with a value per key."),
        _subprotocols(table),
        f'/** What begins the offer that is a token. */\nexport const TOKEN_OFFER = "{table["token_offer"]}";\n',
    ]
    parts += [
        f"/** {sentence(row['meaning'], row['unit'])} */\nexport const {row['name'].upper()} = {row['value']:_};\n"
        for row in table["limit"]
        if row["value"] <= MAX_SAFE_INTEGER
    ]
    first, last = table["close_range"]["reconnect"]
    codes = [row["code"] for row in closes if row["reconnect"] and not first <= row["code"] <= last]
    members = "".join(f"  /** {sentence(row['meaning'])} */\n  {row['name']} = {row['code']},\n" for row in closes)
    parts += [
        f"/** Codes with which a client comes back, besides those of the range. */\n{_array('RECONNECT', codes)}",
        f"/** Codes of an application with which the other side comes back, first and last. */\n"
        f"export const RECONNECT_RANGE = [{first}, {last}] as const;\n",
        f"/** The codes that are sent or reported. */\nexport const enum CloseCode {{\n{members}}}\n",
    ]
    return HEAD + "\n".join(parts)


def _words(name: str, words: list[str], meaning: str) -> str:
    lines = "".join(f'\n  | "{word}"' for word in words)
    return f"/** {meaning} */\nexport type {name} ={lines};\n"


def _list(name: str, words: Iterable[str], meaning: str) -> str:
    return f"/** {meaning} */\n{_array(name, dict.fromkeys(words))}"


def _array(name: str, items: Iterable[str | int]) -> str:
    lines = "".join(f'  "{item}",\n' if isinstance(item, str) else f"  {item},\n" for item in items)
    kind = "string" if '"' in lines else "number"
    return f"export const {name}: readonly {kind}[] = [\n{lines}];\n"


def _subprotocols(table: Table) -> str:
    parts = [
        f'/** The subprotocol of {row["codec"]}. */\nexport const {row["codec"].upper()}_PROTOCOL = "{row["name"]}";\n'
        for row in table["subprotocol"]
    ]
    return "\n".join(parts)


HEAD = """\
// The words and numbers of the protocol. Made from protocol/protocol.toml by `make protocol`: change that file.

"""

MAX_SAFE_INTEGER = (1 << 53) - 1
"""JavaScript's numbers are whole and exact up to here. A larger limit is none for this client."""
