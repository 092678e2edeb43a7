"""What the TLS of a server may be."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from fanwire.tls.settings import MAX_CERTIFICATES, TLS


def test_paths_are_kept_from_where_the_process_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = TLS("chain.pem", Path("/etc/key.pem"), others=[("b.pem", "b.key")], client_ca="ca.pem")
    assert found.pairs == (
        (tmp_path / "chain.pem", Path("/etc/key.pem")),
        (tmp_path / "b.pem", tmp_path / "b.key"),
    )
    assert found.client_ca == tmp_path / "ca.pem"


def test_it_has_defaults_and_cannot_be_changed() -> None:
    found = TLS("/a", "/b")
    assert (found.others, found.client_ca, found.client_certificates) == ((), None, "required")
    assert (found.min_version, found.handshake_timeout, found.watch_interval) == ("1.2", 5.0, 10.0)
    assert found == TLS("/a", "/b")
    assert found != TLS("/a", "/b", min_version="1.3")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.min_version = "1.3"  # type: ignore[misc]  # it is frozen


def test_a_key_may_be_in_the_file_of_its_certificate() -> None:
    assert TLS("/both.pem", "/both.pem").pairs == ((Path("/both.pem"), Path("/both.pem")),)


KEY = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"certificate": None}, "certificate must be the path of a file, as a str or a Path, got None"),
        ({"certificate": b"a.pem"}, "certificate must be the path of a file, as a str or a Path, got bytes"),
        ({"key": KEY.encode()}, "key must be the path of a file, as a str or a Path, got bytes"),
        ({"key": 7}, "key must be the path of a file, as a str or a Path, got 7"),
        ({"client_ca": ["ca.pem"]}, "client_ca must be the path of a file, as a str or a Path, got an object"),
        ({"others": "b.pem"}, r"others must be a list of pairs \(certificate, key\), got 'b.pem'"),
        (
            {"others": ("b.pem", "b.key")},
            "list of pairs .*, got 'b.pem' among them",
        ),
        ({"others": [("b.pem",)]}, r"others must be a list of pairs \(certificate, key\), got an object of type tuple"),
        ({"others": None}, r"others must be a list of pairs \(certificate, key\), got None"),
        ({"others": {"b.pem": "b.key"}}, "got 'b.pem' among them"),
        ({"others": [("b.pem", 7)]}, "each key of others must be the path of a file, as a str or a Path, got 7"),
        ({"min_version": 1.2}, "min_version must be a str, got 1.2"),
        ({"client_certificates": True}, "client_certificates must be a str, got True"),
        ({"handshake_timeout": "5"}, "handshake_timeout must be a number, got '5'"),
        ({"watch_interval": None}, "watch_interval must be a number, got None"),
    ],
    ids=str,
)
def test_values_of_the_wrong_type(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(TypeError, match=reason) as error:
        TLS(**{"certificate": "a.pem", "key": "a.key", **given})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"certificate": ""}, "certificate must be the path of a file, not empty and without NUL, got ''"),
        ({"key": "a\0"}, "key must be the path of a file, not empty and without NUL"),
        ({"key": KEY}, "key must be the path of a file, got the content of one"),
        ({"min_version": "1.1"}, 'min_version must be "1.2" or "1.3", got'),
        ({"min_version": "TLSv1.2"}, 'min_version must be "1.2" or "1.3"'),
        ({"client_certificates": "never"}, 'client_certificates must be "required" or "optional", got'),
        ({"client_certificates": "optional"}, 'client_certificates="optional" needs client_ca'),
        ({"handshake_timeout": 0}, "handshake_timeout must be more than 0, got 0"),
        ({"handshake_timeout": 301}, "handshake_timeout must be at most 300"),
        ({"handshake_timeout": float("nan")}, "handshake_timeout must be"),
        ({"watch_interval": -1}, "watch_interval must be at least 0, got -1"),
        ({"watch_interval": float("inf")}, "watch_interval must be"),
        ({"others": [("a.pem", "b.key")]}, "each certificate must be named once, got '.*/a.pem' twice"),
        ({"others": [("b.pem", "b.key"), ("b.pem", "c.key")]}, "named once, got '.*/b.pem' twice"),
        ({"others": [(f"{n}.pem", "a.key") for n in range(MAX_CERTIFICATES)]}, "may have 1000 certificates, got 1001"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_values_that_cannot_be_right(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        TLS(**{"certificate": "a.pem", "key": "a.key", **given})
    assert "secret" not in str(error.value)


def test_any_path_will_do() -> None:
    class Named(os.PathLike[str]):
        def __fspath__(self) -> str:
            return "/a"

    assert TLS(Named(), "/b").certificate == Path("/a")
