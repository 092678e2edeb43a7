"""The keys of the admin API: what they may be, and what they allow."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import pytest
from helpers.commands import run

from fanwire import Admin, Server
from fanwire.cli.failure import Misuse
from fanwire.cli.serve import build_server
from fanwire.cli.settings import Settings
from fanwire.cli.settings_layers import parse_settings

KEY, OTHER = "k-0123456789abcdef", "k-0123456789abcdeg"
HASHED = "sha256:" + hashlib.sha256(OTHER.encode()).hexdigest()


def test_the_holder_of_a_key_has_its_scopes() -> None:
    admin = Admin({KEY: ["read"], HASHED: ["read", "manage"]})
    one, other = admin.holder(KEY), admin.holder(OTHER)
    assert one is not None
    assert other is not None
    assert (one.scopes, other.scopes) == ({"read"}, {"read", "manage"})
    assert other.name == HASHED[7:15]
    for wrong in (HASHED, HASHED[7:], KEY[:-1], KEY + "x", "", "é", "x" * 5000):
        assert admin.holder(wrong) is None


def test_the_path_has_no_slash_at_its_end() -> None:
    assert Admin({KEY: ["read"]}).prefix == "/admin"
    assert Admin({KEY: ["read"]}, prefix="/ops/live/").prefix == "/ops/live"


@pytest.mark.parametrize(
    ("keys", "prefix", "error"),
    [
        ({}, "/admin", "keys must not be empty"),
        ([KEY], "/admin", "keys must be a mapping of keys to lists of scopes, got list"),
        ({KEY.encode(): ["read"]}, "/admin", "admin key 1 must be a str, got bytes"),
        ({KEY: ["read"], "a b": ["read"]}, "/admin", "admin key 2 must be 1 to 4096 printable ASCII"),
        ({"": ["read"]}, "/admin", "admin key 1 must be 1 to 4096"),
        ({"sha256:12": ["read"]}, "/admin", "admin key 1 must have 64 hexadecimal digits"),
        ({OTHER: ["read"], HASHED: ["read"]}, "/admin", "admin key 2 and another one must not be the same"),
        ({KEY: []}, "/admin", "the scopes of admin key 1 must not be empty"),
        ({KEY: "read"}, "/admin", "the scopes of admin key 1 must be a list of str"),
        ({KEY: ["write"]}, "/admin", "each scope of admin key 1 must be read, publish or manage, got 'write'"),
        ({KEY: ["read"]}, "", "prefix must be a path such as '/admin'"),
        ({KEY: ["read"]}, "/", "prefix must be a path such as '/admin'"),
        ({KEY: ["read"]}, "/rooms/x", "prefix must be a path such as '/admin', and not below"),
        ({KEY: ["read"]}, "admin", "prefix must be a path such as"),
        ({KEY: ["read"]}, 7, "prefix must be a str"),
    ],
)
def test_a_wrong_setting_is_an_error_without_the_key(keys: Any, prefix: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error) as raised:
        Admin(keys, prefix=prefix)
    assert KEY not in str(raised.value)
    assert OTHER not in str(raised.value)


def test_a_key_that_can_be_guessed_is_a_warning_and_no_key_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        admin = Admin({"short": ["read"], KEY: ["read"]})
    assert [record.getMessage() for record in caplog.records] == [
        "admin key 1 has fewer than 16 characters: it can be guessed"
    ]
    assert repr(admin) == "Admin(2 keys, prefix='/admin')"


def test_a_server_takes_only_an_admin() -> None:
    keys: Any = {KEY: ["read"]}
    with pytest.raises(TypeError, match=r"admin must be a fanwire.Admin\(keys\)"):
        Server(insecure=True, admin=keys)


def test_the_settings_file_has_a_table() -> None:
    read = parse_settings(f'[admin]\nprefix = "/ops"\nkeys = {{"{KEY}" = ["read", "publish"]}}\n'.encode())
    assert read.admin is not None
    assert (read.admin.keys, read.admin.prefix) == ({KEY: ["read", "publish"]}, "/ops")
    with pytest.raises(Misuse, match=r"admin\.keys"):
        parse_settings(b"[admin]\nkeys = {}\n")


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ([f"--admin-key={KEY}"], {KEY: ["read", "publish", "manage"]}),
        ([f"--admin-key={KEY}=read,manage", f"--admin-key={HASHED}=read"], {KEY: ["read", "manage"], HASHED: ["read"]}),
        # Base64 may end so.
        ([f"--admin-key={KEY}="], {f"{KEY}=": ["read", "publish", "manage"]}),
    ],
)
def test_the_command_has_an_option(monkeypatch: pytest.MonkeyPatch, options: list[str], keys: Any) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr("fanwire.cli.serve.run", lambda settings, workers, worker_timeout: seen.append(settings))
    result = run("serve", "--insecure", *options)
    assert result.exit_code == 0, result.output
    assert seen[0].admin is not None
    assert seen[0].admin.keys == keys
    assert build_server(seen[0])


def test_the_command_takes_a_key_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []
    monkeypatch.setattr("fanwire.cli.serve.run", lambda settings, workers, worker_timeout: seen.append(settings))
    assert run("serve", "--insecure", env={"FANWIRE_ADMIN_KEY": f"{KEY}=read {OTHER}"}).exit_code == 0
    assert seen[0].admin is not None
    assert seen[0].admin.keys == {KEY: ["read"], OTHER: ["read", "publish", "manage"]}


def test_a_wrong_key_is_a_misuse_that_does_not_show_it() -> None:
    for option in ("--admin-key=sha256:12", f"--admin-key={KEY}é", "--admin-key="):
        result = run("serve", "--insecure", option)
        assert result.exit_code == 2
        assert KEY not in result.output
