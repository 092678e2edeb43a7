"""Any head of ASCII as a request: whatever an authenticator looks at, it gets an answer or `Refused`."""

from __future__ import annotations

from urllib.parse import parse_qsl

from helpers.fuzz import fuzz
from hypothesis import given
from hypothesis import strategies as st

from fanwire.errors import Refused
from fanwire.identity.proxies import Proxies, network_of
from fanwire.identity.request import Request

ascii_text = st.text(st.characters(max_codepoint=127), max_size=60)

query_parts = st.one_of(
    ascii_text,
    st.sampled_from([
        "token=a", "tok%65n=b", "token", "=", "a=1", "%", "%4", "%zz", "+", "a+b=%2B", "token=%00", "session=x",
        ";token=c", "token%3D=d", "%74%6f%6b%65%6e=e", "Token=f", "token=%ff%fe", "received=-1", "tok+en=g", "+token=h",
    ]),
)  # fmt: skip
targets = st.one_of(
    ascii_text,
    st.builds(lambda path, parts: f"/{path}?{'&'.join(parts)}", ascii_text, st.lists(query_parts, max_size=6)),
    st.integers(98, 103).map(lambda count: "/?" + "&".join(["token=a"] * count)),
)

names = st.sampled_from(["Authorization", "Cookie", "cookie", "Sec-WebSocket-Protocol", "Origin", "Host", "X"])
values = st.one_of(
    ascii_text,
    ascii_text.map("Bearer ".__add__),
    ascii_text.map("fanwire.v1.json, fanwire.token.".__add__),
    st.lists(st.tuples(st.sampled_from(["sid", "a", "", "$Path", "__Host-sid"]), ascii_text), max_size=4).map(
        lambda pairs: "; ".join(f"{name}={value}" for name, value in pairs)
    ),
    st.sampled_from(['sid="a\\"b\\101\\377\\9"', 'sid="', "sid", "sid=;sid=b", 'sid="\\', "bearer", "bearer  x "]),
)
blocks = st.lists(st.tuples(names, values), max_size=6).map(
    # No line has a CR or LF in it: the engine refuses what has (RFC 9112 section 2.2).
    lambda headers: b"\r\n".join(f"{name}: {value}".translate(NO_LINES).encode() for name, value in headers)
)

NO_LINES = {ord("\r"): None, ord("\n"): None}

SOURCES = ("header", "subprotocol", "query", "cookie:sid", "cookie:", "cookie:$Path")


@fuzz(300)
@given(targets, blocks, st.booleans())
def test_any_head(target: str, block: bytes, is_allowed: bool) -> None:
    request = Request(target.encode(), block, "192.0.2.1", False, is_allowed)
    assert request.path is not None
    assert len(request.headers) == (block.count(b"\r\n") + 1 if block else 0)
    tokens = [request.bearer, request.query_token, request.subprotocol_token]
    assert all(token is None or token for token in tokens)
    # The token is out of what gets into logs, however it was written.
    assert "token" not in request.query
    assert all(name != "token" for name, _ in parse_qsl(request.query_string, keep_blank_values=True))
    for source in SOURCES:
        check_credential(request, source, is_allowed)
    check_renewal(request)
    request._forget_headers()
    assert request.credential(SOURCES) is None


def check_credential(request: Request, source: str, is_allowed: bool) -> None:
    status = None
    try:
        found = request.credential([source])
        assert found is None or isinstance(found, str)
    except Refused as refused:
        status = refused.status
    assert status is None or (status == 403 and source.startswith("cookie") and not is_allowed)


def check_renewal(request: Request) -> None:
    """A new token is all that is taken from a renewal."""
    renewed = request._with_token("new\u00e9")
    assert renewed.credential(SOURCES) == "new\u00e9"
    assert (renewed.path, renewed.query_string, renewed.cookie("sid")) == (request.path, request.query_string, None)
    assert "?" not in repr(request).replace(repr(request.path), "")


@fuzz(300)
@given(st.one_of(ascii_text, st.ip_addresses().map(str)), st.lists(ascii_text | st.ip_addresses().map(str), max_size=5))
def test_any_forwarded(remote: str, entries: list[str]) -> None:
    proxies = Proxies(["0.0.0.0/1", "::/1"])
    forwarded = ",".join(entries)
    client = proxies.client(remote, forwarded)
    assert isinstance(network_of(client), str)
    if not proxies.trusts(remote):
        assert client == remote
