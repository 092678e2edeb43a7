"""The check of an upgrade, as a table (RFC 6455 section 4.2.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.gateway.upgrade import SINGLE, BadUpgrade, Upgrade, check_upgrade
from fanwire.request import Head
from fanwire.wire import JSON, MSGPACK

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HEAD = {b"Host": b"x", b"Sec-WebSocket-Version": b"13", b"Sec-WebSocket-Key": KEY}


def check(
    *more: tuple[bytes, bytes],
    method: bytes = b"GET",
    version: str = "1.1",
    target: bytes = b"/",
    **changed: bytes | None,
) -> Upgrade:
    replaced = {name.replace("_", "-").encode(): value for name, value in changed.items()}
    headers = [(name, value) for name, value in {**HEAD, **replaced}.items() if value is not None]
    return check_upgrade(Head(method, target, version, [*headers, *more]))


def test_a_good_one() -> None:
    assert check() == Upgrade(KEY, "x", None, None, None)
    assert check((b"Origin", b"https://a"), (b"Content-Length", b"0"), (b"X", b"1"), (b"X", b"2")) == Upgrade(
        KEY, "x", "https://a", None, None
    )
    lower = [(name.lower(), value) for name, value in HEAD.items()]
    assert check_upgrade(Head(b"GET", b"/a?b", "1.1", lower)).key == KEY


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": b"POST"},
        {"method": b"get"},
        {"version": "1.0"},
        {"version": "2.0"},
        {"target": "/\u00e9".encode()},
        {"target": b"*"},
        {"target": b"http://x/"},
        {"target": b"x:443"},
        {"target": b""},
        {"Host": None},
        {"Host": b""},
        {"Host": b"a, b"},
        {"Host": b"a b"},
        {"Host": b"user@a"},
        {"Host": b"a:80:80"},
        {"more": [(b"host", b"y")]},
        {"Sec_WebSocket_Version": None},
        {"more": [(b"Sec-WebSocket-Version", b"13")]},
        {"Sec_WebSocket_Key": None},
        {"more": [(b"sec-websocket-key", KEY)]},
        {"Sec_WebSocket_Key": b""},
        {"Sec_WebSocket_Key": KEY[:-4]},
        {"Sec_WebSocket_Key": KEY + b"AAAA"},
        {"Sec_WebSocket_Key": b"@" + KEY[1:]},
        {"Sec_WebSocket_Key": KEY.rstrip(b"=")},
        {"Sec_WebSocket_Key": KEY[:10] + b" " + KEY[10:]},
        {"Sec_WebSocket_Key": b"A" * 100_000},
        {"more": [(b"Transfer-Encoding", b"chunked")]},
        {"more": [(b"Transfer-Encoding", b"identity")]},
        {"more": [(b"Content-Length", b"1")]},
        {"more": [(b"Content-Length", b"00")]},
        {"more": [(b"Content-Length", b"-0")]},
        {"more": [(b"Content-Length", b"")]},
        {"more": [(b"Content-Length", b"0"), (b"Content-Length", b"0")]},
        {"more": [(b"Sec-WebSocket-Protocol", "\u00fc".encode())]},
        {"more": [(b"Sec-WebSocket-Extensions", b"\xff")]},
        {"more": [(b"Origin", b"\xff")]},
        {"Host": b"\xfc.org"},
        *({"more": [(name, b"a"), (name.title(), b"a")]} for name in SINGLE),
    ],
    ids=lambda arguments: str(arguments)[:60],
)
def test_bad_ones(arguments: dict[str, object]) -> None:
    more = arguments.get("more", ())
    rest = {name: value for name, value in arguments.items() if name != "more"}
    with pytest.raises(BadUpgrade) as bad:
        check(*more, **rest)  # type: ignore[misc,arg-type]
    assert bad.value.status == 400
    assert not bad.value.headers


@pytest.mark.parametrize("name", [b"CF-IPCity", b"Cookie", b"Authorization", b"X-Forwarded-For", b"User-Agent"])
@pytest.mark.parametrize("value", ["Z\u00fcrich".encode(), "Z\u00fcrich".encode("latin-1"), b"\xff", b"\xed\xa0\x80"])
def test_values_that_are_not_read_here_are_any_bytes(name: bytes, value: bytes) -> None:
    assert check((name, value)).key == KEY


@pytest.mark.parametrize("version", [b"8", b"12", b"14", b"013", b"13, 8", b"", b"1" * 10_000])
def test_other_versions_are_told_the_right_one(version: bytes) -> None:
    with pytest.raises(BadUpgrade) as bad:
        check(Sec_WebSocket_Version=version)
    assert bad.value.status == 426
    assert "Sec-WebSocket-Version: 13" in bad.value.headers


@pytest.mark.parametrize(
    ("offers", "subprotocol", "codec"),
    [
        ([b"fanwire.v1.json"], "fanwire.v1.json", JSON),
        ([b"fanwire.v1.msgpack"], "fanwire.v1.msgpack", MSGPACK),
        ([b"fanwire.v1.raw"], "fanwire.v1.raw", None),
        ([b"chat,fanwire.v1.msgpack , fanwire.v1.json"], "fanwire.v1.msgpack", MSGPACK),
        ([b"chat", b"fanwire.v1.json"], "fanwire.v1.json", JSON),
        ([b"fanwire.token.abc, fanwire.v1.json"], "fanwire.v1.json", JSON),
        # A token is no subprotocol, and never comes back.
        ([b"fanwire.token.abc"], None, None),
        ([b"FANWIRE.V1.JSON"], None, None),
        ([b"fanwire.v1.json;q=1"], None, None),
        ([b"fanwire.v2.json"], None, None),
        ([b"__proto__, constructor"], None, None),
        ([b",,, ,"], None, None),
        ([b""], None, None),
        ([b"," * 10_000 + b"fanwire.v1.json"], "fanwire.v1.json", JSON),
    ],
    ids=lambda value: str(getattr(value, "name", value))[:40],
)
def test_the_first_subprotocol_that_we_speak(offers: list[bytes], subprotocol: str | None, codec: object) -> None:
    upgrade = check(*((b"Sec-WebSocket-Protocol", offer) for offer in offers))
    assert (upgrade.subprotocol, upgrade.codec) == (subprotocol, codec)


@given(
    st.binary(max_size=20),
    st.lists(
        st.tuples(st.sampled_from([*HEAD, b"Origin", b"Content-Length", b"X"]), st.binary(max_size=30)), max_size=6
    ),
)
def test_no_head_is_more_than_bad(target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    try:
        upgrade = check_upgrade(Head(b"GET", target, "1.1", headers))
    except BadUpgrade as bad:
        status, back = bad.status, set(bad.headers)
    else:
        assert upgrade.key in [value for _, value in headers]
        return
    assert status in (400, 426)
    # What is sent back is ours alone.
    assert back <= {"Sec-WebSocket-Version: 13", "Upgrade: websocket"}
