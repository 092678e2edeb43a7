"""Requests as they should not be (RFC 6455 section 4, RFC 9110, RFC 9112), and how they are answered."""

from __future__ import annotations

import gzip
from typing import NamedTuple

from helpers.wire import KEY, request


class Head(NamedTuple):
    """A row: bytes from the first on, and the status that they are answered with."""

    name: str
    data: bytes
    status: int

    def __repr__(self) -> str:
        return self.name


def head(changes: dict[str, str | None] | None = None, *lines: str, path: str = "/") -> bytes:
    """An upgrade; None takes a header out, `lines` come after them as they are."""
    return request(path, changes, *lines)


def line(first: bytes) -> bytes:
    """An upgrade with another first line."""
    return head().replace(b"GET / HTTP/1.1", first, 1)


def raw(text: bytes) -> bytes:
    """An upgrade with bytes as they are among its headers."""
    return head().replace(b"Upgrade: websocket\r\n", b"Upgrade: websocket\r\n" + text, 1)


def plain(first: str, *lines: str) -> bytes:
    """A request that is no upgrade."""
    return "\r\n".join([f"{first} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


FIRST_LINES = [
    *(Head(f"{method} with an upgrade", line(f"{method} / HTTP/1.1".encode()), 400) for method in (
        "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "HEAD", "PATCH", "PROPFIND",
    )),
    Head("CONNECT with an upgrade", line(b"CONNECT localhost:80 HTTP/1.1"), 400),
    Head("a method that nobody knows", line(b"FROB / HTTP/1.1"), 400),
    Head("a method in lower case", line(b"get / HTTP/1.1"), 400),
    Head("a method with a NUL", line(b"G\0T / HTTP/1.1"), 400),
    Head("a method without end", line(b"GET" * 3000 + b" / HTTP/1.1"), 400),
    Head("no method", line(b" / HTTP/1.1"), 400),
    Head("HTTP/1.0", line(b"GET / HTTP/1.0"), 400),
    Head("HTTP/0.9", line(b"GET /"), 400),
    Head("HTTP/1.2", line(b"GET / HTTP/1.2"), 400),
    Head("HTTP/2.0", line(b"GET / HTTP/2.0"), 400),
    Head("HTTP/9.9", line(b"GET / HTTP/9.9"), 400),
    Head("HTTP/1.10", line(b"GET / HTTP/1.10"), 400),
    Head("HTTP/01.1", line(b"GET / HTTP/01.1"), 400),
    Head("HTTP/-1.1", line(b"GET / HTTP/-1.1"), 400),
    Head("HTTP in lower case", line(b"GET / http/1.1"), 400),
    Head("HTPP/1.1", line(b"GET / HTPP/1.1"), 400),
    Head("RTSP/1.0", line(b"GET / RTSP/1.0"), 400),
    Head("something after the version", line(b"GET / HTTP/1.1 x"), 400),
    Head("absolute target", line(b"GET http://localhost/ HTTP/1.1"), 400),
    Head("absolute target of another host", line(b"GET http://evil.org/ HTTP/1.1"), 400),
    Head("target *", line(b"GET * HTTP/1.1"), 400),
    Head("target without a slash", line(b"GET a HTTP/1.1"), 400),
    Head("no target", line(b"GET  HTTP/1.1"), 400),
    Head("target with a space", line(b"GET /a b HTTP/1.1"), 400),
    Head("target with a tab", line(b"GET /a\tb HTTP/1.1"), 400),
    Head("target with a NUL", line(b"GET /a\0b HTTP/1.1"), 400),
    Head("target with a DEL", line(b"GET /a\x7fb HTTP/1.1"), 400),
    Head("target with a CR", line(b"GET /a\rb HTTP/1.1"), 400),
    Head("target with a LF and a header", line(b"GET /a\nSet-Cookie:x HTTP/1.1"), 400),
    Head("target in Latin-1", line("GET /\u00e9 HTTP/1.1".encode("latin-1")), 400),
    Head("target in UTF-8", line("GET /\u20ac HTTP/1.1".encode()), 400),
    Head("target that is no UTF-8", line(b"GET /\xff\xfe HTTP/1.1"), 400),
    Head("query in UTF-8", line("GET /?q=\u20ac HTTP/1.1".encode()), 400),
    Head("target of 20 KB", line(b"GET /" + b"x" * 20_000 + b" HTTP/1.1"), 431),
    Head("query of 20 KB", line(b"GET /?" + b"x" * 20_000 + b" HTTP/1.1"), 431),
]  # fmt: skip

HANDSHAKE = [
    *(Head(f"version {version[:12]!r}", head({"Sec-WebSocket-Version": version}), 426) for version in (
        "8", "7", "0", "12", "14", "130", "013", "-13", "13.0", "13, 8", "8, 13", "0x0d", "hybi-13", "255", "9" * 5000,
    )),
    Head("no version", head({"Sec-WebSocket-Version": None}), 400),
    Head("version twice", head({}, "Sec-WebSocket-Version: 13"), 400),
    Head("version 13 and 8", head({}, "Sec-WebSocket-Version: 8"), 400),
    Head("no key", head({"Sec-WebSocket-Key": None}), 400),
    Head("key twice", head({}, f"Sec-WebSocket-Key: {KEY}"), 400),
    Head("key twice, in another case", head({}, f"SEC-WEBSOCKET-KEY: {KEY}"), 400),
    *(Head(f"key {key[:24]!r} of {len(key)}", head({"Sec-WebSocket-Key": key}), 400) for key in (
        "", "x", "***", "AAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", KEY[:-1], KEY[:-2], KEY + "=",
        KEY + KEY, KEY[:8] + " " + KEY[8:], "-" + KEY[1:], "_" + KEY[1:], "A" * 10_000, f'"{KEY}"',
    )),
]  # fmt: skip

HOSTS = [
    Head("no Host", head({"Host": None}), 400),
    Head("Host twice", head({}, "Host: localhost"), 400),
    Head("two Hosts", head({}, "Host: evil.org"), 400),
    *(Head(f"Host {host[:24]!r}", head({"Host": host}), 400) for host in (
        "", " ", "a b", "localhost, evil.org", "localhost@evil.org", "user:pw@localhost", "localhost:", "localhost:x",
        "localhost:123456", "localhost:80:80", "localhost/", "http://localhost", "[::1", "::1", "*", "x" * 10_000,
        "localhost%00", "localhost#", "localhost?",
    )),
    *(Head(f"Host {host!r}", head({"Host": host}), 421) for host in (
        "evil.org", "localhost.evil.org", "evil-localhost", "localhost.", "xn--localhost", "127.0.0.2", "[::1]", "0",
        "127.1", "2130706433", "0x7f.0.0.1", "LOCALHOST.EVIL.ORG:80",
    )),
    Head("X-Forwarded-Host is nobody's business", head({"Host": "evil.org"}, "X-Forwarded-Host: localhost"), 421),
]  # fmt: skip

BODIES = [
    Head("a body", head({"Content-Length": "5"}) + b"hello", 400),
    Head("a body that does not come", head({"Content-Length": "5"}), 400),
    Head("a body of an exabyte", head({"Content-Length": "1152921504606846976"}), 400),
    *(Head(f"Content-Length {length[:24]!r}", head({"Content-Length": length}), 400) for length in (
        "", "-1", "+0", "-0", "0x0", "0, 0", "0 0", "00", "0.0", "zero", "0;x", "9" * 40, "18446744073709551616",
    )),
    Head("Content-Length twice", head({"Content-Length": "0"}, "Content-Length: 0"), 400),
    Head("Content-Length 0 and 5", head({"Content-Length": "0"}, "Content-Length: 5") + b"hello", 400),
    Head("chunked", head({"Transfer-Encoding": "chunked"}) + b"0\r\n\r\n", 400),
    Head("chunked and Content-Length", head({"Transfer-Encoding": "chunked", "Content-Length": "0"}), 400),
    Head("chunked twice", head({"Transfer-Encoding": "chunked"}, "Transfer-Encoding: chunked"), 400),
    *(Head(f"Transfer-Encoding {coding!r}", head({"Transfer-Encoding": coding}), 400) for coding in (
        "", "identity", "gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "xchunked", "CHUNKED",
        "chunked;x", "\tchunked", "chunked\t",
    )),
    Head("Transfer-Encoding with a vertical tab", raw(b"Transfer-Encoding: \x0bchunked\r\n"), 400),
    Head("Transfer-Encoding with a space before its colon", raw(b"Transfer-Encoding : chunked\r\n"), 400),
    Head("Transfer-Encoding behind a fold", raw(b"X: y\r\n Transfer-Encoding: chunked\r\n"), 400),
    Head("a chunked body with a wrong size", head({"Transfer-Encoding": "chunked"}) + b"zz\r\n\r\n", 400),
]  # fmt: skip

LINES = [
    Head("folded with a space", head({}, " folded: x"), 400),
    Head("folded with a tab", head({}, "\tfolded: x"), 400),
    Head("a line of spaces", head({}, "   "), 400),
    Head("space before the colon", head({}, "Space : x"), 400),
    Head("tab before the colon", head({}, "Tab\t: x"), 400),
    Head("no colon", head({}, "no colon"), 400),
    Head("no name", head({}, ": x"), 400),
    Head("only a colon", head({}, ":"), 400),
    *(Head(f"a name with {char!r}", raw(b"X" + char + b"Y: z\r\n"), 400) for char in (
        b"\0", b"\x01", b"\x7f", b"\x80", b"\xff", b"\xc3\xa9", b'"', b"(", b",", b"/", b";", b"=", b"@", b"[", b"{",
    )),
    *(Head(f"a value with {char!r}", raw(b"X: y" + char + b"z\r\n"), 400) for char in (
        b"\0", b"\x01", b"\x08", b"\x0b", b"\x0c", b"\x1b", b"\x7f", b"\r", b"\n",
    )),
    Head("bare LFs", head().replace(b"\r\n", b"\n"), 400),
    Head("bare CRs", head().replace(b"\r\n", b"\r"), 400),
    Head("LFCRs", head().replace(b"\r\n", b"\n\r"), 400),
    Head("one bare LF", head().replace(b"\r\nUpgrade", b"\nUpgrade"), 400),
    Head("a bare LF at the end", head()[:-4] + b"\n\n", 400),
    Head("CRCRLF", head().replace(b"\r\nUpgrade", b"\r\r\nUpgrade"), 400),
    Head("a header split by a value", head({"X": "y\r\nHost: evil.org"}), 400),
    Head("a header of 20 KB", head({"X-Long": "x" * 20_000}), 431),
    Head("a name of 20 KB", head({}, "x" * 20_000 + ": y"), 431),
    Head("cookies of 20 KB", head({"Cookie": "a=b; " * 4000}), 431),
    Head("101 more headers", head({f"X-{number}": "y" for number in range(101)}), 431),
    Head("3000 headers", head({}, *["X:"] * 3000), 431),
    Head("the same header 150 times", head({}, *["X-Same: y"] * 150), 431),
    Head("a subprotocol that is not ASCII", head({"Sec-WebSocket-Protocol": "\u00ff\u0080"}), 400),
    Head("a token offer that is not ASCII", head({"Sec-WebSocket-Protocol": "fanwire.token.\u00e9"}), 400),
    Head("extensions that are not ASCII", head({"Sec-WebSocket-Extensions": "\u00e9"}), 400),
    Head("an origin that is not ASCII", head({"Origin": "https://\u00e9.org"}), 400),
]  # fmt: skip

TWICE = [
    Head("Origin twice", head({"Origin": "https://a.org"}, "Origin: https://a.org"), 400),
    Head("two Origins", head({"Origin": "https://a.org"}, "ORIGIN: https://evil.org"), 400),
    Head("Authorization twice", head({"Authorization": "Bearer a"}, "Authorization: Bearer b"), 400),
    Head("Upgrade twice", head({}, "Upgrade: websocket"), 400),
    Head("Upgrade to two", head({}, "Upgrade: h2c"), 400),
    Head("X-Forwarded-Proto twice", head({"X-Forwarded-Proto": "https"}, "X-Forwarded-Proto: http"), 400),
]

STRANGERS = [
    Head("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), 400),
    Head("SSH", b"SSH-2.0-OpenSSH_9.6\r\n", 400),
    Head("SMTP", b"EHLO evil.org\r\n", 400),
    Head("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 400),
    Head("SOCKS", b"\x05\x01\x00", 400),
    Head("PROXY protocol", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + head(), 400),
    Head("PROXY protocol, version 2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + head(), 400),
    Head("Redis", b"*1\r\n$4\r\nPING\r\n", 400),
    Head("a frame", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 400),
    Head("zeros", bytes(64), 400),
    Head("ones", b"\xff" * 64, 400),
    Head("letters without end", b"A" * 20_000, 400),
    Head("a word", b"GET\r\n\r\n", 400),
    Head("a response", b"HTTP/1.1 200 OK\r\n\r\n", 400),
    Head("empty lines without end", b"\r\n" * 10_000, 431),
    Head("JSON", b'{"type":"join"}\r\n\r\n', 400),
]

REFUSED = [*FIRST_LINES, *HANDSHAKE, *HOSTS, *BODIES, *LINES, *TWICE, *STRANGERS]

ODD = [
    Head("an upgrade as it should be", head(), 101),
    Head("the order of Firefox", head({"Connection": "keep-alive, Upgrade"}), 101),
    Head("Upgrade in capitals", head({"Upgrade": "WEBSOCKET", "Connection": "UPGRADE"}), 101),
    Head("two headers Connection", head({"Connection": "keep-alive"}, "Connection: Upgrade"), 101),
    Head("an empty body", head({"Content-Length": "0"}), 101),
    Head("an empty line before", b"\r\n" + head(), 101),
    Head("Expect", head({"Expect": "100-continue"}), 101),
    Head("Host in capitals with a port", head({"Host": "LOCALHOST:1"}), 101),
    Head("names of one letter", head({}, "a:b", "c:", "d: e"), 101),
    Head("spaces around values", head({"X": "   y   "}), 101),
    Head("deflate", head({"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}), 101),
    Head("deflate twice",
         head({"Sec-WebSocket-Extensions": "permessage-deflate"},
              "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8"), 101),
    Head("deflate with a window of nothing",
         head({"Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits=0"}), 101),
    Head("deflate with a parameter twice",
         head({"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits; client_max_window_bits"}), 101),
    Head("extensions called as prototypes", head({"Sec-WebSocket-Extensions": "constructor; __proto__=1"}), 101),
    Head("an extension that does not end", head({"Sec-WebSocket-Extensions": 'x; y="' + "\\" * 8000}), 101),
    Head("subprotocols called as prototypes", head({"Sec-WebSocket-Protocol": "__proto__, constructor"}), 101),
    Head("subprotocols of commas", head({"Sec-WebSocket-Protocol": "," * 8000}), 101),
    Head("subprotocols of spaces", head({"Sec-WebSocket-Protocol": "a" + " " * 8000 + "b"}), 101),
    Head("5000 subprotocols", head({"Sec-WebSocket-Protocol": "a, " * 5000}), 101),
    Head("cookies of 15 KB", head({"Cookie": "a=b; " * 3000}), 101),
    Head("a cookie of backslashes", head({"Cookie": 'sid="' + "\\" * 8000 + '"'}), 101),
    Head("a query of 15 KB", head(path="/?" + "&" * 15_000), 101),
    Head("a query of percents", head(path="/?" + "%" * 15_000), 101),
    Head("a query of NULs", head(path="/?a=%00%00&%00=%00"), 101),
    Head("a query that is no UTF-8", head(path="/?a=%ff%fe&session=%ff&token=%ff"), 101),
    *(Head(f"a value with {char!r}", raw(b"X: y" + char + b"z\r\n"), 101) for char in (
        b"\x80", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\xc0\x80",
    )),
    Head("a value in Latin-1", head({"CF-IPCity": "Z\u00fcrich"}), 101),
    Head("a value in UTF-8", raw("CF-IPCity: Z\u00fcrich\r\n".encode()), 101),
    Head("a cookie that is not ASCII", head({"Cookie": "a=\u00e9"}), 101),
    Head("a bearer that is not ASCII, where nobody asks for one", head({"Authorization": "Bearer \u00e9"}), 101),
    Head("80 more headers", head({f"X-{number}": "y" for number in range(80)}), 101),
    Head("proxies of nobody's", head({"X-Forwarded-For": "1.1.1.1, 2.2.2.2", "Forwarded": "for=1.1.1.1"}), 101),
    Head("X-Forwarded-For of 15 KB", head({"X-Forwarded-For": "1.1.1.1," * 1900}), 101),
]  # fmt: skip
"""What a client may well send: it is let in, and nothing is agreed that the server does not speak."""

HALF = [
    Head("Proxy-Connection", head({"Connection": None}, "Proxy-Connection: upgrade"), 404),
    Head("CONNECT", line(b"CONNECT / HTTP/1.1").replace(b"Connection: Upgrade\r\n", b""), 404),
    Head("CONNECT and Connection", line(b"CONNECT / HTTP/1.1"), 400),
    Head("HTTP/1.0", line(b"GET / HTTP/1.0"), 400),
    Head("white space behind the value", head({"Upgrade": "websocket \t"}), 101),
    Head("white space behind the token", head({"Connection": "Upgrade\t"}), 101),
    Head("two offers", head({}, "Upgrade: h2c"), 400),
    Head("two words", head({"Connection": "keep-alive upgrade"}), 404),
    Head("absolute target", line(b"GET http://localhost/ HTTP/1.1"), 400),
    Head("absolute target of another host", line(b"GET http://evil.org/ HTTP/1.1"), 400),
    Head("a fragment", line(b"GET /#x HTTP/1.1"), 400),
]
"""What httptools and the engine may see differently; it makes no difference which request of a connection it is."""

KEYED = {"Upgrade": None, "Authorization": "Bearer secret"}

HTTP = [
    Head("no Upgrade", head({"Upgrade": None}), 404),
    Head("no Connection", head({"Connection": None}), 404),
    Head("Connection without it", head({"Connection": "keep-alive"}), 404),
    Head("Upgrade to something else", head({"Upgrade": "h2c"}), 404),
    Head("Upgrade to a list", head({"Upgrade": "websocket, h2c"}), 404),
    Head("Upgrade to websockets", head({"Upgrade": "websockets"}), 404),
    Head("healthz and a value in Latin-1", head({"Upgrade": None, "CF-IPCity": "Z\u00fcrich"}, path="/healthz"), 200),
    Head("healthz and a cookie in Latin-1", head({"Upgrade": None, "Cookie": "a=\u00fc"}, path="/healthz"), 200),
    Head("no Upgrade, of a room", head({"Upgrade": None, "Accept": "text/html"}, path="/rooms/a"), 426),
    Head("metrics without a key", head({"Upgrade": None}, path="/metrics"), 401),
    *(Head(f"metrics with {shown!r}", head({"Upgrade": None, "Authorization": shown}, path="/metrics"), 401)
      for shown in ("Bearer x", "Bearer secre", "Bearer secretsecret", "Basic secret", "Bearer \u00e9", "Bearer")),
    Head("metrics with the key in the query", head({"Upgrade": None}, path="/metrics?token=secret"), 401),
    Head("metrics in a format of nonsense",
         head({**KEYED, "Accept": "application/openmetrics-text;version=x;escaping=y,,;=,*/*;q=z"}, path="/metrics"),
         200),
    Head("a path out of the root", head({"Upgrade": None}, path="/../../etc/passwd"), 404),
    Head("a path of percents", head({"Upgrade": None}, path="/%2e%2e/%00/%ff"), 404),
    Head("healthz by an absolute target", plain("GET http://localhost/healthz"), 200),
    Head("healthz by one of another host", plain("GET http://evil.org/healthz"), 400),
    Head("healthz with a fragment", plain("GET /healthz#x"), 400),
    Head("healthz with a body", plain("GET /healthz", "Content-Length: 2") + b"hi", 200),
    Head("POST without a key", plain("POST /rooms/a", "Content-Length: 2") + b"hi", 401),
    Head("POST of 100 MB without a key", plain("POST /rooms/a", "Content-Length: 104857600") + b"hi", 401),
    Head("POST somewhere", plain("POST /any", "Content-Length: 2") + b"hi", 404),
    Head("DELETE of a room", plain("DELETE /rooms/a"), 405),
]  # fmt: skip
"""What is no upgrade, and the HTTP side's to answer."""


def post(body: bytes, *lines: str, name: str = "hostile", length: int | None = None) -> bytes:
    """A publish by HTTP with the right key."""
    size = len(body) if length is None else length
    return plain(f"POST /rooms/{name}", "Authorization: Bearer secret", *lines, f"Content-Length: {size}") + body


JSON, TEXT = "Content-Type: application/json", "Content-Type: text/plain"

POSTS = [
    Head("a publish as it should be", post(b"hi", TEXT), 200),
    Head("a text that is no UTF-8", post(b"\xff", TEXT), 400),
    Head("JSON that is none", post(b"{", JSON), 400),
    Head("JSON that breaks out of its document", post(b'1},"x":{', JSON), 400),
    Head("JSON twice", post(b"1 2", JSON), 400),
    Head("JSON: NaN", post(b"NaN", JSON), 400),
    Head("JSON: too deep", post(b"[" * 100_000, JSON), 400),
    Head("JSON: a lone surrogate", post(b'"\\ud800"', JSON), 400),
    Head("JSON that is no UTF-8", post(b'"\xff"', JSON), 400),
    Head("JSON: nothing", post(b"", JSON), 400),
    Head("a name of 256 bytes", post(b"hi", name="x" * 256), 400),
    Head("a name that is no UTF-8", post(b"hi", name="%FF%FE"), 400),
    Head("a name of surrogates", post(b"hi", name="%ED%A0%80"), 400),
    Head("a name of control characters", post(b"hi", name="a%00%0d%0ab"), 400),
    Head("a name of a pattern", post(b"hi", name="*"), 400),
    Head("a key though the room has none", post(b"hi", name="hostile?key=a"), 400),
    Head("a key that is no UTF-8", post(b"hi", name="hostile?key=%FF"), 400),
    Head("more than a message may have", post(bytes(2 << 20)), 413),
    Head("more announced than a message may have", post(b"hi", length=100 << 20), 413),
    *(Head(f"a body in {coding}", post(body, f"Content-Encoding: {coding}"), 415) for coding, body in (
        ("gzip", gzip.compress(bytes(200 << 20), 1)), ("gzip", b"\x1f\x8b"), ("deflate", b"\xff" * 10), ("br", b"x"),
    )),
]  # fmt: skip
"""What a publisher with a key does wrong."""


class Pipelined(NamedTuple):
    """A row: an upgrade behind another request, and the answers; only those that are waited for."""

    name: str
    data: bytes
    statuses: tuple[int, ...]

    def __repr__(self) -> str:
        return self.name


CHUNKED = "Transfer-Encoding: chunked"

PIPELINED = [
    Pipelined("behind a health check", plain("GET /healthz") + head(), (200, 101)),
    Pipelined("behind one that nobody has", plain("GET /x") + head(), (404, 101)),
    Pipelined("behind one without a Host", b"GET /x HTTP/1.1\r\n\r\n" + head(), (400,)),
    Pipelined("behind another's credentials", plain("GET /x", "Authorization: Bearer another") + head(), (404, 101)),
    Pipelined("behind a room", plain("GET /rooms/a", "Accept: text/html") + head(), (426, 101)),
    Pipelined("before a room", plain("GET /x") + head(path="/rooms/a"), (404, 101)),
    Pipelined("behind an upgrade to something else",
              plain("GET /x", "Connection: upgrade", "Upgrade: h2c") + head(), (404, 101)),
    Pipelined("behind a POST with a body", plain("POST /x", "Content-Length: 2") + b"hi" + head(), (404, 101)),
    Pipelined("within the body of a POST", plain("POST /x", f"Content-Length: {len(head())}") + head(), (404,)),
    Pipelined("behind a chunked POST", plain("POST /x", CHUNKED) + b"2\r\nhi\r\n0\r\n\r\n" + head(), (404, 101)),
    Pipelined("behind a trailer", plain("POST /x", CHUNKED) + b"0\r\nUpgrade: websocket\r\n\r\n" + head(), (404, 101)),
    Pipelined("behind the end of the connection", plain("GET /x", "Connection: close") + head(), (404,)),
    Pipelined("of another version", plain("GET /x") + head({"Sec-WebSocket-Version": "8"}), (404, 426)),
]  # fmt: skip
