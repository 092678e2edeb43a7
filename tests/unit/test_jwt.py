"""JSON Web Tokens: whom they let in, and the attacks on them."""

from __future__ import annotations

import json
import string
import warnings
from collections.abc import Callable
from typing import Any

import jwt as pyjwt
import pytest
from helpers import tokens
from helpers.tokens import NOW, SECRET, ask, forge, jwk, jwks, part, private, showing, token
from hypothesis import given, settings
from hypothesis import strategies as st

from fanwire.auth import JWT, Keys
from fanwire.auth.key_set import FAMILIES, KeySet
from fanwire.errors import Refused
from fanwire.identity import Identity
from fanwire.request import Request

KINDS = {"RS": "RSA", "PS": "RSA", "ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}


def door(keys: Keys | None = None, **options: Any) -> JWT:
    options = {"algorithms": ["HS256"], "clock": lambda: NOW} | options
    return JWT(keys or Keys.secret(SECRET), **options)


def run(authenticator: JWT, request: Request) -> Identity:
    """Without a loop: nothing has to be waited for."""
    answer = authenticator(request)
    try:
        answer.send(None)
    except StopIteration as done:
        identity: Identity = done.value
        return identity
    raise AssertionError("it waits")


def answered(authenticator: JWT, request: Request) -> Identity | Refused:
    try:
        return run(authenticator, request)
    except Refused as refused:
        return refused


def refusal(authenticator: JWT, shown: str | Request) -> str:
    request = showing(shown) if isinstance(shown, str) else shown
    with pytest.raises(Refused) as refused:
        run(authenticator, request)
    assert refused.value.status == 401
    # The reason goes to a log: it has one line, an end, and nothing that somebody could come in with.
    reason = str(refused.value)
    assert reason.isprintable()
    assert len(reason) < 300
    if isinstance(shown, str) and "." in shown:
        signature = shown.rpartition(".")[2]
        assert len(signature) < 8 or signature not in reason
    return reason


# Who is let in.


@pytest.mark.parametrize("algorithm", FAMILIES)
def test_every_algorithm(algorithm: str) -> None:
    if algorithm.startswith("HS"):
        keys, signer = Keys.secret(SECRET), SECRET
    else:
        kind = KINDS.get(algorithm) or KINDS[algorithm[:2]]
        keys, signer = Keys.pem(tokens.pem(kind)), private(kind)
    authenticator = door(keys, algorithms=[algorithm])
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
    assert run(door(), showing(shown)).subject == "ann"


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
    assert run(door(), showing(token(**claims))).scopes == scopes


def test_scopes_in_a_claim_of_another_name() -> None:
    assert run(door(scopes=["roles"]), showing(token(roles=["read"], scope="write"))).scopes == {"read"}


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
    authenticator = door(credentials=sources)
    if is_found:
        assert run(authenticator, make(token())).subject == "ann"
    else:
        assert refusal(authenticator, make(token())) == "no token"


def test_a_cookie_of_a_page_of_another_origin() -> None:
    with pytest.raises(Refused) as refused:
        run(door(credentials=["cookie:jwt"]), ask((b"Cookie", b"jwt=" + token().encode())))
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
        ({"exp": str(NOW + 60)}, "claim exp is no time in seconds: '1700000060.0'"),
        ({"exp": True}, "claim exp is no time in seconds: True"),
        ({"exp": [NOW + 60]}, "claim exp is no time"),
        ({"exp": {}}, "claim exp is no time"),
        ({"exp": -1}, "claim exp is no time"),
        ({"exp": (NOW + 60) * 1000}, "claim exp is no time"),
        ({"exp": 10**400}, "claim exp is no time"),
        ({"exp": float("nan")}, "no JSON"),
        ({"exp": float("inf")}, "no JSON"),
        ({"nbf": NOW}, None),
        ({"nbf": NOW + 10}, None),
        ({"nbf": NOW + 10.1}, "a token of the future: nbf is in 10 s"),
        ({"nbf": NOW + 3600}, "a token of the future: nbf is in 3600 s"),
        ({"nbf": "0"}, "claim nbf is no time"),
        ({"nbf": None}, "claim nbf is no time"),
        ({"iat": NOW + 10}, None),
        ({"iat": NOW + 11}, "a token of the future: iat is in 11 s"),
        ({"iat": True}, "claim iat is no time"),
        ({"sub": ...}, "no claim sub"),
        ({"sub": None}, "no claim sub"),
        ({"sub": 7}, "subject 7 is no printable text"),
        ({"sub": True}, "subject True is no printable text"),
        ({"sub": ["ann"]}, "subject ['ann'] is no printable text"),
        ({"sub": ""}, "subject '' is no printable text"),
        ({"sub": "ann\nroot"}, "subject 'ann\\nroot' is no printable text"),
        ({"sub": "\ud800"}, "subject '\\ud800' is no printable text"),
        ({"sub": "an\u0301n \u00fc"}, None),
        ({"scope": 5}, "claim scope is neither"),
        ({"scope": None}, "claim scope is neither"),
        ({"scopes": ["a", 1]}, "claim scopes is neither"),
        ({"scp": {"a": 1}}, "claim scp is neither"),
        ({"aud": "fanwire"}, "a token for 'fanwire'"),
        ({"aud": []}, "a token for []"),
        ({"aud": None}, "a token for None"),
        ({"iss": "https://anybody"}, None),
        ({"jti": "1", "anything": {"else": [1, 2.5, None]}}, None),
    ],
)
def test_claims(claims: dict[str, Any], reason: str | None) -> None:
    if reason is None:
        assert run(door(), showing(token(**claims))).subject
    else:
        assert reason in refusal(door(), token(**claims))


