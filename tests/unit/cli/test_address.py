"""What the command line needs to publish and to subscribe: addresses, keys and names."""

from __future__ import annotations

import pytest
from helpers.commands import run

from fanwire.cli.address import check_room, server_url
from fanwire.cli.failure import Misuse


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://h:1", "ws://h:1/"),
        ("ws://h:1/", "ws://h:1/"),
        ("https://h/sub?a=b#c", "wss://h/sub?a=b"),
        ("wss://[::1]:2", "wss://[::1]:2/"),
    ],
)
def test_server_url(base: str, url: str) -> None:
    assert server_url(base) == url


@pytest.mark.parametrize("base", ["127.0.0.1:8000", "ftp://h", "ws://", "", "localhost", "ws://h:x"])
def test_what_is_no_url_is_told(base: str) -> None:
    with pytest.raises(Misuse, match="must be the URL of a server"):
        server_url(base)
    assert run("subscribe", "a", "--url", base).exit_code == 2


@pytest.mark.parametrize("base", ["http://h\r\nX: y", "ws://h/a\n", "ws://h/a b", "ws://h/?a=\0", "ws://a:b@h/"])
def test_a_url_that_no_request_can_carry_is_told(base: str) -> None:
    with pytest.raises(Misuse, match=r"(?i)url"):
        server_url(base)
    assert run("subscribe", "a", "--url", base).exit_code == 2


@pytest.mark.parametrize("key", ["a\r\nX: y", "a\n", "a b", "", "\u560a"])
def test_a_key_that_no_request_can_carry_is_told(key: str) -> None:
    for command in ("subscribe", "publish"):
        assert run(command, "a", "--api-key", key).exit_code == 2


@pytest.mark.parametrize("name", ["a\nb", "a\r", "\x1b[2J", "\udcff", "\u2028"])
def test_a_name_with_control_characters_is_told(name: str) -> None:
    with pytest.raises(Misuse, match="must not have control characters"):
        check_room(name)
    assert run("subscribe", name).exit_code == 2


@pytest.mark.parametrize("name", ["", "ü" * 128])
def test_what_is_no_name_is_told(name: str) -> None:
    with pytest.raises(Misuse, match="1 to 255 bytes"):
        check_room(name)
    assert run("subscribe", name).exit_code == 2
