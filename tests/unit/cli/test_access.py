"""Whom the server of `fanwire serve` lets in: paths, keys and tokens."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from helpers.commands import run

from fanwire.cli.access import access, room_of
from fanwire.cli.settings import (
    JWTTable,
    ServerTable,
    Settings,
)
from fanwire.cli.settings_layers import read_settings
from fanwire.config import Config
from fanwire.errors import Refused
from fanwire.identity.identity import ANONYMOUS
from fanwire.identity.request import Request

SESSION = [(b"Sec-WebSocket-Protocol", b"other, fanwire.v1.json")]


PLAIN: list[tuple[bytes, bytes]] = []


def ask(settings: Settings, target: bytes = b"/rooms/a", headers: list[tuple[bytes, bytes]] = PLAIN) -> Any:
    """Who the server of these settings says that somebody is."""
    lines = b"\r\n".join(name + b": " + value for name, value in headers)
    return asyncio.run(access(settings)(Request(target, lines, "", False)))


def with_keys(*keys: str, insecure: bool = False) -> Settings:
    return Settings(server=ServerTable(api_keys=list(keys), insecure=insecure))


@pytest.mark.parametrize(
    ("target", "room"),
    [
        (b"/rooms/prices", "prices"),
        (b"/rooms/prices?token=x", "prices"),
        (b"/rooms/a%2Fb-%C3%BC", "a/b-ü"),
        (b"/rooms/" + b"x" * 255, "x" * 255),
    ],
)
def test_the_path_names_the_room(target: bytes, room: str) -> None:
    assert room_of(Request(target, b"", "", False), Config()) == room
    assert ask(with_keys(insecure=True), target) is ANONYMOUS


@pytest.mark.parametrize(
    "target", [b"/", b"/rooms", b"/rooms/", b"/Rooms/a", b"/x/rooms/a", b"/rooms/" + b"%C3%BC" * 128, b"/rooms/a%20b"]
)
def test_any_other_path_is_not_found(target: bytes) -> None:
    with pytest.raises(Refused) as refused:
        ask(with_keys(insecure=True), target)
    assert refused.value.status == 404


@pytest.mark.parametrize("target", [b"/", b"/?session=x&received=1", b"/rooms/prices", b"/any/path", b"/rt/"])
def test_a_session_names_its_rooms_itself(target: bytes) -> None:
    assert ask(with_keys(insecure=True), target, SESSION) is ANONYMOUS


def test_a_session_of_a_fallback_transport_names_its_rooms_itself() -> None:
    target = b"/?transport=sse&protocol=fanwire.v1.json"
    assert ask(with_keys(insecure=True), target) is ANONYMOUS
    for wrong, headers in ((b"/?transport=sse&protocol=fanwire.v1.raw", PLAIN), (target, [(b"Upgrade", b"websocket")])):
        with pytest.raises(Refused):
            ask(with_keys(insecure=True), wrong, headers)


@pytest.mark.parametrize(("authorization", "subject"), [(b"Bearer one", "key 1"), (b"bearer two", "key 2")])
def test_a_key_makes_a_publisher(authorization: bytes, subject: str) -> None:
    for settings in (with_keys("one", "two"), with_keys("one", "two", insecure=True)):
        identity = ask(settings, b"/", [*SESSION, (b"Authorization", authorization)])
        assert (identity.subject, identity.scopes, identity.rate) == (subject, {"publish"}, 0)


@pytest.mark.parametrize("insecure", [False, True])
def test_a_wrong_key_is_refused(insecure: bool) -> None:
    with pytest.raises(Refused) as refused:
        ask(with_keys("one", insecure=insecure), b"/", [*SESSION, (b"Authorization", b"Bearer on")])
    assert refused.value.status == 401


def test_nobody_is_let_in_without_a_key_unless_it_is_said() -> None:
    with pytest.raises(Refused) as refused:
        ask(with_keys("one"))
    assert refused.value.status == 401
    assert ask(with_keys("one", insecure=True)) is ANONYMOUS
    # What a proxy in front asks for is between it and the client.
    assert ask(with_keys("one", insecure=True), headers=[(b"Authorization", b"Basic eDp5")]) is ANONYMOUS


def test_a_server_that_would_let_nobody_in_does_not_start() -> None:
    result = run("serve")
    wanted = "no client may connect: give an API key (--api-key), keys of tokens (--jwt-key), or --insecure"
    assert (result.exit_code, result.stderr) == (2, f"Error: {wanted}\n")


def test_tokens(tmp_path: Path) -> None:
    secret = "k" * 32
    (tmp_path / "secret").write_text(secret)
    path = tmp_path / "fanwire.toml"
    path.write_text('[jwt]\nkey = "secret"\nalgorithms = ["HS256"]\naudience = "us"\ncredentials = ["query"]\n')
    settings = read_settings(str(path)).settings
    claims = {"sub": "alice", "exp": time.time() + 60, "aud": "us", "scope": "publish other"}
    token = jwt.encode(claims, secret, "HS256")
    identity = ask(settings, b"/rooms/a?token=" + token.encode())
    assert (identity.subject, identity.scopes, identity.expires) == ("alice", {"publish", "other"}, claims["exp"])
    for wrong in (b"", b"?token=" + jwt.encode({**claims, "aud": "them"}, secret, "HS256").encode()):
        with pytest.raises(Refused) as refused:
            ask(settings, b"/rooms/a" + wrong)
        assert refused.value.status == 401


def test_options_for_tokens(settings: list[Settings], tmp_path: Path) -> None:
    path = tmp_path / "fanwire.toml"
    path.write_text('[jwt]\nkey = "https://example.com/keys"\nalgorithms = ["ES256"]\nleeway = 3\n')
    options = ["--jwt-algorithm", "RS256", "--jwt-algorithm", "EdDSA", "--jwt-issuer", "it", "--insecure"]
    options += ["--trusted-proxy", "10.0.0.0/8"]
    assert run("serve", "--config", str(path), *options).exit_code == 0
    (read,) = settings
    assert read.jwt == JWTTable(key="https://example.com/keys", algorithms=["RS256", "EdDSA"], issuer="it", leeway=3.0)
    assert (read.server.insecure, read.server.trusted_proxies) == (True, ["10.0.0.0/8"])


@pytest.mark.parametrize(
    ("args", "code", "error"),
    [
        (["--jwt-key", "missing"], 2, "tokens need both --jwt-key and --jwt-algorithm, such as ES256"),
        (
            ["--jwt-key", "missing", "--jwt-algorithm", "ES256"],
            1,
            "cannot read the file that jwt.key names: No such file",
        ),
        (["--jwt-key", __file__, "--jwt-algorithm", "none"], 2, "jwt: "),
        (["--jwt-key", "ftp://x/y", "--jwt-algorithm", "ES256"], 2, "jwt: "),
        (["--insecure", "--trusted-proxy", "proxy"], 2, "trusted_proxies must be addresses or networks"),
    ],
)
def test_wrong_options_for_tokens_are_one_line(args: list[str], code: int, error: str) -> None:
    result = run("serve", *args)
    assert (result.exit_code, result.stderr.count("\n")) == (code, 1), result.output
    assert error in result.stderr
