"""Checks of arguments and settings of the application. Pure.

Each function gets the name of an argument and its value, and returns the value. Its errors say what the argument must
be and what it was: `TypeError` for a wrong type, `ValueError` for a value out of range. Where several texts are
expected, a single str is an error, since Python would take its characters for the texts.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Generator, Iterable, Mapping, Sequence
from functools import partial
from inspect import isawaitable, iscoroutinefunction, signature
from numbers import Integral, Real
from operator import index
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, TypeVar

__all__ = [
    "any_of",
    "check_answer",
    "check_bytes_or_text",
    "check_choice",
    "check_choice_or_none",
    "check_flag",
    "check_function",
    "check_instance",
    "check_integer",
    "check_number",
    "check_optional",
    "check_text",
    "check_texts",
    "described",
    "described_file",
]

T = TypeVar("T")


def check_integer(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """Returns a whole number. A bool is none, and neither is 1.5.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is less than `least` or more than `most`, or NaN or infinite.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be a whole number, got {value}")
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number, got {described(value)}")
    found = index(value)
    if least is not None and found < least:
        raise ValueError(f"{name} must be at least {least}, got {described(found)}")
    if most is not None and found > most:
        raise ValueError(f"{name} must be at most {most}, got {described(found)}")
    return found


def check_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> float:
    """Returns a finite number: seconds, a rate.

    Args:
        name: of the argument.
        value: what was given.
        least: the smallest value that is allowed.
        above: the value must be more than this.
        most: the largest value that is allowed.

    Raises:
        TypeError: it is no number; a bool is none.
        ValueError: it is infinite or NaN, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {described(value)}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if math.isnan(found):
        wanted = "a number"
    elif above is not None and found <= above:
        wanted = f"more than {above:g}"
    elif least is not None and found < least:
        wanted = f"at least {least:.15g}"
    elif most is not None and found > most:
        wanted = f"at most {most:.15g}"
    elif math.isinf(found):
        wanted = "finite"
    else:
        return found
    raise ValueError(f"{name} must be {wanted}, got {described(value)}")


def check_flag(name: str, value: Any) -> bool:
    """Returns True or False. Other types are errors: the text "false" would count as true.

    Raises:
        TypeError: it is neither.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {described(value)}")
    return value


def check_text(name: str, value: Any, *, most: int | None = None, empty: bool = False) -> str:
    """Returns a text.

    Args:
        name: of the argument.
        value: what was given.
        most: bytes of UTF-8 that it may have.
        empty: whether it may be empty.

    Raises:
        TypeError: it is no str.
        ValueError: it is empty or too long, or is not Unicode (a lone surrogate).
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {described(value)}")
    if not value and not empty:
        raise ValueError(f"{name} must not be empty")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name} must be Unicode text without lone surrogates, got {described(value)}") from None
    if most is not None and (len(value) if value.isascii() else len(value.encode())) > most:
        raise ValueError(f"{name} must have at most {most} bytes of UTF-8, got {len(value.encode())}")
    return value


def check_texts(name: str, value: Any, *, empty: bool = True, secret: bool = False) -> tuple[str, ...]:
    """Returns several texts, none of them empty.

    Args:
        name: of the argument.
        value: what was given: a list, a tuple, a set or another collection of str.
        empty: whether there may be none.
        secret: whether errors leave out the values.

    Raises:
        TypeError: it is one str, no collection, or one of its items is no str.
        ValueError: one of them is empty, or there are none.
    """
    if isinstance(value, (str, bytes, bytearray)):
        shown = f"{type(value).__name__} alone" if secret else described(value)
        raise TypeError(f"{name} must be a list of str, got {shown}: wrap it in a list")
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list of str, got {type(value).__name__ if secret else described(value)}")
    found = tuple(value)
    for item in found:
        if not isinstance(item, str):
            raise TypeError(f"{name} must be a list of str, got {type(item).__name__} among its items")
        if not item:
            raise ValueError(f"{name} must not contain an empty str")
    if not found and not empty:
        raise ValueError(f"{name} must not be empty")
    return found


def check_bytes_or_text(name: str, value: Any) -> bytes | str:
    """Returns bytes or a text, neither of them empty.

    Raises:
        TypeError: it is neither.
        ValueError: it is empty.
    """
    if not isinstance(value, (bytes, str)):
        raise TypeError(f"{name} must be str or bytes, got {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    return value


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Returns one of several words.

    Raises:
        TypeError: it is no str.
        ValueError: it is none of them.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {described(value)}")
    if value not in choices:
        raise ValueError(f"{name} must be {any_of([quoted(choice) for choice in choices])}, got {described(value)}")
    return value


def check_choice_or_none(name: str, value: Any, choices: Collection[str]) -> str | None:
    """Returns one of several words, or None.

    Raises:
        TypeError: it is neither a str nor None.
        ValueError: it is none of them.
    """
    if value is None or (isinstance(value, str) and value in choices):
        return value
    words = any_of([*map(quoted, choices), "None"])
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind(f"{name} must be {words}, got {described(value)}")


def any_of(words: Sequence[str]) -> str:
    """A list in an error."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def quoted(word: str) -> str:
    """A word in an error, as it is written in a program."""
    return f'"{word}"'


