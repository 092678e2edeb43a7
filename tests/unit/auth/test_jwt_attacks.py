"""Attacks on JSON Web Tokens."""

from __future__ import annotations

import json
import string
import warnings
from typing import Any

import pytest
from helpers import tokens
from helpers.jwt_checks import NONES, jwt_of, refusal, run
from helpers.tokens import NOW, ask, forge, jwk, jwks, part, private, showing, token
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwire.auth import JWT, Keys
from fanwire.auth.key_set import KeySet
from fanwire.errors import Refused
from fanwire.identity.identity import Identity
from fanwire.identity.request import Request


def answered(authenticator: JWT, request: Request) -> Identity | Refused:
    try:
        return run(authenticator, request)
    except Refused as refused:
        return refused


@pytest.mark.parametrize("spelling", [*NONES, None, 0, True, ["HS256"], {"HS256": 1}, ...])
def test_no_algorithm_in_any_spelling(spelling: Any) -> None:
    header = {} if spelling is ... else {"alg": spelling}
    payload = json.dumps({"sub": "root", "exp": NOW + 60})
    good = forge(json.dumps(header), payload)
    unsigned = good.rpartition(".")[0] + "."
    for shown in (good, unsigned, unsigned[:-1]):
        assert refusal(jwt_of(), shown)
    for authenticator in (jwt_of(), jwt_of(Keys.pem(tokens.pem("RSA")), algorithms=["RS256"])):
        assert "is not among" in refusal(authenticator, good)


@pytest.mark.parametrize("form", ["pem", "pem without its last newline", "der", "jwk"])
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_public_key_as_a_secret(form: str, algorithm: str) -> None:
    text = tokens.pem("RSA")
    secret = {
        "pem": text,
        "pem without its last newline": text.rstrip(),
        "der": b"".join(text.split(b"\n")[1:-2]),
        "jwk": json.dumps(jwk("RSA")).encode(),
    }[form]
    forged = token(secret, algorithm, sub="root")
    assert "is not among" in refusal(jwt_of(Keys.pem(text), algorithms=["RS256"]), forged)
    keys = Keys(KeySet.jwks(jwks(jwk("RSA", "a"), jwk("oct", "b"))))
    for kid in ("a", "b"):
        assert refusal(jwt_of(keys, algorithms=["HS256", "HS384", "HS512"]), token(secret, algorithm, {"kid": kid}))


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"crit": ["b64"], "b64": True},
        {"b64": False},
        {"b64": True},
        {"crit": "exp"},
        {"crit": None},
    ],
)
def test_a_header_that_wants_to_be_understood(header: dict[str, Any]) -> None:
    assert refusal(jwt_of(), token(header=header)) == "the token's header must not have crit or b64"


@pytest.mark.parametrize("kid", [None, "a", "evil"])
@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "x5t"])
def test_a_token_that_brings_its_key(name: str, kid: str | None) -> None:
    attacker = private("P-256", 666)
    brought = {
        "jwk": jwk("P-256", kid, 666),
        "jku": "http://127.0.0.1:9/keys.json",
        "x5u": "file:///etc/passwd",
        "x5c": [part(tokens.pem("P-256", 666))],
        "x5t": "x",
    }
    header = {name: brought[name]} | ({} if kid is None else {"kid": kid})
    keys = Keys(KeySet.jwks(jwks(jwk("P-256", "a"))))
    authenticator = jwt_of(keys, algorithms=["ES256"])
    reason = refusal(authenticator, token(attacker, "ES256", header))
    assert reason == ("no key for kid 'evil' and ES256" if kid == "evil" else "Signature verification failed")
    # The same header does no harm to who has the right key.
    if kid != "evil":
        assert run(authenticator, showing(token(private("P-256"), "ES256", header)))


@pytest.mark.parametrize(
    "kid",
    [
        "unknown",
        "",
        "../../../../dev/null",
        "/proc/self/environ",
        "a' OR '1'='1",
        "a'; DROP TABLE keys;--",
        "|/usr/bin/id",
        "http://evil.example/keys",
        "\u0000",
        "a\r\nSet-Cookie: x",
        "\ud800",
        "a" * 257,
        "a" * 5000,
        "\u00fc" * 800,
        7,
        ["a"],
        {"a": 1},
        True,
        1.5,
    ],
)
def test_a_key_of_a_strange_name(kid: Any) -> None:
    keys = Keys(KeySet.jwks(jwks(jwk("oct", "a"))))
    authenticator = jwt_of(keys)
    assert run(authenticator, showing(token(header={"kid": "a"})))
    assert "kid" in refusal(authenticator, token(header={"kid": kid}))
    # Nor does it help as the secret.
    for secret in ("", "\0", str(kid)):
        assert refusal(authenticator, token(secret.encode(errors="replace"), header={"kid": kid}))


def test_a_token_may_leave_out_the_name_of_the_only_key() -> None:
    one, two = Keys(KeySet.jwks(jwks(jwk("oct", "a")))), Keys(KeySet.jwks(jwks(jwk("oct", "a"), jwk("oct", "b"))))
    assert run(jwt_of(one), showing(token()))
    assert refusal(jwt_of(two), token()) == "no key for kid None and HS256"


