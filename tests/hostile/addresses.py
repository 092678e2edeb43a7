"""What peers say of who they ask for, and who they are taken for."""

from __future__ import annotations

from typing import NamedTuple

TRUSTED, STRANGER = "127.0.0.5", "127.0.0.9"
PROXIES = ["127.0.0.5", "127.0.0.6", "10.0.0.0/8", "2001:db8::/32"]


class Address(NamedTuple):
    """A row: where a peer is, the lines it sends, and the address it is taken for."""

    name: str
    peer: str
    lines: list[str]
    remote: str
    is_secure: bool = False

    def __repr__(self) -> str:
        return self.name


def forwarded(*values: str) -> list[str]:
    return [f"X-Forwarded-For: {value}" for value in values]


ADDRESSES = [
    Address("nobody's word", STRANGER, [], STRANGER),
    *(Address(f"a stranger's word: {line[:50]}", STRANGER, [line], STRANGER) for line in (
        "X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: 127.0.0.5", "X-Forwarded-For: ::1",
        "X-Forwarded-For: 10.0.0.1, 127.0.0.5", "x-forwarded-for: 1.1.1.1", "X-FORWARDED-FOR: 1.1.1.1",
        "Forwarded: for=1.1.1.1;proto=https", "X-Real-IP: 1.1.1.1", "X-Client-IP: 1.1.1.1", "True-Client-IP: 1.1.1.1",
        "CF-Connecting-IP: 1.1.1.1", "X-Forwarded-Proto: https", "X-Forwarded: for=1.1.1.1", "Via: 1.1 127.0.0.5",
        "X-Forwarded-For: " + "1.1.1.1, " * 1000 + "127.0.0.5",
    )),
    Address("a proxy that says nothing", TRUSTED, [], TRUSTED),
    Address("a proxy's word", TRUSTED, forwarded("198.51.100.7"), "198.51.100.7"),
    Address("a proxy's word, behind a lie", TRUSTED, forwarded("1.1.1.1, 198.51.100.7"), "198.51.100.7"),
    Address("a lie in a header of its own", TRUSTED, forwarded("1.1.1.1", "198.51.100.7"), "198.51.100.7"),
    Address("a lie behind spaces", TRUSTED, forwarded("1.1.1.1 ,\t198.51.100.7"), "198.51.100.7"),
    Address("a lie that names a proxy", TRUSTED, forwarded("127.0.0.5, 198.51.100.7"), "198.51.100.7"),
    Address("two proxies", TRUSTED, forwarded("1.1.1.1, 198.51.100.7, 10.0.0.3"), "198.51.100.7"),
    Address("three proxies, in two headers", TRUSTED, forwarded("198.51.100.7, 127.0.0.6", "10.0.0.3"), "198.51.100.7"),
    Address("only proxies", TRUSTED, forwarded("127.0.0.6, 10.0.0.3"), "127.0.0.6"),
    Address("with a port", TRUSTED, forwarded("198.51.100.7:4711"), "198.51.100.7"),
    Address("IPv6", TRUSTED, forwarded("2001:4860::8888"), "2001:4860::8888"),
    Address("IPv6 with a port", TRUSTED, forwarded("[2001:4860::8888]:4711"), "2001:4860::8888"),
    Address("IPv6 in long", TRUSTED, forwarded("2001:4860:0000:0::0:8888"), "2001:4860::8888"),
    Address("IPv4 in IPv6", TRUSTED, forwarded("::ffff:198.51.100.7"), "198.51.100.7"),
    Address("a proxy in IPv6", TRUSTED, forwarded("198.51.100.7, 2001:db8::1"), "198.51.100.7"),
    Address("a proxy as IPv4 in IPv6", TRUSTED, forwarded("198.51.100.7, ::ffff:10.0.0.1"), "198.51.100.7"),
    *(Address(f"what is no address: {value[:30]!r}", TRUSTED, forwarded(value), TRUSTED) for value in (
        "", ",", "unknown", "_hidden", "1.1.1", "1.1.1.256", "01.1.1.1", "0x7f.1", "2130706433", "1.1.1.1;",
        "1.1.1.1/8", '"1.1.1.1"', "1.1.1.1, unknown", "1.1.1.1,", "1.1.1.1 2.2.2.2", "for=1.1.1.1", "localhost", "*",
        "::g", "[::1", "fe80::1%eth0%eth1", "<script>", "' OR 1", "9" * 5000, "," * 5000, "-1.1.1.1",
    )),
    Address("TLS at a proxy", TRUSTED, ["X-Forwarded-Proto: https"], TRUSTED, True),
    Address("TLS at a proxy, in capitals", TRUSTED, ["X-Forwarded-Proto: HTTPS"], TRUSTED, True),
    Address("TLS at a proxy, as wss", TRUSTED, ["X-Forwarded-Proto: wss"], TRUSTED, True),
    Address("no TLS at a proxy", TRUSTED, ["X-Forwarded-Proto: http"], TRUSTED),
    Address("TLS of nonsense", TRUSTED, ["X-Forwarded-Proto: https, http"], TRUSTED),
]  # fmt: skip
