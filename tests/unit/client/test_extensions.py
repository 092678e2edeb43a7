"""What the client makes of the server's answer to its offer (RFC 7692 section 7.1)."""

from __future__ import annotations

import re
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.client.deflate import DeflateTerms
from fanwire.client.extensions import OFFER, WrongAnswer, read_answer

PMD = "permessage-deflate"


def read(*values: str) -> DeflateTerms | None:
    return read_answer(values, is_offered=True)


def test_the_offer() -> None:
    assert f"{PMD}; server_no_context_takeover; client_no_context_takeover; client_max_window_bits" == OFFER


@pytest.mark.parametrize("values", [(), ("",), ("  ",), (",",), (" , ,", ",")])
def test_no_extension(values: tuple[str, ...]) -> None:
    assert read(*values) is None
    assert read_answer(values, is_offered=False) is None


@pytest.mark.parametrize(("value", "terms"), [
    (PMD, DeflateTerms(15, 15, True)),
    (f"{PMD}; server_no_context_takeover", DeflateTerms(15, 15, False)),
    (f"{PMD};client_no_context_takeover;server_no_context_takeover", DeflateTerms(15, 15, False)),
    (f"{PMD}; client_no_context_takeover", DeflateTerms(15, 15, True)),
    (f"{PMD}; server_max_window_bits=8", DeflateTerms(8, 15, True)),
    (f"{PMD} ;\tserver_max_window_bits=12 ; client_max_window_bits=\"9\"", DeflateTerms(12, 9, True)),
    (f", {PMD}; client_max_window_bits=8,", DeflateTerms(15, 8, True)),
])  # fmt: skip
def test_answers(value: str, terms: DeflateTerms) -> None:
    assert read(value) == terms


@pytest.mark.parametrize(("values", "reason"), [
    (("permessage-bzip2",), "the extension permessage-bzip2, which was not offered"),
    (("Permessage-Deflate",), "not offered"),
    ((f"{PMD}, x-webkit-deflate-frame",), "the extension x-webkit-deflate-frame, which was not offered"),
    ((f"{PMD}, {PMD}",), "the extension permessage-deflate twice"),
    ((PMD, PMD), "the extension permessage-deflate twice"),
    ((f"{PMD}; server_no_context_takeover; server_no_context_takeover",), "server_no_context_takeover of .* twice"),
    ((f"{PMD}; server_max_window_bits=10; server_max_window_bits=10",), "server_max_window_bits of .* twice"),
    ((f"{PMD}; server_no_context_takeover=true",), "must not have a value, the server's has true"),
    ((f"{PMD}; client_no_context_takeover=\"1\"",), "must not have a value, the server's has 1"),
    ((f"{PMD}; server_max_window_bits",), "server_max_window_bits .* must be 8 to 15, the server's is None"),
    ((f"{PMD}; client_max_window_bits",), "client_max_window_bits .* must be 8 to 15, the server's is None"),
    *(((f"{PMD}; {side}_max_window_bits={value}",), f"must be 8 to 15, the server's is {re.escape(value)}")
      for side in ("server", "client") for value in ("7", "16", "08", "0", "-9", "+9", "9.0", "1e1", "99999999999")),
    ((f"{PMD}; server_max_window_bits=\u0669",), "is not valid"),
    ((f"{PMD}; max_window_bits=9",), "the parameter max_window_bits, which permessage-deflate does not have"),
    ((f"{PMD}; Server_no_context_takeover",), "does not have"),
    ((f"{PMD};",), "is not valid"),
    ((f"{PMD}; =9",), "is not valid"),
    ((f"{PMD}; server_max_window_bits=",), "is not valid"),
    ((f"{PMD}; server_max_window_bits=\"9",), "is not valid"),
    ((f"{PMD}; server_max_window_bits=\"\"",), "is not valid"),
    ((f"{PMD} server_no_context_takeover",), "is not valid"),
    ((f"{PMD}\u00e9",), "is not valid"),
    (("; x",), "is not valid"),
])  # fmt: skip
def test_wrong_answers(values: tuple[str, ...], reason: str) -> None:
    with pytest.raises(WrongAnswer, match=reason):
        read(*values)


def test_what_was_not_offered() -> None:
    with pytest.raises(WrongAnswer, match="the extension permessage-deflate, which was not offered"):
        read_answer([PMD], is_offered=False)


@given(st.lists(st.text(alphabet=f'{PMD}_;,="\\ \t810', max_size=60), max_size=3))
def test_any_text_is_an_answer_or_wrong(values: list[str]) -> None:
    try:
        terms = read(*values)
    except WrongAnswer:
        return
    assert terms is None or 8 <= terms.server_bits <= 15


def test_a_long_header_takes_no_longer_than_its_length() -> None:
    for text in (";" * 16_000, " " * 16_000, "a" * 16_000 + "\x00", f"{PMD}{'; a' * 5_000}\x00", "," * 16_000):
        with pytest.raises(WrongAnswer) if text.strip(" ,") else nullcontext():
            read(text)
