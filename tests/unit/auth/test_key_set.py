"""Keys, read from secrets, PEM and JWK Sets: which of them are taken, and for what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, rsa, x25519
from helpers.tokens import SECRET, jwk, jwks, part, pem, private, private_pem

from fanwire.auth.key_set import FAMILIES, KeySet, check_algorithms

KINDS = {"RSA": "RSA", "P-256": "P-256", "P-384": "P-384", "P-521": "P-521", "Ed25519": "OKP", "Ed448": "OKP"}


def public_pem(key: Any, form: Any = serialization.PublicFormat.SubjectPublicKeyInfo) -> bytes:
    text: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return text


def weak_rsa() -> Any:
    return rsa.generate_private_key(65537, 1024)


@pytest.mark.parametrize(("kind", "family"), KINDS.items())
def test_a_key_is_for_the_algorithms_of_its_family_alone(kind: str, family: str) -> None:
    for keys in (KeySet.pem(pem(kind)), KeySet.jwks(jwks(jwk(kind))), KeySet.parse(pem(kind))):
        for algorithm in FAMILIES:
            assert (keys.find(None, algorithm) is not None) == (FAMILIES[algorithm] == family)
            assert (keys.find("any", algorithm) is not None) == (FAMILIES[algorithm] == family)


def test_a_secret_is_for_algorithms_that_it_is_long_enough_for() -> None:
    lengths = {31: [], 32: ["HS256"], 47: ["HS256"], 48: ["HS256", "HS384"], 64: ["HS256", "HS384", "HS512"]}
    for length, algorithms in lengths.items():
        for keys in (KeySet.secret(b"s" * length), KeySet.jwks(jwks({"kty": "oct", "k": part(b"s" * length)}))):
            assert [name for name in FAMILIES if keys.find(None, name)] == algorithms


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" {",
        b'{"kty":"oct","k":"c2VjcmV0"}',
        b'{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0',
        pem("RSA"),
        pem("RSA").rstrip(),
        pem("Ed25519"),
        private_pem("P-256"),
        b"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ",
        private("RSA")
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    ],
)
def test_what_is_no_secret(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each case has a text of its own
        KeySet.secret(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not a public key"),
        (b"-----BEGIN PUBLIC KEY-----", "not a public key"),
        (pem("RSA")[:-60], "not a public key"),
        (pem("RSA").replace(b"A", b"B", 3), "not a public key"),
        (pem("P-256") + pem("P-256", 1), "several keys"),
        (private_pem("P-256"), "a private key"),
        (b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "a certificate"),
        (public_pem(weak_rsa()), "1024 bits"),
        (pem("secp256k1"), "no supported algorithm"),
        (public_pem(x25519.X25519PrivateKey.generate()), "no supported algorithm"),
        (public_pem(dsa.generate_private_key(1024)), "no supported algorithm"),
    ],
)
def test_what_is_no_public_key(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        KeySet.pem(text)


def test_the_older_form_of_rsa_keys() -> None:
    assert KeySet.pem(public_pem(private("RSA"), serialization.PublicFormat.PKCS1)).find(None, "RS256")


@pytest.mark.parametrize(
    "entry",
    [
        None,
        7,
        [],
        {},
        {"kty": None},
        {"kty": ["RSA"]},
        {"kty": "P-256"},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {"kty": "RSA", "n": "", "e": ""},
        {"kty": "oct"},
        {"kty": "oct", "k": ""},
        {"kty": "oct", "k": 7},
        {"kty": "oct", "k": part(pem("RSA"))},
        {"kty": "EC", "crv": "P-256"},
        {"kty": "EC", "crv": "P-256", "x": part(b"1" * 32), "y": part(b"1" * 32)},
        {"kty": "EC", "crv": ["P-256"]},
        {"kty": "OKP", "crv": "X25519", "x": part(b"1" * 32)},
        {"kty": "OKP", "crv": "Ed25519", "x": part(b"1" * 31)},
        jwk("secp256k1"),
        jwk("RSA", use="enc"),
        jwk("RSA", key_ops=["encrypt"]),
        jwk("RSA", key_ops="verify"),
        jwk("RSA", alg="RSA-OAEP"),
        jwk("RSA", alg="HS256"),
        jwk("RSA", alg="ES256"),
        jwk("RSA", alg="none"),
        jwk("RSA", alg=7),
        jwk("RSA", kid=7),
        jwk("P-256", alg="ES384"),
        jwk("P-256") | {"kty": "RSA"},
        jwk("P-256") | {"crv": "P-384"},
        jwk("Ed25519") | {"kty": "EC"},
        jwk("P-256", d=part(b"1" * 32)),
        jwk("oct", alg="RS256"),
        json.loads(
            json.dumps(jwk("RSA") | {"n": part(weak_rsa().public_key().public_numbers().n.to_bytes(128, "big"))})
        ),
    ],
)
def test_keys_of_a_set_that_are_left_out(entry: Any) -> None:
    keys = KeySet.jwks(jwks(entry, jwk("P-384", "good")))
    assert keys.find("good", "ES384")
    assert [name for name in FAMILIES if keys.find(None, name)] == ["ES384"]
    with pytest.raises(ValueError, match="has no usable key: ") as useless:
        KeySet.jwks(jwks(entry))
    # What is wrong is said, the key is not.
    assert "k2V" not in str(useless.value)
    assert len(str(useless.value)) < 200


def test_all_that_a_set_may_say_of_a_good_key() -> None:
    entry = jwk("P-256", "a", use="sig", alg="ES256", key_ops=["verify"], x5c=["?"], x5t="?", ext=True, other={"a": 1})
    assert KeySet.jwks(jwks(entry)).find("a", "ES256")
    assert KeySet.jwks(json.dumps(entry).encode()).find("a", "ES256")
    assert KeySet.jwks(jwks(jwk("Ed448", alg="EdDSA"))).find(None, "EdDSA")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"keys":[]}',
        b'{"keys":{}}',
        b'{"keys":null}',
        b'{"keys":"all"}',
        b'{"keys":[',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"keys":' * 50_000,
        b"<html>",
        jwks(*([jwk("oct")] * 101)),
    ],
)
def test_what_is_no_set(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each case has a text of its own
        KeySet.jwks(text)


def test_keys_are_found_by_their_names() -> None:
    entries = [jwk("P-256", "a"), jwk("P-256", "b", 1), jwk("RSA", "a", alg="RS256"), jwk("RSA", "a", 1, alg="PS256")]
    keys = KeySet.jwks(jwks(*entries))

    def number(kid: str | None, algorithm: str, kind: str) -> int | None:
        key = keys.find(kid, algorithm)
        if key is None:
            return None
        known = [private(kind, number).public_key().public_numbers() for number in (0, 1)]
        return known.index(key.material.public_numbers())

    assert number("a", "ES256", "P-256") == 0
    assert number("b", "ES256", "P-256") == 1
    assert number("a", "RS256", "RSA") == 0
    assert number("a", "PS256", "RSA") == 1
    assert number(None, "RS256", "RSA") == 0
    for kid, algorithm in (
        ("a", "RS512"),
        ("a", "EdDSA"),
        ("b", "RS256"),
        ("A", "ES256"),
        ("c", "ES256"),
        ("", "ES256"),
    ):
        assert keys.find(kid, algorithm) is None
    # Which of several it was is not tried out.
    assert keys.find(None, "ES256") is None


def test_a_key_without_a_name_is_used_for_names_that_are_unknown_if_it_is_the_only_one() -> None:
    keys = KeySet.jwks(jwks(jwk("P-256"), jwk("P-256", "a", 1), jwk("P-384"), jwk("P-384", number=1)))
    nameless, named = keys.find("b", "ES256"), keys.find("a", "ES256")
    assert nameless is not None
    assert named is not None
    assert (nameless.kid, named.kid) == (None, "a")
    assert keys.find("b", "ES384") is None


def test_files_are_what_they_look_like() -> None:
    assert KeySet.parse(pem("RSA")).find(None, "RS256")
    assert KeySet.parse(b"\n" + jwks(jwk("RSA", "a"))).find("a", "RS256")
    for ending in (b"", b"\n", b"\r\n"):
        key = KeySet.parse(SECRET.encode() + ending).find(None, "HS256")
        assert key is not None
        assert key.material == SECRET.encode()
    for half in (pem("RSA")[:-60], jwks(jwk("oct"))[:-1], b"\n"):
        with pytest.raises(ValueError):  # noqa: PT011 - each case has a text of its own
            KeySet.parse(half)


def test_a_single_key_must_be_for_each_algorithm_and_one_of_a_set_for_one() -> None:
    KeySet.pem(pem("RSA")).check(["RS256", "PS512"])
    with pytest.raises(ValueError, match="ES256 is not for a key of the family RSA"):
        KeySet.pem(pem("RSA")).check(["RS256", "ES256"])
    keys = KeySet.jwks(jwks(jwk("RSA", alg="RS256")))
    keys.check(["ES256", "RS256"])
    with pytest.raises(ValueError, match="the key is for RS256, not for RS512"):
        keys.check(["RS512", "ES256"])


def test_algorithms() -> None:
    assert check_algorithms(["RS256", "ES256"]) == ("RS256", "ES256")
    assert set(check_algorithms({"HS256", "HS512"})) == {"HS256", "HS512"}
    with pytest.raises(ValueError, match="got 'none'"):
        check_algorithms(["none"])
