"""Tokens that nobody should be let in with, ways to show them, and pages that cookies come from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

from helpers.tokens import SECRET, forge, jwk, part, pem, private, token


class Token(NamedTuple):
    """A row: how a token is made, which is not good for a server that takes HS256 and `SECRET`."""

    name: str
    make: Callable[[], str]

    def __repr__(self) -> str:
        return self.name


def fresh(*args: Any, **more: Any) -> str:
    """A token that is good now, unless something else is asked for."""
    return token(*args, **{"aud": "fanwire", "exp": time.time() + 60, "sub": "alice", **more})


def claims(**more: Any) -> Callable[[], str]:
    """A token with other claims, signed as it should be."""
    return lambda: fresh(**more)


def since(name: str, seconds: float) -> Callable[[], str]:
    """One with a claim so many seconds from now."""
    return lambda: fresh(**{name: time.time() + seconds})


def headed(**header: Any) -> Callable[[], str]:
    """A token with another header, signed as it should be."""
    return lambda: fresh(header=header)


def cut(change: Callable[[str, str, str], str]) -> Callable[[], str]:
    """A good one whose parts are put together differently."""
    return lambda: change(*fresh().split("."))


def text(value: str) -> Callable[[], str]:
    return lambda: value


def body() -> str:
    return json.dumps({"sub": "alice", "aud": "fanwire", "exp": time.time() + 60})


def unsigned(alg: str) -> str:
    """A token with nothing where its signature should be."""
    return forge(json.dumps({"alg": alg}), body()).rpartition(".")[0] + "."


OTHER_HEAD = part(b'{"alg":"HS256","x":1}')

TOKENS = [
    *(Token(f"text {value[:16]!r}", text(value)) for value in (
        ".", "..", "...", "a.b.c", "a.b", "a", "null", "undefined", "[object Object]", "Bearer", "e30.e30.",
        "e30.e30.e30", "-", "=.=.=", "a" * 8192, "a" * 8193, "." * 8000, "eyJ" * 2000, "%00", "${jndi:ldap://x}",
        "' OR 1=1 --", "../../secret", "{}", "AAAA.AAAA.AAAA",
    )),
    *(Token(f"alg {alg!r}", lambda alg=alg: forge(json.dumps({"alg": alg}), body())) for alg in (
        "none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS1", "HS384", "HS512", "RS256", "ES256", "EdDSA",
        "PS256", None, 0, True, ["HS256"], {"HS256": 1},
    )),
    *(Token(f"alg {alg!r}, without a signature", lambda alg=alg: unsigned(alg))
      for alg in ("none", "None", "HS256")),
    Token("no alg", lambda: forge("{}", body())),
    Token("alg twice", lambda: forge('{"alg":"none","alg":"HS256"}', body())),
    Token("another's key", lambda: fresh("x" * 64)),
    Token("an empty key", lambda: fresh(b"")),
    Token("a public key as the secret", lambda: fresh(pem("RSA"))),
    Token("signed with RSA", lambda: fresh(private("RSA"), "RS256")),
    Token("signed with an elliptic curve", lambda: fresh(private("P-256"), "ES256")),
    Token("a key of its own", lambda: fresh("x" * 64, header={"jwk": jwk("oct")})),
    Token("a place to get its key from", headed(jku="http://127.0.0.1:9/", crit=["jku"])),
    Token("crit", headed(crit=["exp"])),
    Token("crit of nothing", headed(crit=[])),
    Token("b64", headed(b64=False)),
    Token("kid as a path", lambda: fresh("x" * 64, header={"kid": "../../../dev/null"})),
    Token("kid as SQL", lambda: fresh("x" * 64, header={"kid": "' UNION SELECT 'x' --"})),
    Token("kid of 10 KB", headed(kid="k" * 5000)),
    Token("no signature", cut(lambda head, body, sign: f"{head}.{body}.")),
    Token("two parts", cut(lambda head, body, sign: f"{head}.{body}")),
    Token("four parts", cut(lambda head, body, sign: f"{head}.{body}.{sign}.{sign}")),
    Token("a signature cut short", cut(lambda head, body, sign: f"{head}.{body}.{sign[:-4]}")),
    Token("a signature with more", cut(lambda head, body, sign: f"{head}.{body}.{sign}AAAA")),
    Token("a signature with padding", cut(lambda head, body, sign: f"{head}.{body}.{sign}=")),
    Token("a signature of zeros", cut(lambda head, body, sign: f"{head}.{body}.{part(bytes(32))}")),
    Token("parts the wrong way round", cut(lambda head, body, sign: f"{body}.{head}.{sign}")),
    Token("another's body", cut(lambda head, body, sign: f"{head}.{fresh(sub='bob').split('.')[1]}.{sign}")),
    Token("another head", cut(lambda head, body, sign: f"{OTHER_HEAD}.{body}.{sign}")),
    Token("spaces", cut(lambda head, body, sign: f"{head} .{body}.{sign}")),
    Token("expired", since("exp", -60)),
    Token("expired long ago", claims(exp=1)),
    Token("expires in milliseconds", since("exp", 1e12)),
    *(Token(f"exp {value!r:.20}", claims(exp=value)) for value in (
        ..., None, "", "9999999999", True, [], {}, -1, 0, 10**400, float("inf"), float("nan"),
    )),
    Token("not yet", since("nbf", 3600)),
    Token("made tomorrow", since("iat", 86_400)),
    *(Token(f"aud {value!r}", claims(aud=value)) for value in (
        ..., None, "", "Fanwire", "fanwire.evil.org", "fan", [], ["other"], [["fanwire"]], {"fanwire": 1}, True,
    )),
    *(Token(f"sub {value!r:.20}", claims(sub=value)) for value in (
        ..., None, "", 7, True, ["alice"], {}, "a\nb", "\0", "\u202e",
    )),
    Token("a scope that is none", claims(scope=7)),
    Token("a body that is no JSON", lambda: forge('{"alg":"HS256"}', "alice")),
    Token("a body that is a list", lambda: forge('{"alg":"HS256"}', "[1]")),
    Token("a body with a subject twice", lambda: forge('{"alg":"HS256"}', body()[:-1] + ',"sub":"root"}')),
    Token("a body to the bottom", lambda: forge('{"alg":"HS256"}', "[" * 5000)),
    Token("a head to the bottom", lambda: forge("[" * 5000, body())),
    Token("a head that is no UTF-8", lambda: f"{part(bytes([255] * 9))}.{part(body().encode())}.{part(bytes(32))}"),
    Token("a token in a token", lambda: forge(json.dumps({"alg": "HS256", "cty": "JWT"}), fresh())),
    Token("encrypted", lambda: ".".join([part(b'{"alg":"dir","enc":"A128GCM"}'), "", "AAAA", "AAAA", "AAAA"])),
]  # fmt: skip

GOOD = [Token("as it should be", fresh), Token("for several", claims(aud=["x", "fanwire"]))]


def by_header(shown: str) -> tuple[str, dict[str, str]]:
    return "/", {"Authorization": f"Bearer {shown}"}


def by_query(shown: str) -> tuple[str, dict[str, str]]:
    return f"/?a=b&token={quote(shown, safe='')}&c=d", {}


def by_subprotocol(shown: str) -> tuple[str, dict[str, str]]:
    return "/", {"Sec-WebSocket-Protocol": f"fanwire.v1.json, fanwire.token.{quote(shown, safe='')}"}


def by_cookie(shown: str) -> tuple[str, dict[str, str]]:
    return "/", {"Cookie": f'a=b; sid="{shown}"', "Origin": "http://localhost"}


WAYS = {"header": by_header, "query": by_query, "subprotocol": by_subprotocol, "cookie": by_cookie}


class Page(NamedTuple):
    """A row: the headers of a request with a good cookie, and how it is answered."""

    name: str
    headers: dict[str, str]
    status: int

    def __repr__(self) -> str:
        return self.name


PAGES = [
    Page("its own", {"Origin": "http://localhost"}, 101),
    Page("its own, with the port", {"Origin": "http://localhost:80"}, 101),
    Page("its own, in capitals", {"Origin": "http://LOCALHOST"}, 101),
    Page("its own, behind TLS of a proxy", {"Origin": "https://localhost"}, 101),
    Page("none that it says", {}, 403),
    *(Page(f"{origin!r:.40}", {"Origin": origin}, 403) for origin in (
        "null", "", "http://evil.org", "http://evil-localhost", "http://localhost.evil.org", "http://sub.localhost",
        "http://localhost:8080", "http://localhost@evil.org", "http://evil.org#localhost", "http://evil.org/localhost",
        "http://localhost/", "http://localhost http://evil.org", "http://localhost, http://evil.org", "localhost",
        "//localhost", "ws://localhost", "file://", "file://localhost", "chrome-extension://localhost",
        "data:text/html,x", "HTTP://localhost", "http://127.0.0.1", "http://[::1]", "http://0", "*", "http://*",
        "http://localhost.", "https://localhost:80", "http://localhost:443", "http://xn--localhost", "x" * 5000,
    )),
    Page("its own, of another host", {"Origin": "http://evil.org", "Host": "localhost"}, 403),
    Page("told by Referer alone", {"Referer": "http://localhost/"}, 403),
    Page("told by Sec-Fetch-Site alone", {"Sec-Fetch-Site": "same-origin"}, 403),
    Page("http, of a server behind TLS", {"Origin": "http://localhost", "X-Forwarded-Proto": "https"}, 101),
]  # fmt: skip
"""The last is believed of nobody: a proxy that is not trusted may say what it likes."""

assert SECRET
