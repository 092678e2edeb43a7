"""The check of an upgrade, as a table (RFC 6455 section 4.2.1); the door itself is tested over real sockets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanwire.gateway.front_door import _Bad, check_upgrade

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HEAD = {b"Host": b"x", b"Sec-WebSocket-Version": b"13", b"Sec-WebSocket-Key": KEY}


def check(
    *more: tuple[bytes, bytes],
    method: bytes = b"GET",
    version: str = "1.1",
    target: bytes = b"/",
    **changed: bytes | None,
) -> bytes:
    replaced = {name.replace("_", "-").encode(): value for name, value in changed.items()}
    headers = [(name, value) for name, value in {**HEAD, **replaced}.items() if value is not None]
    return check_upgrade(method, version, target, [*headers, *more])


def status(**arguments: object) -> int:
    more = arguments.pop("more", ())
    with pytest.raises(_Bad) as bad:
        check(*more, **arguments)  # type: ignore[misc,arg-type]
    return bad.value.status.value


def test_a_good_one_gives_its_key() -> None:
    assert check() == KEY
    assert check((b"Origin", b"https://a"), (b"Content-Length", b"0"), (b"X", b"1"), (b"X", b"2")) == KEY
    lower = [(name.lower(), value) for name, value in HEAD.items()]
    assert check_upgrade(b"GET", "1.1", b"/a?b", lower) == KEY


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": b"POST"},
        {"method": b"get"},
        {"version": "1.0"},
        {"version": "2.0"},
        {"target": "/\u00e9".encode()},
        {"Host": None},
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
        {"more": [(b"Transfer-Encoding", b"chunked")]},
        {"more": [(b"Transfer-Encoding", b"identity")]},
        {"more": [(b"Content-Length", b"1")]},
        {"more": [(b"Content-Length", b"00")]},
        {"more": [(b"Content-Length", b"0"), (b"Content-Length", b"0")]},
        {"more": [(b"Origin", b"a"), (b"Origin", b"a")]},
        {"more": [(b"X", b"\xff")]},
        {"more": [(b"Sec-WebSocket-Protocol", "\u00fc".encode())]},
    ],
    ids=str,
)
def test_bad_ones(arguments: dict[str, object]) -> None:
    assert status(**arguments) == 400


@pytest.mark.parametrize("version", [b"8", b"12", b"14", b"013", b"13, 8", b""])
def test_other_versions_are_told_the_right_one(version: bytes) -> None:
    with pytest.raises(_Bad) as bad:
        check(Sec_WebSocket_Version=version)
    assert bad.value.status == 426
    assert "Sec-WebSocket-Version: 13" in bad.value.headers


@given(
    st.binary(max_size=20),
    st.lists(
        st.tuples(st.sampled_from([*HEAD, b"Origin", b"Content-Length", b"X"]), st.binary(max_size=30)), max_size=6
    ),
)
def test_no_head_is_more_than_bad(target: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    try:
        key = check_upgrade(b"GET", "1.1", target, headers)
    except _Bad as bad:
        status, back = bad.status, set(bad.headers)
    else:
        assert key in [value for _, value in headers]
        return
    assert status in (400, 426)
    # What is sent back is ours alone.
    assert back <= {"Sec-WebSocket-Version: 13", "Upgrade: websocket"}
