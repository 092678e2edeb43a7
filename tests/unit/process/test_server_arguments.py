"""Arguments of a server: each is checked when it is given, and an error names it."""

from __future__ import annotations

import functools
import ssl
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette

import fanwire
from fanwire.listening.listeners import Inherited, Place, Tcp, Unix
from fanwire.process.server_arguments import NOT_GIVEN, ServerArguments, checked_host, checked_origin
from fanwire.sessions.store import MemoryStore


def server(**given: Any) -> fanwire.Server:
    return fanwire.Server(**{"insecure": "authenticate" not in given, **given})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"host": 127}, "host must be a str, got 127"),
        ({"port": "8000"}, "port must be a whole number, got '8000'"),
        ({"port": 8000.0}, "port must be a whole number, got 8000.0"),
        ({"port": True}, "port must be a whole number, got True"),
        ({"unix": 7}, "unix must be a str, got 7"),
        ({"unix": b"/run/x.sock"}, "unix must be a str"),
        ({"unix": "/run/x.sock", "unix_mode": "660"}, "unix_mode must be a whole number, got '660'"),
        ({"fd": 3.0}, "fd must be a whole number"),
        ({"fd": True}, "fd must be a whole number, got True"),
        ({"proxy_protocol": "yes", "trusted_proxies": ["unix"]}, "proxy_protocol must be True or False"),
        ({"authenticate": "ann"}, "authenticate must be a function, got 'ann'"),
        ({"authenticate": fanwire.Refused}, "authenticate must be a function, got the class Refused"),
        ({"authorize": True}, "authorize must be a function, got True"),
        ({"insecure": "true"}, "insecure must be True or False, got 'true'"),
        ({"insecure": 1}, "insecure must be True or False, got 1"),
        ({"origins": "https://example.com"}, "origins must be a list of str, .*: wrap it in a list"),
        ({"hosts": "example.com"}, "hosts must be a list of str, .*: wrap it in a list"),
        ({"trusted_proxies": "10.0.0.0/8"}, "trusted_proxies must be a list of str, .*: wrap it in a list"),
        ({"api_keys": "secret"}, "api_keys must be a list of str, got str alone: wrap it in a list"),
        ({"api_keys": b"secret"}, "api_keys must be a list of str, got bytes alone: wrap it in a list"),
        ({"api_keys": {"feed": "secret"}}, "api_keys must be a list of str, got dict"),
        ({"api_keys": [b"secret"]}, "api_keys must be a list of str, got bytes among its items"),
        ({"api_keys": None}, "api_keys must be a list of str, got NoneType"),
        ({"origins": [None]}, "origins must be a list of str"),
        ({"hosts": 7}, "hosts must be a list of str, got 7"),
        ({"trusted_proxies": None}, "trusted_proxies must be a list of str, got None"),
        ({"tls": True}, r"tls must be a fanwire.TLS\(certificate, key\), got True"),
        (
            {"tls": ("cert.pem", "key.pem")},
            r"tls must be a fanwire.TLS\(certificate, key\), got an object of type tuple",
        ),
        ({"tls": fanwire.TLS}, r"tls must be a fanwire.TLS\(certificate, key\), got the class TLS"),
        ({"sessions": {}}, "sessions must be a SessionStore with save, load and delete"),
        ({"sessions": MemoryStore}, "sessions must be a SessionStore with save, load and delete, got the class"),
        ({"backplane": "nats://localhost"}, "backplane must be a Backplane, got 'nats://localhost'"),
        ({"reuse_port": 1}, "reuse_port must be True or False, got 1"),
        ({"config": {"grace": 1}}, "config must be a fanwire.Config, got an object of type dict"),
        ({"config": fanwire.Config}, "config must be a fanwire.Config, got the class Config"),
        ({"prefix": None}, "prefix must be a str, got None"),
        ({"mount": 7}, "mount must be a str, got 7"),
        ({"app": "main:app"}, r"app must be an ASGI application such as FastAPI\(\) or Starlette\(\), got 'main:app'"),
        ({"app": Starlette}, "app must be an ASGI application"),
        ({"app": pytest.fail}, "app must be an ASGI application .*, called with scope, receive and send"),
        ({"app": True}, "app must be an ASGI application"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_arguments_of_the_wrong_type(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(TypeError, match=reason) as error:
        server(**given)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"host": ""}, "host must not be empty"),
        ({"host": "localhost:8000"}, "host must be a name or an address without a port, got 'localhost:8000'"),
        ({"host": "http://localhost"}, "host must be a name or an address"),
        ({"host": "*"}, "host must not be '\\*': use '::' for all addresses .* or '0.0.0.0'"),
        ({"host": "a b"}, "host must be a name or an address"),
        ({"port": -1}, "port must be at least 0, got -1"),
        ({"port": 65536}, "port must be at most 65535, got 65536"),
        ({"port": 99999}, "port must be at most 65535, got 99999"),
        ({"insecure": False}, "no client may connect"),
        ({"insecure": True, "authenticate": len}, "not both"),
        (
            {"origins": ["example.com"]},
            "origins must have the form 'https://example.com', without a path, got 'example.com'",
        ),
        ({"origins": ["https://example.com/"]}, "origins must have the form"),
        ({"origins": ["https://example.com/app"]}, "origins must have the form"),
        ({"origins": ["https://"]}, "origins must have the form"),
        ({"origins": ["https://a.com, https://b.com"]}, "origins must have the form"),
        ({"origins": ["*"]}, "leave out origins to accept all pages"),
        ({"origins": ["null"]}, "origins must have the form"),
        ({"origins": ["https://b\u00fccher.example"]}, "xn--"),
        ({"origins": [""]}, "origins must not contain an empty str"),
        ({"hosts": []}, "hosts must not be empty"),
        ({"hosts": ["example.com:443"]}, "hosts must be names such as 'example.com', .*, got 'example.com:443'"),
        ({"hosts": ["https://example.com"]}, "hosts must be names such as"),
        ({"hosts": ["example.com/x"]}, "hosts must be names such as"),
        ({"hosts": ["*.example.com"]}, "hosts must be names such as"),
        ({"hosts": ["[::1]:80"]}, "hosts must be names such as"),
        (
            {"trusted_proxies": ["proxy.example.com"]},
            "trusted_proxies must be addresses or networks, .*, or 'unix', not names",
        ),
        ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies must be addresses or networks"),
        ({"api_keys": [""]}, "an API key must not be empty"),
        ({"api_keys": ["secret one"]}, "each of api_keys must be 1 to 4096 printable ASCII characters"),
        ({"api_keys": ["secret\n"]}, "each of api_keys must be"),
        ({"api_keys": ["s\u00e9cret"]}, "each of api_keys must be"),
        ({"prefix": "rt"}, "prefix must be a path such as '/rt', got 'rt'"),
        ({"unix": ""}, "unix must not be empty"),
        ({"unix": "/run/\0x"}, "unix must be a path without NUL"),
        (
            {"unix": "/run/" + "x" * 120},
            "unix must have at most 10. bytes as an absolute path, .*, got 125$",
        ),
        ({"unix": "x.sock", "unix_mode": 660}, "unix_mode must be octal and at most 0o777, such as 0o660, got 660"),
        ({"unix": "x.sock", "unix_mode": -1}, "unix_mode must be at least 0"),
        ({"unix_mode": 0o660}, "unix_mode needs unix, the path of the Unix socket"),
        ({"fd": -1}, "fd must be at least 0, got -1"),
        ({"fd": "3"}, "fd must be the number of a file descriptor, or 'systemd', got '3'"),
        ({"fd": "launchd"}, "fd must be the number of a file descriptor, or 'systemd', got 'launchd'"),
        ({"unix": "x.sock", "fd": 3}, "unix and fd name two places to listen at: give one of them"),
        ({"unix": "x.sock", "port": 8000}, "port and unix name two places to listen at: give one of them"),
        ({"host": "::", "port": 1, "fd": 3}, "host and port and fd name two places to listen at: give one of them"),
        ({"fd": 3, "reuse_port": True}, "reuse_port can be used with host and port only, not with fd"),
        ({"unix": "x.sock", "reuse_port": True}, "reuse_port can be used with host and port only, not with unix"),
        ({"proxy_protocol": True}, "proxy_protocol needs trusted_proxies"),
        ({"mount": "fanwire"}, "mount must be a path such as '/rt', got 'fanwire'"),
        ({"mount": "/a?b", "app": Starlette()}, "mount must be a path"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_arguments_that_cannot_be_right(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        server(**given)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("given", [None, True, ssl.create_default_context(), ("a.pem", "a.key")], ids=type)
def test_whatever_is_given_as_ssl_the_error_says_what_to_write_instead(given: object) -> None:
    with pytest.raises(TypeError, match=r"tls=fanwire\.TLS\('fullchain\.pem', 'privkey\.pem'\)"):
        server(ssl=given)


def test_what_is_right() -> None:
    for host in ("127.0.0.1", "0.0.0.0", "::1", "::", "localhost", "my-host.example.com"):
        server(host=host)
    for keys in (["a" * 16], ("a" * 16, "b" * 16), {"a" * 16}, (key for key in ["a" * 16])):
        server(api_keys=keys)
    server(trusted_proxies=["unix"], proxy_protocol=True)
    server(tls=fanwire.TLS("chain.pem", Path("key.pem")))
    server(port=0, origins=[], hosts=("example.com",), trusted_proxies={"10.0.0.0/8", "::1"}, sessions=MemoryStore())


def test_keys_that_come_once_are_kept() -> None:
    given = ServerArguments.of(
        host="x", port=1, unix=None, unix_mode=None, fd=None, reuse_port=False, authenticate=None, authorize=None,
        insecure=True, origins=iter(["https://A.com:443"]), hosts=iter(["::1", "Example.com"]), trusted_proxies=(),
        proxy_protocol=False, tls=None, ssl=NOT_GIVEN, admin=None, api_keys=iter(["k"]), app=None, mount="/live/",
        prefix="/rt/", sessions=None, backplane=None, config=None,
    )  # fmt: skip
    assert given == (("https://a.com",), ("[::1]", "example.com"), (), ("k",), "/live", "/rt", Tcp("x", 1))


@pytest.mark.parametrize(
    ("given", "place", "host", "url"),
    [
        ({}, Tcp("127.0.0.1", 8000), "127.0.0.1", "ws://127.0.0.1:8000"),
        ({"host": "::1"}, Tcp("::1", 8000), "::1", "ws://[::1]:8000"),
        ({"port": 80, "reuse_port": True}, Tcp("127.0.0.1", 80, True), "127.0.0.1", "ws://127.0.0.1:80"),
        ({"unix": "/run/x.sock"}, Unix(Path("/run/x.sock")), None, "ws+unix:/run/x.sock"),
        ({"unix": Path("/x"), "unix_mode": 0o660}, Unix(Path("/x"), 0o660), None, "ws+unix:/x"),
    ],
)
def test_where_a_server_listens(given: dict[str, Any], place: Place, host: str | None, url: str) -> None:
    one = server(**given)
    assert (one._listeners.place, one.host, one.url) == (place, host, url)
    assert one.port == (place.port if isinstance(place, Tcp) else None)


@pytest.mark.parametrize(
    ("given", "place", "host"),
    [
        ({"fd": 0}, Inherited((0,)), None),
        ({"fd": "systemd"}, Inherited(None), None),
        ({"port": 0}, Tcp("127.0.0.1", 0), "127.0.0.1"),
    ],
)
def test_where_a_server_listens_may_be_known_only_after_its_start(
    given: dict[str, Any], place: Place, host: str | None
) -> None:
    one = server(**given)
    assert (one._listeners.place, one.host, one.port) == (place, host, None)
    with pytest.raises(fanwire.Closed, match="not known before the server has started"):
        _ = one.url


def test_a_path_stays_the_same_when_the_process_goes_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    one = server(unix="x.sock")
    monkeypatch.chdir("/")
    assert one.url == f"ws+unix:{tmp_path}/x.sock"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "ws://127.0.0.1:8000"),
        ({"app": Starlette()}, "ws://127.0.0.1:8000/fanwire"),
        ({"app": Starlette(), "mount": ""}, "ws://127.0.0.1:8000"),
        ({"app": Starlette(), "mount": "/"}, "ws://127.0.0.1:8000"),
        ({"app": FastAPI(), "mount": "/a/b/"}, "ws://127.0.0.1:8000/a/b"),
        ({"app": lambda scope, receive, send: None}, "ws://127.0.0.1:8000/fanwire"),
        ({"app": functools.partial(print, "x")}, "ws://127.0.0.1:8000/fanwire"),
        ({"mount": "/live"}, "ws://127.0.0.1:8000/live"),
    ],
)
def test_where_it_is_mounted(given: dict[str, Any], url: str) -> None:
    assert server(**given).url == url


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTPS://Example.COM", "https://example.com"),
        ("https://example.com:443", "https://example.com"),
        ("http://example.com:80", "http://example.com"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_origins_as_browsers_write_them(given: str, origin: str) -> None:
    assert checked_origin(given) == origin


@pytest.mark.parametrize(
    ("given", "host"), [("Example.com", "example.com"), ("[::1]", "[::1]"), ("::1", "[::1]"), ("10.0.0.1", "10.0.0.1")]
)
def test_hosts_as_they_are_compared(given: str, host: str) -> None:
    assert checked_host(given) == host


# What is declared of rooms and handlers.


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"pattern": 7}, "pattern must be a str, got 7"),
        ({"delivery": None}, "delivery must be a str, got None"),
        ({"max_keys": "10"}, "max_keys must be a whole number, got '10'"),
        ({"max_members": 1.5}, "max_members must be a whole number, got 1.5"),
        ({"history": True}, "history must be a whole number, got True"),
        ({"history_bytes": None}, "history_bytes must be a whole number, got None"),
        ({"history_age": "300"}, "history_age must be a number, got '300'"),
        ({"presence": "yes"}, "presence must be True or False, got 'yes'"),
        ({"join": 1}, "join must be a function, got 1"),
        ({"publish": ["ann"]}, "publish must be a function, got an object of type list"),
        ({"see_members": 0}, "see_members must be a function, got 0"),
        ({"see_history": 1.5}, "see_history must be a function, got 1.5"),
        ({"schema": 7}, "schema must be a type that msgspec or pydantic knows, got 7"),
        ({"schema": "Order"}, "schema must be a type that msgspec or pydantic knows, got 'Order'"),
        ({"snapshot": {}, "history": 1}, "snapshot must be a function, got an object of type dict"),
        ({"when_away": None}, "when_away must be a str, got None"),
        ({"compress": "yes"}, "compress must be True or False, got 'yes'"),
        ({"compress": None}, "compress must be True or False, got None"),
    ],
)
def test_settings_of_a_room_of_the_wrong_type(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        server().room(**{"pattern": "*", **given})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"pattern": ""}, "pattern must not be empty"),
        ({"pattern": "x" * 256}, "pattern must have at most 255 bytes of UTF-8, got 256"),
        ({"delivery": "fast"}, "delivery must be .*, got 'fast'"),
        ({"max_keys": 0}, "max_keys must be at least 1, got 0"),
        ({"max_members": -1}, "max_members must be at least 1, got -1"),
        ({"history": -1}, "history must be at least 0, got -1"),
        ({"history": 1 << 70}, "history must be at most "),
        ({"history_bytes": -1}, "history_bytes must be at least 0, got -1"),
        ({"history_age": 0}, "history_age must be more than 0, got 0"),
        ({"history_age": -1.0}, "history_age must be more than 0, got -1.0"),
        ({"history_age": float("nan")}, "history_age must be a number, got nan"),
        ({"history_age": float("inf")}, "history_age must be at most 1000000000, got inf"),
        ({"join": "everyone"}, "a rule must be .*, got 'everyone'"),
        ({"when_away": "x"}, 'when_away must be "wait" or "fail", got'),
        ({"snapshot": len}, "needs a history"),
    ],
)
def test_settings_of_a_room_that_cannot_be_right(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        server().room(**{"pattern": "*", **given})


@pytest.mark.parametrize("rule", ["join", "publish", "see_members", "see_history"])
def test_a_rule_is_no_coroutine_function(rule: str) -> None:
    async def later(connection: Any, room: str) -> bool:
        return False

    with pytest.raises(TypeError, match=f"{rule} must be a plain function, got a coroutine function"):
        server().room("*", **{rule: later})


HANDLERS = ["on_connect", "on_message", "on_disconnect", "on_join", "on_leave"]


@pytest.mark.parametrize("name", HANDLERS)
@pytest.mark.parametrize("handler", [None, "f", 7, {}, ValueError])
def test_a_handler_is_a_function(name: str, handler: Any) -> None:
    with pytest.raises(TypeError, match=rf"the handler for {name} must be a function, got "):
        getattr(server(), name)(handler)


def test_what_is_called_can_be_called_so() -> None:
    def nothing() -> None: ...
    def one(connection: Any) -> None: ...

    made = server()
    for name, decorate, wrong in [
        ("on_connect", made.on_connect, nothing), ("on_message", made.on_message, one),
        ("on_disconnect", made.on_disconnect, nothing), ("on_join", made.on_join, one),
        ("on_leave", made.on_leave, one),
        ("'order'", made.on("order"), one), ("the hook for 'a.*'", made.on_publish("a.*"), one),
        ("30 ticks a second", made.tick(30), nothing),
        ("snapshot", lambda wrong: made.room("s", snapshot=wrong), nothing),
        ("join", lambda wrong: made.room("j", join=wrong), one),
        ("authenticate", lambda wrong: fanwire.Server(port=0, authenticate=wrong), nothing),
        ("authorize", lambda wrong: fanwire.Server(port=0, insecure=True, authorize=wrong), one),
    ]:  # fmt: skip
        with pytest.raises(TypeError, match=rf"{name} must be a function of \([a-z, ]+\), got .*\.{wrong.__name__}\("):
            decorate(wrong)  # type: ignore[operator]  # each takes a function


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ((7,), TypeError, "type must be a str, got 7"),
        ((None,), TypeError, "type must be a str, got None"),
        ((len,), TypeError, "type must be a str, got "),
        (("",), ValueError, "type must not be empty"),
        (("x" * 65,), ValueError, "type must have at most 64 bytes of UTF-8, got 65"),
        (("join",), ValueError, "type must not be a type of the protocol, got 'join'"),
        (("order", 7), TypeError, "schema must be a type"),
        (("order", "Order"), TypeError, "schema must be a type"),
    ],
)
def test_types_of_messages(arguments: tuple[Any, ...], error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        server().on(*arguments)


def test_a_type_has_one_handler_which_is_a_function() -> None:
    made = server()
    first, second = made.on("order"), made.on("order")
    with pytest.raises(TypeError, match="the handler for 'order' must be a function, got 'f'"):
        first("f")
    first(print)
    with pytest.raises(ValueError, match="the server already has a handler for the type 'order'"):
        second(print)