def check_function(
    name: str, value: Any, *, plain: bool = False, takes: Sequence[str] | None = None
) -> Callable[..., Any]:
    """Returns something that can be called.

    Args:
        name: of the argument.
        value: what was given.
        plain: whether it must not be a coroutine function, since its answer is not awaited.
        takes: what it is called with, in words for the error; None: that is not checked.

    Raises:
        TypeError: it cannot be called, or not with these arguments; it is a class of exceptions, or a coroutine
            function where none may be.
    """
    if not callable(value) or (isinstance(value, type) and issubclass(value, BaseException)):
        raise TypeError(f"{name} must be a function, got {described(value)}")
    inner = value
    while isinstance(inner, partial):
        inner = inner.func
    call = getattr(inner, "__call__", None)  # noqa: B004 - whether that is a coroutine function
    if plain and (iscoroutinefunction(inner) or iscoroutinefunction(call)):
        raise TypeError(f"{name} must be a plain function, got a coroutine function, which is not awaited")
    if takes is not None and (got := _other_arguments(value, len(takes))) is not None:
        label = getattr(value, "__qualname__", type(value).__qualname__)
        raise TypeError(f"{name} must be a function of ({', '.join(takes)}), got {label}({', '.join(got)})")
    return value  # type: ignore[no-any-return]  # `callable` narrows to what mypy cannot name


def _other_arguments(function: Callable[..., Any], count: int) -> list[str] | None:
    """The names of what a function takes, if it cannot be called with so many arguments; None: it can, or does not
    say."""
    try:
        # Of the function itself: one that a decorator has wrapped may take other arguments.
        taken = signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return None
    try:
        taken.bind(*[None] * count)
    except TypeError:
        return list(taken.parameters)
    return None


def check_instance(name: str, value: Any, kind: type[T] | tuple[type[T], ...], what: str) -> T:
    """Returns a value of one type; `what` names the type in the error.

    Raises:
        TypeError: it is of another type.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {what}, got {described(value)}")
    return value


def check_optional(check: Callable[..., T], name: str, value: Any, **options: Any) -> T | None:
    """Applies another check, unless the value is None.

    Raises:
        TypeError, ValueError: as the check.
    """
    return None if value is None else check(name, value, **options)


def check_answer(name: str, value: Any) -> Any:
    """Returns the answer of a function of the application.

    Raises:
        TypeError: it is a mistake that would count as true: a class or function that was not called, a coroutine that
            was not awaited, a generator, an exception that was not raised.
    """
    if isinstance(value, _MISTAKES) or isawaitable(value):
        if isinstance(value, (Coroutine, Generator)):
            value.close()
        raise TypeError(f"{name}, got {described(value)}")
    return value


def described(value: Any) -> str:
    """A value for the text of an error: its `repr` of up to 100 characters, or its type."""
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        if isinstance(value, int) and value.bit_length() > 256:
            # Python has no text for integers of more than 4,300 digits.
            return f"an int of {value.bit_length()} bits"
        text = repr(value)
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"an object of type {type(value).__name__}"


def described_file(path: Any) -> str:
    """The name of a file for the text of an error. A name that may be a content, such as a private key that was put
    where the name of its file belongs, is not shown."""
    name = str(path)
    if len(name) > LONGEST_NAME or "-----" in name or not name.isprintable():
        return f"a file with a name of {len(name)} characters, which is not shown"
    return name


_MISTAKES = (
    type,
    FunctionType,
    MethodType,
    BuiltinFunctionType,
    partial,
    BaseException,
    Generator,
    AsyncGenerator,
    type(NotImplemented),
    type(...),
)

LONGEST = 100
"""Characters of a value that an error quotes."""

LONGEST_NAME = 200
"""Characters of the name of a file that an error quotes. A private key in one line has more."""
