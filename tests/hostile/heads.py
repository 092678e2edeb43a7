"""Request heads, right and wrong, alone and one behind another: strategies of hypothesis."""

from __future__ import annotations

from helpers.wire import KEY
from hypothesis import strategies as st

UPGRADE = [
    ("Host", "example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
]

starts = st.sampled_from([
    "GET / HTTP/1.1", "GET /a/b?session=x&received=3 HTTP/1.1", "GET /%00?token=secret&a=%zz HTTP/1.1",
    "GET /\u00e9 HTTP/1.1", "GET http://x/ HTTP/1.1", "GET * HTTP/1.1", "GET / HTTP/1.0", "GET / HTTP/2.0", "GET /",
    "POST /rooms/a HTTP/1.1", "CONNECT a:80 HTTP/1.1", "OPTIONS * HTTP/1.1", "PRI * HTTP/2.0", "get / HTTP/1.1",
    "GET  / HTTP/1.1", "GET / HTTP/1.1 ", "", "\r\n", "GET / HTTP/1.1\r\n folded",
    "GET /?session=x&received=\u0663 HTTP/1.1", "GET /?received=99999999999999999999&session= HTTP/1.1",
    "HEAD /healthz HTTP/1.1", "\x16\x03\x01\x02",
]) | st.text(max_size=20)  # fmt: skip

lines = st.sampled_from([
    *(f"{name}: {value}" for name, value in UPGRADE), "Content-Length: 0", "Content-Length: 5", "Content-Length: -1",
    "Content-Length: 99999999999999999999", "Transfer-Encoding: chunked", "Transfer-Encoding : chunked",
    "Host:", "Host: a b", "Transfer-Encoding: gzip, chunked", "Connection: close", "Connection: keep-alive, Upgrade",
    "Upgrade: h2c", "Upgrade:", "Expect: 100-continue", "Origin: https://example.com", "Origin: https://evil.org",
    "Origin: null", "Host: evil.org", "Authorization: Bearer good", "Authorization: Bearer bad", "Cookie: sid=good",
    "Sec-WebSocket-Protocol: fanwire.v1.json",
    "Sec-WebSocket-Protocol: a,, fanwire.v1.msgpack ,fanwire.token.good", "Sec-WebSocket-Version: 8",
    "Sec-WebSocket-Version: 13, 8", "Sec-WebSocket-Key: short", "Sec-WebSocket-Extensions: permessage-deflate",
    "X-Forwarded-For: 192.0.2.7, ::1%x, junk", "X-Forwarded-Proto: https", "X: \u00fc", "X: \x00", "X: \x7f", " folded",
    "no colon", ":", ": x", "X" * 300 + ": y", "Y: " + "y" * 300,
]) | st.text(max_size=20)  # fmt: skip
ends = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n"])


def _head(start: str, headers: list[str], end: str, last: str) -> bytes:
    return (end.join([start, *headers]) + end + last).encode("utf-8", errors="surrogatepass")


good_lines = [f"{name}: {value}" for name, value in UPGRADE]
harmless_starts = st.sampled_from([
    "GET / HTTP/1.1", "GET /a/b?session=x&received=3 HTTP/1.1", "GET /%00?token=secret&a=%zz HTTP/1.1",
    "GET /?received=99999999999999999999&session= HTTP/1.1", "GET /?session&token=bad&token=good HTTP/1.1",
])  # fmt: skip
harmless_lines = st.sampled_from([
    "Origin: https://example.com", "Authorization: Bearer good", "Authorization: Bearer bad", "Cookie: sid=good; sid",
    "Sec-WebSocket-Protocol: fanwire.v1.json", "Sec-WebSocket-Protocol: a,, fanwire.v1.msgpack ,fanwire.token.good",
    "Content-Length: 0", "X-Forwarded-For: 192.0.2.7, ::1%x, junk", "X-Forwarded-Proto: https", "X: " + "x" * 200,
    "Connection: keep-alive",
])  # fmt: skip
good_heads = st.builds(
    lambda start, more, at: _head(start, good_lines[:at] + more + good_lines[at:], "\r\n", "\r\n"),
    harmless_starts,
    st.lists(harmless_lines, max_size=4),
    st.integers(0, len(good_lines)),
)
# An upgrade with some lines more, or fewer.
near_heads = st.builds(
    lambda start, more, missing, end: _head(
        start, [line for n, line in enumerate(good_lines) if n != missing] + more, end, "\r\n"
    ),
    harmless_starts | starts,
    st.lists(harmless_lines | lines, max_size=3),
    st.integers(0, 10),
    st.just("\r\n") | ends,
)
plain_heads = st.builds(
    lambda start, more: _head(start, ["Host: example.com", *more], "\r\n", "\r\n"),
    harmless_starts | st.just("POST /rooms/a HTTP/1.1"),
    st.lists(harmless_lines | lines, max_size=2),
)
wild_heads = st.builds(_head, starts, st.lists(lines, max_size=6), ends, ends)
bodies = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nUpgrade: websocket\r\n\r\n", b"zz\r\n", b"hello"]
    ),
)
heads = st.one_of(good_heads, near_heads, plain_heads, wild_heads)


def _changed(data: bytes, place: float, how: int, with_what: bytes) -> bytes:
    at = int(place * len(data))
    return [
        data,
        data,
        data,
        data[:at],
        data[:at] + with_what + data[at:],
        data[:at] + with_what + data[at + len(with_what) :],
    ][how]


whole = st.one_of(
    st.builds(lambda head, body: head + body, heads, bodies),
    # One request behind another.
    st.builds(lambda first, body, second: first + body + second, heads, bodies | st.just(b""), heads),
    st.binary(max_size=60),
)
inputs = st.builds(_changed, whole, st.floats(0, 1), st.integers(0, 5), st.binary(min_size=1, max_size=3))

PIPELINED = b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + _head(
    "GET /x HTTP/1.1", good_lines, "\r\n", "\r\n"
)
