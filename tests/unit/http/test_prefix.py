"""A prefix of all paths."""

from __future__ import annotations

import pytest

from fanwire.http.prefix import below, check_prefix, unprefixed


@pytest.mark.parametrize(
    ("given", "prefix"), [("", ""), ("/", ""), ("/rt", "/rt"), ("/rt/", "/rt"), ("/a/b-c", "/a/b-c")]
)
def test_prefixes(given: str, prefix: str) -> None:
    assert check_prefix("prefix", given) == prefix


@pytest.mark.parametrize(
    "given", ["rt", "//", "/a//b", "/a?b", "/a#b", "/\u00fc", "/%41", "/a b", "/a\n", "http://x/rt"]
)
def test_what_is_no_prefix(given: str) -> None:
    with pytest.raises(ValueError, match=r"prefix must be a path such as '/rt', got "):
        check_prefix("prefix", given)
    with pytest.raises(TypeError, match=r"prefix must be a str, got "):
        check_prefix("prefix", given.encode())


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/rt/rooms/a?key=x", "/rooms/a?key=x"),
        ("/rt/", "/"),
        ("/rt", "/"),
        ("/rt?session=x", "/?session=x"),
        ("/rt//x", "//x"),
        ("/rooms/a", "/rooms/a"),
        ("/rtx/rooms/a", "/rtx/rooms/a"),
        ("/rt/rt/x", "/rt/x"),
        ("/RT/x", "/RT/x"),
        ("*", "*"),
        ("/", "/"),
    ],
)
def test_a_prefix_is_taken_off_where_it_is(target: str, path: str) -> None:
    assert unprefixed(target, "/rt") == path
    assert unprefixed(target, "") == target


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/fanwire", "/"),
        ("/fanwire/", "/"),
        ("/fanwire/rooms/a?b", "/rooms/a?b"),
        ("/fanwire?session=x", "/?session=x"),
        ("/fanwire//x", "//x"),
        ("/fanwirex", None),
        ("/FANWIRE/x", None),
        ("/%66anwire/x", None),
        ("//fanwire/x", None),
        ("/./fanwire/x", None),
        ("/x/../fanwire/x", None),
        ("/", None),
        ("http://x/fanwire", None),
        ("*", None),
    ],
)
def test_what_is_below_a_mount(target: str, path: str | None) -> None:
    assert below(target, "/fanwire") == path
    assert below(target, "") == target