def test_claims_without_leeway() -> None:
    authenticator = door(leeway=0)
    assert run(authenticator, showing(token(exp=NOW + 0.5, nbf=NOW, iat=NOW)))
    assert "expired" in refusal(authenticator, token(exp=NOW))
    assert "future" in refusal(authenticator, token(nbf=NOW + 0.5))


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
        assert run(door(audience=wanted), showing(token(aud=claim)))
    else:
        assert "a token for" in refusal(door(audience=wanted), token(aud=claim))
    # An issuer is one; a list of them is none.
    if is_let_in and isinstance(claim, str):
        assert run(door(issuer=wanted), showing(token(iss=claim)))
    else:
        assert "a token made by" in refusal(door(issuer=wanted), token(iss=claim))


def test_claims_that_are_required() -> None:
    authenticator = door(required=("sub", "jti"))
    assert run(authenticator, showing(token(exp=..., jti="1"))).expires is None
    assert "expired" in refusal(authenticator, token(exp=NOW - 60, jti="1"))
    assert refusal(authenticator, token()) == "no claim jti"


# The attacks.

NONES = [
    "none",
    "None",
    "NONE",
    "nOnE",
    "none ",
    " none",
    "n\u043ene",
    "",
    "null",
    "NoNe\u0000",
    "HS256 ",
    "hs256",
    "HS1",
]


@pytest.mark.parametrize("spelling", [*NONES, None, 0, True, ["HS256"], {"HS256": 1}, ...])
def test_no_algorithm_in_any_spelling(spelling: Any) -> None:
    header = {} if spelling is ... else {"alg": spelling}
    payload = json.dumps({"sub": "root", "exp": NOW + 60})
    good = forge(json.dumps(header), payload)
    unsigned = good.rpartition(".")[0] + "."
    for shown in (good, unsigned, unsigned[:-1]):
        assert refusal(door(), shown)
    for authenticator in (door(), door(Keys.pem(tokens.pem("RSA")), algorithms=["RS256"])):
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
    assert "is not among" in refusal(door(Keys.pem(text), algorithms=["RS256"]), forged)
    keys = Keys(KeySet.jwks(jwks(jwk("RSA", "a"), jwk("oct", "b"))))
    for kid in ("a", "b"):
        assert refusal(door(keys, algorithms=["HS256", "HS384", "HS512"]), token(secret, algorithm, {"kid": kid}))


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
    assert refusal(door(), token(header=header)) == "a header with crit or b64"


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
    authenticator = door(keys, algorithms=["ES256"])
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
    authenticator = door(keys)
    assert run(authenticator, showing(token(header={"kid": "a"})))
    assert "kid" in refusal(authenticator, token(header={"kid": kid}))
    # Nor does it help as the secret.
    for secret in ("", "\0", str(kid)):
        assert refusal(authenticator, token(secret.encode(errors="replace"), header={"kid": kid}))


def test_a_token_may_leave_out_the_name_of_the_only_key() -> None:
    one, two = Keys(KeySet.jwks(jwks(jwk("oct", "a")))), Keys(KeySet.jwks(jwks(jwk("oct", "a"), jwk("oct", "b"))))
    assert run(door(one), showing(token()))
    assert refusal(door(two), token()) == "no key for kid None and HS256"


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
    assert refusal(door(), showing(shown))
    # As a message of a client that is connected brings it, with whatever characters.
    assert refusal(door(), ask()._with_token(shown))


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
        assert refusal(door(), ask()._with_token(shown))


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
    assert refusal(door(), forge('{"alg":"HS256"}', payload))