@pytest.mark.parametrize(
    "shown",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "e30.e30.e30",
        "null",
        "{}",
        "Bearer",
        "\u00fc\u00fc\u00fc.\u2028.\U0001f600",
        "%00.%00.%00",
        "." * 8000,
        "a" * 8193,
        "a" * 1_000_000,
        "." * 1_000_000,
        "e30." * 250_000,
        part(b"[" * 4000) + ".e30.e30",
        part(b'{"a":' * 1000) + ".e30.e30",
        part(b"[]") + ".e30.e30",
        part(b'"HS256"') + ".e30.e30",
        part(b"HS256") + ".e30.e30",
        part(b'{"alg":"HS256"') + ".e30.e30",
        part(b'{"alg":"HS256"}\0') + ".e30.e30",
        part(b'\xef\xbb\xbf{"alg":"HS256"}') + ".e30.e30",
        part('{"alg":"HS256"}'.encode("utf-16")) + ".e30.e30",
        part(b'{"alg":"HS256","\xff":1}') + ".e30.e30",
        part(b'{"alg":"HS256","x":NaN}') + ".e30.e30",
        part(b'{"alg":"HS256","x":' + b"9" * 5000 + b"}") + ".e30.e30",
        part(b'{"alg":"none","alg":"HS256"}') + ".e30.e30",
        part(b'{"alg":"HS256","kid":"a","kid":"b"}') + ".e30.e30",
    ],
)
def test_garbage(shown: str) -> None:
    assert refusal(jwt_of(), showing(shown))
    # As a message of a client that is connected brings it, with whatever characters.
    assert refusal(jwt_of(), ask()._with_token(shown))


def test_a_token_of_two_or_four_dots_or_in_other_alphabets() -> None:
    head, payload, signature = token().split(".")
    for shown in (
        f"{head}.{payload}",
        f"{head}.{payload}.{signature}.",
        f"{head}.{payload}.{signature}.{signature}",
        f"{head}.{payload}.{signature}.{signature}.{signature}",
        f".{head}.{payload}.{signature}",
        f"{head}..{signature}",
        f"{head}={payload}.{signature}",
        f"{head}=.{payload}.{signature}",
        f"{head}.{payload}.{signature} x",
        f"{head}.{payload}\t.{signature}",
        f"{head}.{payload}.{signature}\u0661",
        f"{head}.{payload}.{signature}\ud800",
        f"{head}.{payload}.+/{signature[2:]}",
    ):
        assert refusal(jwt_of(), ask()._with_token(shown))


@pytest.mark.parametrize(
    "payload",
    [
        '{"sub":"ann","sub":"root","exp":2000000000}',
        '{"sub":"ann","exp":1,"exp":2000000000}',
        '{"sub":"ann","exp":2000000000,"a":{"b":1,"b":2}}',
        '{"sub":"ann","s\\u0075b":"root","exp":2000000000}',
        '{"sub":"ann","exp":1e999}',
        '{"sub":"ann","exp":Infinity}',
        '{"sub":"ann","exp":2000000000}{}',
        '{"sub":"ann","exp":' + "9" * 5000 + "}",
        "[]",
        "null",
        "7",
        '"ann"',
        "",
        "{",
        "[" * 5000,
        '{"a":' * 900,
    ],
)
def test_payloads_that_are_signed_and_still_wrong(payload: str) -> None:
    assert refusal(jwt_of(), forge('{"alg":"HS256"}', payload))


def test_an_encrypted_token_is_none() -> None:
    header = part(json.dumps({"alg": "dir", "enc": "A256GCM"}).encode())
    assert "three parts" in refusal(jwt_of(), f"{header}..aXY.Y2lwaGVy.dGFn")


def test_a_token_of_another_algorithm_of_the_same_key() -> None:
    for kind, pinned, shown in (("RSA", "RS256", "PS256"), ("RSA", "RS256", "RS512"), ("P-256", "ES256", "RS256")):
        signer = private(kind if not shown.startswith("RS") else "RSA")
        authenticator = jwt_of(Keys.pem(tokens.pem(kind)), algorithms=[pinned])
        assert "is not among" in refusal(authenticator, token(signer, shown))


def test_a_key_of_a_set_is_used_for_its_own_algorithm_alone() -> None:
    keys = Keys(KeySet.jwks(jwks(jwk("RSA", "a", alg="RS256"), jwk("P-256", "b"))))
    authenticator = jwt_of(keys, algorithms=["RS256", "PS256", "ES256"])
    assert run(authenticator, showing(token(private("RSA"), "RS256", {"kid": "a"})))
    assert run(authenticator, showing(token(private("P-256"), "ES256", {"kid": "b"})))
    assert "no key" in refusal(authenticator, token(private("RSA"), "PS256", {"kid": "a"}))
    assert "no key" in refusal(authenticator, token(private("RSA"), "RS256", {"kid": "b"}))


@settings(deadline=None)
@given(st.data())
def test_no_character_of_a_token_can_be_another(data: st.DataObject) -> None:
    good = token()
    at = data.draw(st.integers(0, len(good) - 1))
    character = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_.=+/%\u00fc "))
    bad = good[:at] + character + good[at + 1 :]
    if bad != good:
        assert refusal(jwt_of(), ask()._with_token(bad))


@settings(deadline=None)
@given(st.text() | st.binary().map(part) | st.lists(st.binary().map(part), max_size=6).map(".".join))
def test_whatever_is_shown_is_refused_and_raises_nothing_else(shown: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refusal(jwt_of(), ask()._with_token(shown))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["sub", "exp", "nbf", "iat", "aud", "iss", "scope", "scp", "jti"]), json_values),
    st.dictionaries(st.sampled_from(["kid", "typ", "cty", "jku", "jwk", "crit", "zip", "enc", "b64"]), json_values),
)
def test_whatever_is_signed_is_let_in_or_refused(claims: dict[str, Any], header: dict[str, Any]) -> None:
    answer = answered(jwt_of(), ask()._with_token(token(header=header, **claims)))
    if isinstance(answer, Refused):
        assert answer.status == 401
        assert str(answer).isprintable()
    else:
        assert answer.subject.isprintable()
        assert answer.expires is not None
        assert answer.expires > NOW - 10
