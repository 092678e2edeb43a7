"""Who a client is behind proxies: what is believed, and of whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.identity.proxies import Proxies, network_of

OURS = Proxies(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("remote", "forwarded", "client"),
    [
        # Nobody is believed who is not trusted.
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),
        ("203.0.113.5", "", "203.0.113.5"),
        ("192.0.2.8", "198.51.100.1", "192.0.2.8"),
        # The rightmost that is not trusted, whatever is before it.
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1,198.51.100.1,10.0.0.2,192.0.2.7", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("2001:db8::1", "198.51.100.1", "198.51.100.1"),
        ("192.0.2.7", "2001:4860::1", "2001:4860::1"),
        # With ports, as some write them.
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:4860::1]:4711", "2001:4860::1"),
        ("10.0.0.1", "[2001:4860::1]", "2001:4860::1"),
        # One address in two spellings is one address.
        ("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "2001:4860:0:0::0001", "2001:4860::1"),
        # What is no address makes it the proxy that has sent it.
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, _hidden, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.1,", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, 010.0.0.2", "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1\t", "1.1.1.1"),
        ("10.0.0.1", "9" * 10_000, "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1" + " " * 10_000, "1.1.1.1"),
        ("10.0.0.1", "," * 10_000, "10.0.0.1"),
        ("10.0.0.1", "<script>", "10.0.0.1"),
    ],
)  # fmt: skip
def test_clients(remote: str, forwarded: str, client: str) -> None:
    assert OURS.client(remote, forwarded) == client


def test_nobody_is_trusted_without_being_named() -> None:
    proxies = Proxies([])
    assert not proxies.trusts("127.0.0.1")
    assert proxies.client("127.0.0.1", "198.51.100.1") == "127.0.0.1"


@pytest.mark.parametrize("remote", ["", "nowhere", "/run/socket", "10.0.0.256"])
def test_what_is_no_address_is_not_trusted(remote: str) -> None:
    assert not Proxies(["0.0.0.0/0", "::/0"]).trusts(remote)


@pytest.mark.parametrize("network", ["", "example.com", "10.0.0.1/8", "10.0.0.0/33", "*"])
def test_what_is_no_network_is_an_error(network: str) -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        Proxies([network])


@given(st.text(max_size=60), st.text(max_size=200))
def test_whatever_is_said_an_address_or_the_peer_comes_out(remote: str, forwarded: str) -> None:
    assert OURS.client(remote, forwarded) == remote or OURS.trusts(remote)
    found = OURS.client("10.0.0.1", forwarded)
    assert found == "10.0.0.1" or Proxies(["0.0.0.0/0", "::/0"]).trusts(found)


def test_networks() -> None:
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8::1") == network_of("2001:db8::2:3") == "2001:db8::/64"
    assert network_of("2001:db8:0:1::1") != network_of("2001:db8::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2%eth0")


@pytest.mark.parametrize(
    ("networks", "client"), [(["10.0.0.0/8"], ""), (["unix"], "192.0.2.1"), (["unix", "::1"], "192.0.2.1")]
)
def test_peers_of_a_unix_socket_are_believed_by_name(networks: list[str], client: str) -> None:
    assert Proxies(networks).client("", "192.0.2.1") == client


def test_that_unix_peers_are_believed_says_nothing_of_addresses() -> None:
    assert Proxies(["unix"]).client("127.0.0.1", "192.0.2.1") == "127.0.0.1"
