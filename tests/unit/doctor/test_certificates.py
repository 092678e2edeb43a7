"""Certificates: valid or not, whose key, whole chains, names."""

from __future__ import annotations

import ssl
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from helpers.certificates import Authority, Pair

from fanwire.doctor.certificates import check_authorities, check_certificate, covers
from fanwire.doctor.finding import Finding

DAY = 24 * 3600.0


def subject(authority: Authority) -> bytes:
    return x509.load_pem_x509_certificate(authority.file.read_bytes()).subject.public_bytes()


def findings(pair: Pair, **options: Any) -> dict[str, Finding]:
    options = {"now": time.time(), **options}
    found = check_certificate("a.pem", pair[0].read_bytes(), pair[1].read_bytes(), **options)
    return {finding.check.removeprefix("certificate a.pem: "): finding for finding in found}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_good_one(authority: Authority) -> None:
    pair = authority.sign("a.example", "a.example", "10.0.0.1")
    found = findings(pair, trusted=[subject(authority)], hosts=["A.example"])
    assert {name: finding.verdict for name, finding in found.items()} == dict.fromkeys(
        ["validity", "key", "chain", "names"], "ok"
    )
    assert found["key"].found == "matches (EC, 256 bits)"
    assert found["names"].found == "a.example, 10.0.0.1"


@pytest.mark.parametrize(
    ("days", "verdict", "text"),
    [
        (-1.0, "ok", ", 31 days"),
        (20.0, "warning", ", 10 days"),
        (31.0, "problem", "expired on "),
        (-100.0, "problem", "valid from "),
    ],
)
def test_the_time_counts(authority: Authority, days: float, verdict: str, text: str) -> None:
    pair = authority.sign("a.example", "a.example", lasts=timedelta(days=30, minutes=1))
    found = findings(pair, now=time.time() + days * DAY)["validity"]
    assert found.verdict == verdict
    assert text in found.found


def test_the_key_of_another_certificate(authority: Authority) -> None:
    chain, _ = authority.sign("a.example", "a.example")
    _, key = authority.sign("b.example", "b.example")
    assert findings((chain, key))["key"].verdict == "problem"


def test_keys_that_no_server_can_use(authority: Authority) -> None:
    chain, key = authority.sign("a.example", "a.example")
    key.write_text("no key")
    assert findings((chain, key))["key"].found.startswith("no key can be read")
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    )
    key.write_bytes(locked)
    assert findings((chain, key))["key"].found == "it has a password"


def test_a_file_without_a_certificate(authority: Authority) -> None:
    chain, key = authority.sign("a.example", "a.example")
    chain.write_text("nothing")
    (found,) = check_certificate("a.pem", chain.read_bytes(), key.read_bytes(), now=0.0)
    assert (found.check, found.verdict) == ("certificate a.pem", "problem")


def test_chains(authority: Authority, tmp_path: Path) -> None:
    chain, key = authority.sign("a.example", "a.example")
    assert findings((chain, key))["chain"].verdict == "warning"
    alone = chain.read_bytes()
    chain.write_bytes(alone + authority.file.read_bytes())
    assert findings((chain, key))["chain"].verdict == "ok"
    chain.write_bytes(alone + Authority(tmp_path, "another").file.read_bytes())
    found = findings((chain, key))["chain"]
    assert (found.verdict, found.found) == ("problem", "certificate 2 of the file has not issued certificate 1")
    chain.write_bytes(alone + authority.file.read_bytes())
    assert findings((chain, key), now=time.time() + 31 * DAY)["chain"].found == "the issuer (certificate 2) has expired"


def test_one_that_has_signed_itself(authority: Authority) -> None:
    _, key = authority.sign("a.example", "a.example")
    found = findings((authority.file, key))
    assert (found["chain"].verdict, found["chain"].found) == ("warning", "it has signed itself")
    assert found["names"].verdict == "problem"
    assert findings((authority.file, key), trusted=[subject(authority)])["chain"].verdict == "ok"


def test_names_of_the_server(authority: Authority) -> None:
    pair = authority.sign("a.example", *(f"{letter}.example" for letter in "abcdefg"))
    found = findings(pair, hosts=["a.example", "x.example"])["names"]
    assert found.verdict == "warning"
    assert found.found == (
        "a.example, b.example, c.example, d.example, e.example and 2 more; without x.example of server.hosts"
    )


@pytest.mark.parametrize(
    ("names", "host", "expected"),
    [
        (["*.example.com"], "a.example.com", True),
        (["*.example.com"], "a.b.example.com", False),
        (["*.example.com"], "example.com", False),
        (["A.example.com"], "a.EXAMPLE.com", True),
        ([], "a", False),
    ],
)
def test_wildcards(names: list[str], host: str, expected: bool) -> None:
    assert covers(names, host) is expected


def test_a_key_that_all_may_read(authority: Authority) -> None:
    pair = authority.sign("a.example", "a.example")
    assert findings(pair, is_key_open=True)["permissions of the key"].verdict == "warning"


@pytest.mark.parametrize(("days", "verdict"), [(0.0, "ok"), (20.0, "warning"), (31.0, "problem")])
def test_the_authorities_of_clients(authority: Authority, days: float, verdict: str) -> None:
    content = authority.file.read_bytes()
    found = check_authorities("ca.pem", content, now=time.time() + days * DAY)
    assert (found.check, found.verdict) == ("authorities ca.pem", verdict)
    assert check_authorities("ca.pem", b"nothing", now=0.0).verdict == "problem"


def test_a_small_rsa_key(authority: Authority) -> None:
    chain, key = authority.sign("a.example", "a.example", is_rsa=True)
    assert findings((chain, key))["key"].found == "matches (RSA, 2048 bits)"
    small = rsa.generate_private_key(65537, 1024)
    name = x509.Name([])
    certificate = x509.load_pem_x509_certificate(chain.read_bytes())
    made = x509.CertificateBuilder(
        name, name, small.public_key(), 1, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    )
    chain.write_bytes(made.sign(small, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(small.private_bytes(*plain))
    assert findings((chain, key))["key"].verdict == "problem"


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        # The type of the key (id-ecPublicKey), the version, and the curve.
        (bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0211")),
        (bytes.fromhex("a003020102"), bytes.fromhex("a00302014c")),
        (bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030177")),
    ],
    ids=["key", "version", "curve"],
)
def test_a_damaged_certificate_is_a_finding(authority: Authority, right: bytes, wrong: bytes) -> None:
    chain, key = authority.sign("a.example", "a.example")
    der = x509.load_pem_x509_certificate(chain.read_bytes()).public_bytes(serialization.Encoding.DER)
    assert right in der
    pem = ssl.DER_cert_to_PEM_cert(der.replace(right, wrong)).encode()
    found = check_certificate("a.pem", pem, key.read_bytes(), now=time.time())
    assert [finding.verdict for finding in found] == ["problem"]
    assert "no certificate can be read" in found[0].found
    assert check_authorities("a.pem", pem, now=time.time()).check == "authorities a.pem"