def test_an_encrypted_token_is_none() -> None:
    header = part(json.dumps({"alg": "dir", "enc": "A256GCM"}).encode())
    assert "three parts" in refusal(door(), f"{header}..aXY.Y2lwaGVy.dGFn")


def test_a_token_of_another_algorithm_of_the_same_key() -> None:
    for kind, pinned, shown in (("RSA", "RS256", "PS256"), ("RSA", "RS256", "RS512"), ("P-256", "ES256", "RS256")):
        signer = private(kind if not shown.startswith("RS") else "RSA")
        authenticator = door(Keys.pem(tokens.pem(kind)), algorithms=[pinned])
        assert "is not among" in refusal(authenticator, token(signer, shown))


def test_a_key_of_a_set_is_used_for_its_own_algorithm_alone() -> None:
    keys = Keys(KeySet.jwks(jwks(jwk("RSA", "a", alg="RS256"), jwk("P-256", "b"))))
    authenticator = door(keys, algorithms=["RS256", "PS256", "ES256"])
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
        assert refusal(door(), ask()._with_token(bad))


@settings(deadline=None)
@given(st.text() | st.binary().map(part) | st.lists(st.binary().map(part), max_size=6).map(".".join))
def test_whatever_is_shown_is_refused_and_raises_nothing_else(shown: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refusal(door(), ask()._with_token(shown))


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
    answer = answered(door(), ask()._with_token(token(header=header, **claims)))
    if isinstance(answer, Refused):
        assert answer.status == 401
        assert str(answer).isprintable()
    else:
        assert answer.subject.isprintable()
        assert answer.expires is not None
        assert answer.expires > NOW - 10


# What cannot be made.


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"algorithms": []}, "algorithms must not be empty"),
        *(
            ({"algorithms": ["HS256", name]}, "is none of|must not contain an empty str")
            for name in (*NONES, "RS1", "ES256K", "dir", "A128KW")
        ),
        ({"algorithms": ["HS256", "RS256"]}, "not both"),
        ({"algorithms": ["EdDSA", "HS512"]}, "not both"),
        ({"algorithms": ["RS256"]}, "RS256 is not for a key of the family oct"),
        ({"leeway": -1}, "leeway"),
        ({"leeway": 301}, "leeway"),
        ({"leeway": float("nan")}, "leeway"),
        ({"audience": ""}, "audience '' is no name"),
        ({"audience": []}, "audience"),
        ({"audience": ["a", ""]}, "audience"),
        ({"issuer": ""}, "issuer '' is no name"),
        ({"required": ()}, "required"),
        ({"required": ("exp",)}, "required"),
        ({"credentials": ()}, "credentials"),
        ({"credentials": ("headers",)}, "header, subprotocol, query or cookie:NAME"),
        ({"credentials": ("cookie:",)}, "cookie:NAME"),
    ],
)
def test_arguments_that_cannot_be_right(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        door(**options)


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
        door(**options)


def test_keys_of_the_wrong_type() -> None:
    with pytest.raises(TypeError, match=r"keys must be a fanwire\.auth\.Keys, got "):
        JWT(SECRET, algorithms=["HS256"])  # type: ignore[arg-type]


def test_algorithms_have_no_default() -> None:
    with pytest.raises(TypeError, match="algorithms"):
        JWT(Keys.secret(SECRET))  # type: ignore[call-arg]


@pytest.mark.parametrize(("algorithm", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_secrets_that_are_too_short(algorithm: str, size: int) -> None:
    door(Keys.secret(b"s" * size), algorithms=[algorithm])
    with pytest.raises(ValueError, match=f"{algorithm} wants a secret of {size} bytes, not {size - 1}"):
        door(Keys.secret(b"s" * (size - 1)), algorithms=[algorithm])


@pytest.mark.parametrize("kind", ["RSA", "P-256", "Ed25519"])
def test_a_public_key_and_algorithms_of_secrets(kind: str) -> None:
    with pytest.raises(ValueError, match="HS256 is not for a key of the family"):
        door(Keys.pem(tokens.pem(kind)), algorithms=["HS256"])
    with pytest.raises(ValueError, match="not be used as an HMAC secret"):
        Keys.secret(tokens.pem(kind))
    # One key, one family.
    with pytest.raises(ValueError, match="is not for a key of the family"):
        door(Keys.pem(tokens.pem(kind)), algorithms=["RS256", "ES256", "EdDSA"])
