"""Bodies of publishes by HTTP: types, parameters, several messages in one."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from fanwire.http.body import MAX_ENTRIES, HttpError, PublishOptions, entries_of, entry_of, options_of, payload_of

CURL = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("kind", ["", CURL, f"{CURL}; charset=utf-8", CURL.upper()])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"x":1}', ('{"x":1}', True)),
        (b" [1, 2]\n", (" [1, 2]\n", True)),
        (b"1.08", ("1.08", True)),
        (b"null", ("null", True)),
        (b'"hello"', ("hello", False)),
        (b"hello", ("hello", False)),
        (b"", ("", False)),
        (b"a=b&c=d", ("a=b&c=d", False)),
        (b'{"x":', ('{"x":', False)),
        ("\u00fc".encode(), ("\u00fc", False)),
        (b"\x00\xff", (b"\x00\xff", False)),
    ],
)
def test_without_a_type_of_its_own_a_body_is_what_it_looks_like(
    kind: str, body: bytes, message: tuple[bytes | str, bool]
) -> None:
    payload, is_json = payload_of(kind, body, 64)
    text = payload.decode() if is_json and isinstance(payload, bytes) else payload
    assert (text, is_json) == message


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=UTF-8", "application/vnd.x+json"])
def test_json(kind: str) -> None:
    payload, is_json = payload_of(kind, b'{"a": 1}', 64)
    assert (bytes(payload, "utf-8") if isinstance(payload, str) else payload, is_json) == (b'{"a": 1}', True)
    # A document that is a text is a text message.
    assert payload_of(kind, b'"hello"', 64) == ("hello", False)
    for body in (b"", b"{", b"1 2", b"NaN", b'{"a": 1}}', b'"\xff"', b'"\\ud800"', b"[" * 100_000):
        with pytest.raises(HttpError) as error:
            payload_of(kind, body, 64)
        assert (error.value.status, error.value.code) == (400, "invalid_payload")
        assert error.value.path is not None


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain", "\u00fc".encode(), "\u00fc"),
        ("text/plain; charset=utf-8", "\u00fc".encode(), "\u00fc"),
        ('text/csv; header=present; Charset="ISO-8859-1"', b"\xfc", "\u00fc"),
        ("text/plain;charset=latin1", b"\xfc", "\u00fc"),
        ("text/plain; charset=windows-1252", b"\x80", "\u20ac"),
        ("text/plain; charset=utf-16", "\u00fc".encode("utf-16"), "\u00fc"),
        ("text/html", b'{"a":1}', '{"a":1}'),
    ],
)
def test_texts_have_a_charset(kind: str, body: bytes, text: str) -> None:
    assert payload_of(kind, body, 64) == (text, False)


@pytest.mark.parametrize("kind", ["text/plain", "text/plain; charset=us-ascii", "text/plain; charset=utf-8"])
def test_a_text_that_is_not_of_its_charset(kind: str) -> None:
    with pytest.raises(HttpError, match="as its type says") as error:
        payload_of(kind, b"\xff", 64)
    assert (error.value.status, error.value.code, error.value.path) == (400, "invalid_payload", "$")


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/png", "application/cbor", "nonsense"])
def test_other_types_are_bytes(kind: str) -> None:
    assert payload_of(kind, b'{"a":1}', 64) == (b'{"a":1}', False)


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data; boundary=x", "application/x-ndjson", "text/plain; charset=rot13",
        "text/plain; charset=base64", "text/plain; charset=none", "application/json; charset=utf-16",
    ],
)  # fmt: skip
def test_types_that_no_message_has(kind: str) -> None:
    with pytest.raises(HttpError) as error:
        payload_of(kind, b"x", 64)
    assert (error.value.status, error.value.code) == (415, "unsupported_type")


def test_parameters() -> None:
    assert options_of([]) == PublishOptions()
    query = [("key", "a b"), ("delivery", "latest"), ("id", "7")]
    assert options_of(query) == PublishOptions("a b", "latest", "7")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ([("kye", "x")], "?kye"),
        ([("Key", "x")], "?Key"),
        ([("", "")], "?..."),
        ([("<script>", "")], "?..."),
        ([("key", "a"), ("key", "b")], "?key"),
        ([("delivery", "fast")], "?delivery"),
        ([("delivery", "")], "?delivery"),
    ],
)
def test_parameters_that_there_are_not(query: list[tuple[str, str]], path: str) -> None:
    with pytest.raises(HttpError) as error:
        options_of(query)
    assert (error.value.status, error.value.code, error.value.path) == (400, "bad_message", path)


@pytest.mark.parametrize("kind", ["application/json", "", CURL])
def test_several_messages_as_a_list(kind: str) -> None:
    entries = entries_of(kind, b'[{"room":"a","payload":{"x": 1}}, {"room":"b","payload":"t","key":"k","id":"1"}]')
    first, second = (entry_of(entry) for entry in entries)
    assert (first.room, first.options) == ("a", PublishOptions())
    payload, is_json = first.message(64)
    assert is_json
    assert payload in ('{"x": 1}', b'{"x": 1}')
    assert (second.room, second.message(64), second.options) == ("b", ("t", False), PublishOptions("k", None, "1"))


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/jsonl; charset=utf-8"])
def test_several_messages_as_lines(kind: str) -> None:
    entries = entries_of(kind, b'{"room":"a","payload":1}\r\n\n{"room":"b","payload":"AP8=","encoding":"base64"}')
    assert [entry_of(entry).room for entry in entries] == ["a", "b"]
    assert entry_of(entries[1]).message(64) == (b"\x00\xff", False)


@pytest.mark.parametrize("body", [b"", b"{", b'{"room":"a","payload":1}', b"1", b'"a"', b"null", b"[1", b"\xff"])
def test_what_is_no_list_of_messages(body: bytes) -> None:
    with pytest.raises(HttpError) as error:
        entries_of("application/json", body)
    assert (error.value.status, error.value.code, error.value.path) == (400, "invalid_payload", "$")


@pytest.mark.parametrize("wrong", [b"nope", b'{"room":"a","payload":NaN}', b'"\\ud800"', b"[" * 2000 + b"]" * 2000])
def test_a_line_that_is_no_json_fails_alone(wrong: bytes) -> None:
    body = b'{"room":"a","payload":1}\n' + wrong + b'\n{"room":"b","payload":2}\n'
    first, second, third = entries_of("application/x-ndjson", body)
    assert [entry_of(first).room, entry_of(third).room] == ["a", "b"]
    with pytest.raises(HttpError) as error:
        entry_of(second)
    assert error.value.status is HTTPStatus.BAD_REQUEST


def test_a_list_that_is_no_json_is_refused_whole() -> None:
    for wrong in (b'[{"room":"a","payload":NaN}]', b"[" * 2000 + b"]" * 2000):
        with pytest.raises(HttpError) as error:
            entries_of("", wrong)
        assert (error.value.status, error.value.path) == (400, "$")


def test_a_parameter_with_too_many_levels_is_wrong() -> None:
    with pytest.raises(HttpError) as error:
        options_of([("tags", '{"a":' + "[" * 2000 + "]" * 2000 + "}")])
    assert (error.value.status, error.value.path) == (400, "?tags")


def test_a_list_of_messages_is_bounded() -> None:
    for kind, body in (("application/json", b"[" + b"1," * MAX_ENTRIES + b"1]"), ("application/jsonl", b"1\n" * 1001)):
        with pytest.raises(HttpError) as error:
            entries_of(kind, body)
        assert error.value.status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    with pytest.raises(HttpError) as error:
        entries_of("text/plain", b"[]")
    assert error.value.status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (b"1", "$"),
        (b"{", "$"),
        (b"{}", "$"),
        (b'{"room":"a"}', "$"),
        (b'{"payload":1}', "$"),
        (b'{"room":7,"payload":1}', "$.room"),
        (b'{"room":"a","payload":1,"kye":"x"}', "$"),
        (b'{"room":"a","payload":1,"delivery":"fast"}', "$.delivery"),
        (b'{"room":"a","payload":1,"encoding":"hex"}', "$.encoding"),
    ],
)
def test_what_is_no_message(document: bytes, path: str) -> None:
    with pytest.raises(HttpError) as error:
        entry_of(document)
    assert (error.value.status, error.value.code, error.value.path) == (400, "bad_message", path)


@pytest.mark.parametrize("payload", [b'"***"', b"1", b"{}", b'"AP8"'])
def test_base64_that_is_none(payload: bytes) -> None:
    entry = entry_of(b'{"room":"a","encoding":"base64","payload":' + payload + b"}")
    with pytest.raises(HttpError, match="base64"):
        entry.message(64)


def test_errors_as_documents() -> None:
    error = HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "later", retry_after=2)
    assert error.document() == {"code": "overloaded", "text": "later", "retry": True, "retry_after_ms": 2000}
    error = HttpError(HTTPStatus.BAD_REQUEST, "bad_message", "no", "?x")
    assert error.document() == {"code": "bad_message", "text": "no", "retry": False, "path": "?x"}
