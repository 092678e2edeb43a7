"""How a node gets in at NATS."""

from __future__ import annotations

import pytest

from fanwire.backplane.access import Access


@pytest.mark.parametrize(
    ("servers", "token", "password"),
    [
        (["nats://h"], None, None),
        (["h:4222"], None, None),
        (["nats://secret@h"], "secret", None),
        (["nats://ann:secret@h"], None, ("ann", "secret")),
        (["nats://ann:@h"], None, ("ann", "")),
        # As in any URL, such as one with characters that end a host.
        (["nats://a%40b:p%2F%23%25w@h"], None, ("a@b", "p/#%w")),
        (["nats://to%2Fken@h"], "to/ken", None),
        (["ann:secret@h"], None, ("ann", "secret")),
        # The first that has some counts for all.
        (["nats://h", "tls://ann:secret@i", "nats://other@j"], None, ("ann", "secret")),
    ],
)
def test_what_is_in_an_address(servers: list[str], token: str | None, password: tuple[str, str] | None) -> None:
    access = Access(servers)
    assert (access.token, access.password) == (token, password)


def test_places_are_fit_to_be_shown() -> None:
    servers = ["nats://ann:se@cret@h:4222", "tls://token@[::1]:1", "h:1", "token@h"]
    assert Access(servers).places == ["nats://h:4222", "tls://[::1]:1", "h:1", "h"]
