"""The address and the options of a publisher."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from fanwire.publisher.target import PublishTarget


def target(url: Any, key: Any = None, context: Any = None, timeout: Any = 10, most: Any = 10) -> PublishTarget:
    return PublishTarget.of(url, key, context, timeout, most, "fanwire")


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/publish"),
        ("https://example.com/rt/fanwire/", "https://example.com/rt/fanwire/publish"),
        ("ws://127.0.0.1:8000/fanwire", "http://127.0.0.1:8000/fanwire/publish"),
        ("wss://example.com", "https://example.com/publish"),
        ("HTTP://[::1]:80", "http://[::1]:80/publish"),
    ],
)
def test_urls_of_servers(url: str, found: str) -> None:
    assert (target(url).url, target(url).is_nats) == (found, False)


def test_urls_of_nats_keep_their_secrets_out_of_errors() -> None:
    found = target("nats://user:secret@example.com:4222")
    assert (found.url, found.is_nats, found.place) == (
        "nats://user:secret@example.com:4222", True, "nats://example.com:4222",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"url": "127.0.0.1:8000"}, ValueError),
        ({"url": "ftp://example.com"}, ValueError),
        ({"url": "http://"}, ValueError),
        ({"url": "http://example.com:x"}, ValueError),
        ({"url": "http://example.com/?a=1"}, ValueError),
        ({"url": "http://user:secret@example.com"}, ValueError),
        ({"url": "http://user:secret/s@example.com"}, ValueError),
        ({"url": "http:// example.com"}, ValueError),
        ({"url": "http://example.com/\r\nX: y"}, ValueError),
        ({"url": "nats://user:se cret@example.com"}, ValueError),
        ({"url": "http://a..b"}, ValueError),
        ({"url": 5}, TypeError),
        ({"url": "http://a", "key": ""}, ValueError),
        ({"url": "http://a", "key": "a\nb"}, ValueError),
        ({"url": "nats://a", "key": "x"}, ValueError),
        ({"url": "http://a", "context": ssl.create_default_context()}, ValueError),
        ({"url": "https://a", "context": "x"}, TypeError),
        ({"url": "http://a", "timeout": 0}, ValueError),
        ({"url": "http://a", "timeout": 101}, ValueError),
        ({"url": "http://a", "most": 0}, ValueError),
    ],
)
def test_mistakes_are_told(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as failed:
        target(**arguments)
    assert "secret" not in str(failed.value)
