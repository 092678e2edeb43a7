"""How a server of `fanwire serve` meets others: options for NATS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.commands import run

from fanwire.cli.backplane import URL_VARIABLE, build_backplane, embedded_store
from fanwire.cli.failure import CommandFailed, Misuse
from fanwire.cli.settings import (
    NATSTable,
    Settings,
)


def test_options_for_nats(settings: list[Settings], file: Path) -> None:
    assert run("serve", "--nats", "embedded").exit_code == 0
    options = ["--nats", "tls://a", "--nats", "tls://b", "--nats-credentials", "creds", "--nats-ca", "ca"]
    assert run("serve", "--config", str(file), *options, "--nats-store", "here").exit_code == 0
    assert run("serve", "--config", str(file), "--nats-store", "here").exit_code == 0
    first, second, third = (read.nats for read in settings)
    assert first == NATSTable(servers=["embedded"])
    kept: dict[str, Any] = {"prefix": "ours", "storage": "memory", "replicas": 3, "store": "here"}
    assert second == NATSTable(servers=["tls://a", "tls://b"], credentials="creds", ca="ca", **kept)
    assert third == NATSTable(servers=["nats://one:4222", "nats://two:4222"], **kept)


EMBEDDED = NATSTable(servers=["embedded"], store="here")


def test_who_names_no_server_has_no_backplane(alone: None) -> None:
    assert build_backplane(None) is embedded_store(None) is None


def test_an_embedded_server_has_a_store_and_its_address_is_known_later(
    alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build_backplane(EMBEDDED) is not None
    assert embedded_store(EMBEDDED) == "here"
    # In a worker it is that of the first process.
    monkeypatch.setenv(URL_VARIABLE, "nats://token@127.0.0.1:1")
    assert embedded_store(EMBEDDED) is None


def test_another_server_keeps_its_own(alone: None) -> None:
    table = NATSTable(servers=["nats://h"], store="here")
    assert build_backplane(table) is not None
    assert embedded_store(table) is None


@pytest.mark.parametrize(
    ("args", "code", "error"),
    [
        (["--workers", "2"], 2, "several workers need NATS: add --nats embedded, or the address of a server"),
        (
            ["--nats", "embedded", "--nats", "nats://h"],
            2,
            "'embedded' starts a NATS server: leave out the other servers",
        ),
        (["--nats", "nats://h", "--nats-ca", "missing"], 1, "cannot read certificates (PEM) from missing: "),
        (["--nats", "nats://h", "--nats-ca", __file__], 1, f"cannot read certificates (PEM) from {__file__}: "),
        (
            ["--nats", "nats://h", "--nats-credentials", "missing"],
            1,
            "cannot read the file that nats.cred",
        ),
    ],
)
def test_wrong_options_for_nats_are_one_line(alone: None, args: list[str], code: int, error: str) -> None:
    result = run("serve", "--insecure", "--port", "0", *args)
    assert (result.exit_code, result.stderr.count("\n")) == (code, 1), result.output
    assert result.stderr.startswith(f"Error: {error}")


def test_our_own_certificate_for_nats(alone: None) -> None:
    with pytest.raises(Misuse, match=r"give both nats\.certificate and nats\.key, or neither"):
        build_backplane(NATSTable(servers=["tls://h"], certificate=__file__))
    with pytest.raises(CommandFailed, match="as a certificate and its key"):
        build_backplane(NATSTable(servers=["tls://h"], certificate=__file__, key=__file__))


@pytest.mark.parametrize("url", ["http://user:secret@h:4222", "mqtt://h", "natss://h"])
def test_a_url_of_another_protocol_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(Misuse, match=r"nats\.servers must be URLs") as caught:
        build_backplane(NATSTable(servers=["nats://h", url]))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["h:4222", "NATS://h", "tls://h:4222", "wss://h", "user:secret@h"])
def test_urls_of_nats_are_taken(url: str) -> None:
    assert build_backplane(NATSTable(servers=[url])) is not None
