"""JSON Web Tokens: whom they let in, and what they have to claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt as pyjwt
import pytest
from helpers import tokens
from helpers.jwt_checks import NONES, jwt_of, refusal, run
from helpers.tokens import NOW, SECRET, ask, private, showing, token

from fanwire.auth import JWT, Keys
from fanwire.auth.key_set import FAMILIES
from fanwire.errors import Refused
from fanwire.identity.request import Request

KINDS = {"RS": "RSA", "PS": "RSA", "ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}


# Who is let in.


@pytest.mark.parametrize("algorithm", FAMILIES)
def test_every_algorithm(algorithm: str) -> None:
    if algorithm.startswith("HS"):
        keys, signer = Keys.secret(SECRET), SECRET
    else:
        kind = KINDS.get(algorithm) or KINDS[algorithm[:2]]
        keys, signer = Keys.pem(tokens.pem(kind)), private(kind)
    authenticator = jwt_of(keys, algorithms=[algorithm])
    identity = run(authenticator, showing(token(signer, algorithm, role="trader")))
    assert identity.subject == "ann"
    assert identity.expires == NOW + 60
    assert identity.scopes == frozenset()
    assert identity.claims == {"sub": "ann", "exp": NOW + 60, "role": "trader"}
    # Another's signature of the same length, and one that is cut.
    good, other = (token(signer, algorithm, sub=subject) for subject in ("ann", "bob"))
    swapped = good.rpartition(".")[0] + "." + other.rpartition(".")[2]
    for bad in (swapped, good[:-4], good[:-1], good.rpartition(".")[0] + ".", good.rpartition(".")[0] + ".AAAA"):
        assert refusal(authenticator, bad)


def test_tokens_of_pyjwt() -> None:
    shown = pyjwt.encode({"sub": "ann", "exp": NOW + 60}, SECRET, "HS256")
    assert run(jwt_of(), showing(shown)).subject == "ann"


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "read publish"}, {"read", "publish"}),
        ({"scope": ""}, set()),
        ({"scopes": ["read", "a b"]}, {"read", "a b"}),
        ({"scp": "read"}, {"read"}),
        ({"scp": ["read"]}, {"read"}),
        ({"scope": "read", "scp": ["write"]}, {"read"}),
        ({"roles": ["read"]}, set()),
    ],
)
def test_scopes(claims: dict[str, Any], scopes: set[str]) -> None:
    assert run(jwt_of(), showing(token(**claims))).scopes == scopes


def test_scopes_in_a_claim_of_another_name() -> None:
    assert run(jwt_of(scopes=["roles"]), showing(token(roles=["read"], scope="write"))).scopes == {"read"}


@pytest.mark.parametrize(
    ("sources", "make", "is_found"),
    [
        (("header", "subprotocol"), lambda text: showing(text), True),
        (("header", "subprotocol"), lambda text: ask((b"Authorization", b"bearer  " + text.encode())), True),
        (("header", "subprotocol"), lambda text: ask((b"Authorization", b"Basic " + text.encode())), False),
        (
            ("header", "subprotocol"),
            lambda text: ask((b"Sec-WebSocket-Protocol", b"fanwire.v1.json, fanwire.token." + text.encode())),
            True,
        ),
        (("header", "subprotocol"), lambda text: ask(target=b"/?token=" + text.encode()), False),
        (("query",), lambda text: ask(target=b"/?token=" + text.encode()), True),
        (("query",), lambda text: showing(text), False),
        (("cookie:jwt",), lambda text: ask((b"Cookie", b"jwt=" + text.encode()), is_origin_allowed=True), True),
        (("header",), lambda text: ask()._with_token(text), True),
        (("cookie:jwt",), lambda text: ask()._with_token(text), True),
        (("header",), lambda text: ask(), False),
    ],
)
def test_where_tokens_are_looked_for(sources: tuple[str, ...], make: Callable[[str], Request], is_found: bool) -> None:
    authenticator = jwt_of(credentials=sources)
    if is_found:
        assert run(authenticator, make(token())).subject == "ann"
    else:
        assert refusal(authenticator, make(token())) == "no token"


def test_a_cookie_of_a_page_of_another_origin() -> None:
    with pytest.raises(Refused) as refused:
        run(jwt_of(credentials=["cookie:jwt"]), ask((b"Cookie", b"jwt=" + token().encode())))
    assert refused.value.status == 403


# The claims.


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - 9}, None),
        ({"exp": NOW - 9.9}, None),
        ({"exp": NOW - 10}, "token expired 10 s ago"),
        ({"exp": NOW - 3600}, "token expired 3600 s ago"),
        ({"exp": 0}, "token expired 1700000000 s ago"),
        ({"exp": ...}, "no claim exp"),
        ({"exp": None}, "no claim exp"),
        ({"exp": str(NOW + 60)}, "claim exp must be a time in seconds, got '1700000060.0'"),
        ({"exp": True}, "claim exp must be a time in seconds, got True"),
        ({"exp": [NOW + 60]}, "claim exp must be a time in seconds"),
        ({"exp": {}}, "claim exp must be a time in seconds"),
        ({"exp": -1}, "claim exp must be a time in seconds"),
        ({"exp": (NOW + 60) * 1000}, "claim exp must be a time in seconds"),
        ({"exp": 10**400}, "claim exp must be a time in seconds"),
        ({"exp": float("nan")}, "must be JSON without repeated names"),
        ({"exp": float("inf")}, "must be JSON without repeated names"),
        ({"nbf": NOW}, None),
        ({"nbf": NOW + 10}, None),
        ({"nbf": NOW + 10.1}, "the token is not valid yet: nbf is in 10 s"),
        ({"nbf": NOW + 3600}, "the token is not valid yet: nbf is in 3600 s"),
        ({"nbf": "0"}, "claim nbf must be a time in seconds"),
        ({"nbf": None}, "claim nbf must be a time in seconds"),
        ({"iat": NOW + 10}, None),
        ({"iat": NOW + 11}, "the token is not valid yet: iat is in 11 s"),
        ({"iat": True}, "claim iat must be a time in seconds"),
        ({"sub": ...}, "no claim sub"),
        ({"sub": None}, "no claim sub"),
        ({"sub": 7}, "claim sub must be a printable text, got 7"),
        ({"sub": True}, "claim sub must be a printable text, got True"),
        ({"sub": ["ann"]}, "claim sub must be a printable text, got ['ann']"),
        ({"sub": ""}, "claim sub must be a printable text, got ''"),
        ({"sub": "ann\nroot"}, "claim sub must be a printable text, got 'ann\\nroot'"),
        ({"sub": "\ud800"}, "claim sub must be a printable text, got '\\ud800'"),
        ({"sub": "an\u0301n \u00fc"}, None),
        ({"scope": 5}, "claim scope must be a text or a list of texts"),
        ({"scope": None}, "claim scope must be a text or a list of texts"),
        ({"scopes": ["a", 1]}, "claim scopes must be a text or a list of texts"),
        ({"scopes": ["a", ""]}, "claim scopes must be a text or a list of texts"),
        ({"scp": {"a": 1}}, "claim scp must be a text or a list of texts"),
        ({"aud": "fanwire"}, "the token is for another audience: 'fanwire'"),
        ({"aud": []}, "the token is for another audience: []"),
        ({"aud": None}, "the token is for another audience: None"),
        ({"iss": "https://anybody"}, None),
        ({"jti": "1", "anything": {"else": [1, 2.5, None]}}, None),
    ],
)
def test_claims(claims: dict[str, Any], reason: str | None) -> None:
    if reason is None:
        assert run(jwt_of(), showing(token(**claims))).subject
    else:
        assert reason in refusal(jwt_of(), token(**claims))


def test_claims_without_leeway() -> None:
    authenticator = jwt_of(leeway=0)
    assert run(authenticator, showing(token(exp=NOW + 0.5, nbf=NOW, iat=NOW)))
    assert "expired" in refusal(authenticator, token(exp=NOW))
    assert "not valid yet" in refusal(authenticator, token(nbf=NOW + 0.5))


@pytest.mark.parametrize(
    ("wanted", "claim", "is_let_in"),
    [
        ("fanwire", "fanwire", True),
        ("fanwire", ["other", "fanwire"], True),
        (["fanwire", "feeds"], "feeds", True),
        (("fanwire", "feeds"), ["x", "feeds"], True),
        ("fanwire", "Fanwire", False),
        ("fanwire", "fanwire ", False),
        ("fanwire", "fan", False),
        ("fanwire", "fanwire.example", False),
        ("fanwire", "", False),
        ("fanwire", [], False),
        ("fanwire", ["other"], False),
        ("fanwire", [["fanwire"]], False),
        ("fanwire", {"fanwire": 1}, False),
        ("fanwire", None, False),
        ("fanwire", ..., False),
        ("7", 7, False),
    ],
)
def test_audience_and_issuer_are_compared_exactly(wanted: Any, claim: Any, is_let_in: bool) -> None:
    if is_let_in:
        assert run(jwt_of(audience=wanted), showing(token(aud=claim)))
    else:
        assert "the token is for another audience" in refusal(jwt_of(audience=wanted), token(aud=claim))
    # An issuer is one; a list of them is none.
    if is_let_in and isinstance(claim, str):
        assert run(jwt_of(issuer=wanted), showing(token(iss=claim)))
    else:
        assert "the token is of another issuer" in refusal(jwt_of(issuer=wanted), token(iss=claim))


def test_claims_that_are_required() -> None:
    authenticator = jwt_of(required=("sub", "jti"))
    assert run(authenticator, showing(token(exp=..., jti="1"))).expires is None
    assert "expired" in refusal(authenticator, token(exp=NOW - 60, jti="1"))
    assert refusal(authenticator, token()) == "no claim jti"


# What cannot be made.


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"algorithms": []}, "algorithms must not be empty"),
        *(
            ({"algorithms": ["HS256", name]}, "algorithms must be among|must not contain an empty str")
            for name in (*NONES, "RS1", "ES256K", "dir", "A128KW")
        ),
        ({"algorithms": ["HS256", "RS256"]}, "not both"),
        ({"algorithms": ["EdDSA", "HS512"]}, "not both"),
        ({"algorithms": ["RS256"]}, "RS256 is not for a key of the family oct"),
        ({"leeway": -1}, "leeway"),
        ({"leeway": 301}, "leeway"),
        ({"leeway": float("nan")}, "leeway"),
        ({"audience": ""}, "audience must be a name or several, not empty, got ''"),
        ({"audience": []}, "audience"),
        ({"audience": ["a", ""]}, "audience"),
        ({"issuer": ""}, "issuer must be a name or several, not empty, got ''"),
        ({"required": ()}, "required"),
        ({"required": ("exp",)}, "required"),
        ({"credentials": ()}, "credentials"),
        ({"credentials": ("headers",)}, "header, subprotocol, query or cookie:NAME"),
        ({"credentials": ("cookie:",)}, "cookie:NAME"),
    ],
)
def test_arguments_that_cannot_be_right(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        jwt_of(**options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"algorithms": "HS256"}, "algorithms must be a list of str, got 'HS256': wrap it in a list"),
        ({"algorithms": [7]}, "algorithms must be a list of str"),
        ({"algorithms": {"HS256": 1}}, "algorithms must be a list of str"),
        ({"issuer": [7]}, "issuer must be a list of str"),
        ({"audience": 7}, "audience must be a list of str"),
        ({"required": "sub"}, "required must be a list of str, got 'sub': wrap it in a list"),
        ({"scopes": "scope"}, "scopes must be a list of str, got 'scope': wrap it in a list"),
        ({"credentials": "header"}, "credentials must be a list of str, got 'header': wrap it in a list"),
        ({"leeway": "10"}, "leeway must be a number, got '10'"),
        ({"leeway": True}, "leeway must be a number, got True"),
        ({"clock": 7}, "clock must be a function, got 7"),
    ],
)
def test_arguments_of_the_wrong_type(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        jwt_of(**options)


def test_keys_of_the_wrong_type() -> None:
    with pytest.raises(TypeError, match=r"keys must be a fanwire\.auth\.Keys, got "):
        JWT(SECRET, algorithms=["HS256"])


def test_algorithms_have_no_default() -> None:
    with pytest.raises(TypeError, match="algorithms"):
        JWT(Keys.secret(SECRET))


@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_secrets_that_are_too_short(algorithm: str, size: int) -> None:
    jwt_of(Keys.secret(b"s" * size), algorithms=[algorithm])
    with pytest.raises(ValueError, match=f"{algorithm} wants a secret of {size} bytes, not {size - 1}"):
        jwt_of(Keys.secret(b"s" * (size - 1)), algorithms=[algorithm])


@pytest.mark.parametrize("kind", ["RSA", "P-256", "Ed25519"])
def test_a_public_key_and_algorithms_of_secrets(kind: str) -> None:
    with pytest.raises(ValueError, match="HS256 is not for a key of the family"):
        jwt_of(Keys.pem(tokens.pem(kind)), algorithms=["HS256"])
    with pytest.raises(ValueError, match="not be used as an HMAC secret"):
        Keys.secret(tokens.pem(kind))
    # One key, one family.
    with pytest.raises(ValueError, match="is not for a key of the family"):
        jwt_of(Keys.pem(tokens.pem(kind)), algorithms=["RS256", "ES256", "EdDSA"])
