"""Ready-made authenticators answer at once where they can, and can always be awaited."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.tokens import ask

from fanwire.errors import Refused
from fanwire.identity.authenticator import Authenticator, asking


class Fixed(Authenticator):
    """Answers with what it was made with; or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def ask(self, request: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def later(answer: Any) -> Any:
    return answer


async def test_an_answer_at_once_and_a_later_one_are_awaited_alike() -> None:
    assert await Fixed("ann")(ask()) == "ann"
    assert await Fixed(later("ann"))(ask()) == "ann"


async def test_a_refusal_is_raised_when_it_is_awaited() -> None:
    asked = Fixed(Refused(401, "no"))(ask())
    with pytest.raises(Refused):
        await asked


def test_an_authenticator_is_asked_without_a_coroutine() -> None:
    assert asking(Fixed("ann"))(ask()) == "ann"


def test_a_function_is_called_as_it_is() -> None:
    def authenticate(request: Any) -> str:
        return "ann"

    assert asking(authenticate) is authenticate


async def test_one_that_says_nothing_is_an_error() -> None:
    with pytest.raises(NotImplementedError):
        await Authenticator()(ask())
