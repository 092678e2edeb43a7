"""The tokens of links."""

from __future__ import annotations

import pytest

from fanwire.transports.link_tokens import LinkTokens, tag_of


def test_a_token_begins_with_the_tag_of_its_node() -> None:
    tokens = LinkTokens("1a2b3c.")
    made = {tokens.new() for _ in range(100)}
    assert len(made) == 100
    assert {tag_of(token) for token in made} == {"1a2b3c."}


def test_a_node_without_others_has_a_tag_too() -> None:
    one, two = LinkTokens(), LinkTokens()
    assert one.tag != two.tag
    assert tag_of(one.new()) == one.tag


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.", "a." + "x" * 31, "a." + "x" * 33, "g." + "x" * 32, "1234567." + "x" * 32, "a." + "x" * 31 + "\n",
     "a." + "x" * 32 + "\n", "a" + "x" * 32, "a.." + "x" * 31, "A." + "x" * 32],
)  # fmt: skip
def test_what_is_no_token(text: str) -> None:
    assert tag_of(text) is None
