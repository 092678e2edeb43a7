"""Agrees with the server on WebSocket extensions: the client's offer, and a strict reading of the answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fanwire.client.deflate import DeflateTerms

__all__ = ["OFFER", "WrongAnswer", "read_answer"]

NAME = "permessage-deflate"

OFFER = f"{NAME}; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"
"""The value of `Sec-WebSocket-Extensions` in the request. With both `no_context_takeover` a connection keeps nothing
between messages; `client_max_window_bits` lets the server ask for a smaller window."""


class WrongAnswer(Exception):
    """The server's answer does not fit the offer: the connection has to be failed (RFC 6455 section 9.1, RFC 7692
    section 7.1)."""


def read_answer(values: Sequence[str], *, is_offered: bool) -> DeflateTerms | None:
    """Reads the server's answer.

    An answer without `server_no_context_takeover` is accepted, although the client has asked for it: some servers
    always keep the context.

    Args:
        values: of all headers `Sec-WebSocket-Extensions`, in their order.
        is_offered: whether the request had `OFFER`; otherwise it offered nothing.

    Returns:
        What the server has agreed to; None: messages are not compressed.

    Raises:
        WrongAnswer: an extension was not offered, or is there twice, or a parameter is unknown, there twice, or has a
            wrong value.
    """
    terms = None
    for name, params in _parse(", ".join(values)):
        if name != NAME or not is_offered:
            raise WrongAnswer(f"the server answers with the extension {name}, which was not offered")
        if terms is not None:
            raise WrongAnswer(f"the server answers with the extension {NAME} twice")
        terms = _read_terms(params)
    return terms


def _read_terms(params: list[tuple[str, str | None]]) -> DeflateTerms:
    terms = DeflateTerms(keeps_context=True)
    seen = set()
    for name, value in params:
        if name in seen:
            raise WrongAnswer(f"the server's answer has the parameter {name} of {NAME} twice")
        seen.add(name)
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                raise WrongAnswer(f"the parameter {name} of {NAME} must not have a value, the server's has {value}")
            if name == "server_no_context_takeover":
                terms = terms._replace(keeps_context=False)
        elif name == "server_max_window_bits":
            terms = terms._replace(server_bits=_bits(name, value))
        elif name == "client_max_window_bits":
            terms = terms._replace(client_bits=_bits(name, value))
        else:
            raise WrongAnswer(f"the server's answer has the parameter {name}, which {NAME} does not have")
    return terms


def _bits(name: str, value: str | None) -> int:
    # Without leading zeros (RFC 7692 section 7.1.2.1).
    if value is None or not re.fullmatch("[89]|1[0-5]", value):
        raise WrongAnswer(f"the parameter {name} of {NAME} must be 8 to 15, the server's is {value}")
    return int(value)


def _parse(text: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Splits a header into the extensions and their parameters (RFC 6455 section 9.1)."""
    found = []
    place = 0
    while place < len(text):
        if empty := _EMPTY.match(text, place):
            # Lists may have empty elements (RFC 9110 section 5.6.1.2).
            place = empty.end()
            continue
        extension = _EXTENSION.match(text, place)
        if extension is None:
            raise WrongAnswer("the server's header Sec-WebSocket-Extensions is not valid")
        place = extension.end()
        params = [(one[1], one[2] or one[3]) for one in _PARAM.finditer(extension[2])]
        found.append((extension[1], params))
    return found


_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""RFC 9110 section 5.6.2. The value of a parameter is one, with or without quotes."""
_PARAM = re.compile(rf'[ \t]*;[ \t]*({_WORD})(?:=(?:({_WORD})|"({_WORD})"))?')
_EXTENSION = re.compile(rf'[ \t]*({_WORD})((?:[ \t]*;[ \t]*{_WORD}(?:=(?:{_WORD}|"{_WORD}"))?)*)[ \t]*(?:,|\Z)')
_EMPTY = re.compile(r"[ \t]*(?:,|\Z)")
