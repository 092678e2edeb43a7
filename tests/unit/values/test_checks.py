"""Checks of arguments: each error names the argument, what it must be and what it was."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial, wraps
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from fanwire.values import checks


@pytest.mark.parametrize("value", [0, 1, 100, -5, 2**70])
def test_whole_numbers(value: int) -> None:
    assert checks.check_integer("x", value) == value


@pytest.mark.parametrize("value", [True, 1.0, 1.5, "1", None, b"1", [1], Decimal(1), Fraction(1), int])
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^retries must be a whole number, got "):
        checks.check_integer("retries", value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_no_whole_number(value: float) -> None:
    with pytest.raises(ValueError, match=r"^retries must be a whole number, got "):
        checks.check_integer("retries", value)


def test_ranges_of_whole_numbers() -> None:
    with pytest.raises(ValueError, match=r"^max_queue must be at least 1, got 0$"):
        checks.check_integer("max_queue", 0, least=1)
    with pytest.raises(ValueError, match=r"^port must be at most 65535, got 65536$"):
        checks.check_integer("port", 65536, least=0, most=65535)
    with pytest.raises(ValueError, match=r"^x must be at least 268435456, got 1$"):
        checks.check_integer("x", 1, least=1 << 28)


@pytest.mark.parametrize("value", [0, 1, 0.5, Fraction(1, 2)])
def test_numbers(value: Any) -> None:
    found = checks.check_number("x", value)
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize("value", [True, "30", None, b"1", [1.0], 1j])
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^timeout must be a number, got "):
        checks.check_number("timeout", value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 10**400])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be "):
        checks.check_number("timeout", value)
    with pytest.raises(ValueError, match=r"^timeout must be "):
        checks.check_number("timeout", value, above=0)


def test_ranges_of_numbers() -> None:
    with pytest.raises(ValueError, match=r"^x must be at least 0\.1, got 0\.05$"):
        checks.check_number("x", 0.05, least=0.1)
    with pytest.raises(ValueError, match=r"^x must be more than 0, got 0$"):
        checks.check_number("x", 0, above=0)
    with pytest.raises(ValueError, match=r"^x must be at most 5, got 6$"):
        checks.check_number("x", 6, above=0, most=5)


@pytest.mark.parametrize("value", [0, 1, "true", "false", None, ""])
def test_a_flag_is_true_or_false_and_nothing_else(value: Any) -> None:
    assert checks.check_flag("insecure", True) is True
    with pytest.raises(TypeError, match=r"^insecure must be True or False, got "):
        checks.check_flag("insecure", value)


def test_texts_one_by_one() -> None:
    assert checks.check_text("host", "\u00fc", most=2) == "\u00fc"
    with pytest.raises(TypeError, match=r"^host must be a str, got b'x'$"):
        checks.check_text("host", b"x")
    with pytest.raises(ValueError, match=r"^host must not be empty$"):
        checks.check_text("host", "")
    assert checks.check_text("reason", "", empty=True) == ""
    with pytest.raises(ValueError, match=r"^host must have at most 1 bytes of UTF-8, got 2$"):
        checks.check_text("host", "\u00fc", most=1)
    with pytest.raises(ValueError, match=r"^host must be Unicode text"):
        checks.check_text("host", "\ud800")


@pytest.mark.parametrize("value", [["a", "b"], ("a", "b"), {"a": 1, "b": 2}.keys(), iter(["a", "b"])])
def test_several_texts(value: Any) -> None:
    assert checks.check_texts("origins", value) == ("a", "b")


@pytest.mark.parametrize("value", ["secret", b"secret"])
def test_one_text_alone_is_not_several(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^hosts must be a list of str, got .*'secret': wrap it in a list$"):
        checks.check_texts("hosts", value)
    with pytest.raises(TypeError, match="wrap it in a list") as told:
        checks.check_texts("api_keys", value, secret=True)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("value", [None, 7, {"a": "b"}, [7], ["a", None], [b"a"]])
def test_what_is_no_list_of_texts(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^hosts must be a list of str, got "):
        checks.check_texts("hosts", value)


def test_none_among_several_texts_is_empty() -> None:
    with pytest.raises(ValueError, match=r"^hosts must not contain an empty str$"):
        checks.check_texts("hosts", ["a", ""])
    with pytest.raises(ValueError, match=r"^hosts must not be empty$"):
        checks.check_texts("hosts", [], empty=False)


def test_words() -> None:
    assert checks.check_choice("when_away", "fail", ("wait", "fail")) == "fail"
    with pytest.raises(ValueError, match=r"^when_away must be \"wait\" or \"fail\", got 'x'$"):
        checks.check_choice("when_away", "x", ("wait", "fail"))
    with pytest.raises(TypeError, match=r"^when_away must be a str, got None$"):
        checks.check_choice("when_away", None, ("wait", "fail"))
    for right in ("deflate", None):
        assert checks.check_choice_or_none("compression", right, ("deflate",)) == right
    with pytest.raises(ValueError, match=r"^compression must be \"deflate\" or None, got 'gzip'$"):
        checks.check_choice_or_none("compression", "gzip", ("deflate",))
    with pytest.raises(TypeError, match=r"^compression must be \"deflate\" or None, got True$"):
        checks.check_choice_or_none("compression", True, ("deflate",))
    assert checks.any_of(["a", "b", "c"]) == "a, b or c"


def test_functions_and_instances() -> None:
    assert checks.check_function("handler", len) is len
    with pytest.raises(TypeError, match=r"^handler must be a function, got 'on_connect'$"):
        checks.check_function("handler", "on_connect")
    assert checks.check_instance("x", 7, int, "an int") == 7
    with pytest.raises(TypeError, match=r"^config must be a fanwire.Config, got an object of type dict$"):
        checks.check_instance("config", {}, Callable, "a fanwire.Config")


def test_functions_that_nobody_would_await() -> None:
    async def later() -> bool:
        return True

    class Later:
        async def __call__(self) -> bool:
            return True

    for value in (later, partial(later), partial(partial(later)), Later()):
        assert checks.check_function("join", value) is value
        with pytest.raises(TypeError, match=r"^join must be a plain function, got a coroutine function"):
            checks.check_function("join", value, plain=True)
    for value in (len, lambda: True, partial(len), test_words, "x".upper):
        assert checks.check_function("join", value, plain=True) is value
    with pytest.raises(TypeError, match=r"^join must be a function, got the class ValueError$"):
        checks.check_function("join", ValueError)


def test_functions_of_the_wrong_number_of_arguments() -> None:
    def one(a: Any) -> None: ...
    def some(a: Any, b: Any = 1) -> None: ...
    def named(a: Any, *, b: Any) -> None: ...

    class Object:
        def __call__(self, a: Any) -> None: ...
        def method(self, a: Any, b: Any) -> None: ...

    @wraps(named)
    def wrapping(*args: Any) -> None: ...

    for value, takes in (
        (one, "a"), (some, "a"), (some, "ab"), (Object(), "a"), (Object().method, "ab"), (Object, ""),
        (partial(one, 1), ""), (partial(named, b=2), "a"), (wrapping, "abc"), (mock.Mock(), "ab"), (print, "abc"),
        (lambda *all: None, "abc"), (type, "a"),
    ):  # fmt: skip
        assert checks.check_function("handler", value, takes=takes) is value
    for value, takes in ((one, ""), (one, "ab"), (some, "abc"), (named, "a"), (Object(), ""), (partial(one, 1), "a")):
        with pytest.raises(TypeError, match=r"^handler must be a function of \("):
            checks.check_function("handler", value, takes=takes)
    with pytest.raises(TypeError, match=r" of \(connection, room\), got .*one\(a\)$"):
        checks.check_function("handler", one, takes=("connection", "room"))
    with pytest.raises(TypeError, match=r" of \(\), got .*one\(a\)$"):
        checks.check_function("handler", one, takes=())
    with pytest.raises(TypeError, match=r" of \(\), got .*Object\(a\)$"):
        checks.check_function("handler", Object(), takes=())


def test_bytes_or_text() -> None:
    assert checks.check_bytes_or_text("secret", "x") == "x"
    for bad in ("", b""):
        with pytest.raises(ValueError, match=r"^secret must not be empty$"):
            checks.check_bytes_or_text("secret", bad)
    with pytest.raises(TypeError, match=r"^secret must be str or bytes, got int$"):
        checks.check_bytes_or_text("secret", 7)


def test_optional_ones() -> None:
    assert checks.check_optional(checks.check_integer, "x", None, least=1) is None
    with pytest.raises(ValueError, match=r"^x must be at least 1, got 0$"):
        checks.check_optional(checks.check_integer, "x", 0, least=1)


def test_errors_stay_short() -> None:
    for value in ("x" * 10_000, b"x" * 10_000, 10**5000, [0] * 10_000, "\n"):
        text = checks.described(value)
        assert len(text) <= checks.LONGEST + 3
        assert "\n" not in text


@pytest.mark.parametrize(
    "content", ["-----BEGIN PRIVATE KEY-----", "x" * 201, "a\nb", Path("/run/-----BEGIN EC PRIVATE KEY-----")]
)
def test_a_content_in_place_of_a_file_is_not_told(content: object) -> None:
    text = checks.described_file(content)
    assert text == f"a file with a name of {len(str(content))} characters, which is not shown"
    assert checks.described_file("/etc/tls/a.key") == "/etc/tls/a.key"


def test_a_long_word_is_not_told_whole() -> None:
    with pytest.raises(ValueError, match=r"x must be .*, got 'a{99}\.\.\.$"):
        checks.check_choice("x", "a" * 1000, ["b", "c"])
