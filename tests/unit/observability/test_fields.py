"""Records of fields: their text, and the fields for handlers that write JSON."""

from __future__ import annotations

import logging

import pytest

from fanwire.observability.fields import logfmt, write


def test_a_record_has_its_text_and_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "shop")
    fields = {"event": "sold", "what": "green tea", "count": 3}
    write(logging.getLogger("shop"), logging.INFO, fields)
    (record,) = caplog.records
    assert (record.getMessage(), record.levelno, record.name) == (
        'event=sold what="green tea" count=3', logging.INFO, "shop",
    )  # fmt: skip
    assert record.connection == fields  # type: ignore[attr-defined]  # given as `extra`


def test_the_text_is_not_made_where_nobody_reads_it() -> None:
    class Never:
        def __str__(self) -> str:
            raise AssertionError

    logger = logging.Logger("shop", logging.INFO)
    logger.addHandler(logging.NullHandler())
    write(logger, logging.INFO, {"what": Never()})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain-text.1", "plain-text.1"), (7, "7"), (0.25, "0.25"), (True, "true"), (False, "false"), ("", '""'),
        ("two words", '"two words"'), ('a"b', r'"a\"b"'), ("a=b", '"a=b"'), ("a\nb", r'"a\nb"'),
        ("\x1b[31m", r'"\u001b[31m"'), ("\u2028", r'"\u2028"'),
    ],
)  # fmt: skip
def test_values(value: object, text: str) -> None:
    assert logfmt({"name": value}) == f"name={text}"
