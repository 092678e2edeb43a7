"""Keys in files, which change."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from helpers.key_provider import Clock
from helpers.tokens import NOW, SECRET, jwk, jwks, pem, private, showing, token

from fanwire.auth import JWT, Keys
from fanwire.errors import Refused

# Files.


class File:
    """A file with keys, replaced as a whole or written over, and its authenticator."""

    def __init__(self, path: Path, text: bytes, algorithm: str) -> None:
        self.path = path
        self.path.write_bytes(text)
        self.clock = Clock()
        self.algorithm = algorithm
        self.authenticator = JWT(Keys.file(path, clock=self.clock), algorithms=[algorithm], clock=lambda: NOW)

    def replace(self, text: bytes) -> None:
        new = self.path.with_suffix(".new")
        new.write_bytes(text)
        new.replace(self.path)

    async def ask(self, key: Any, **header: Any) -> bool:
        try:
            await self.authenticator(showing(token(key, self.algorithm, header)))
        except Refused:
            return False
        return True


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = File(tmp_path / "key.pem", pem("P-256"), "ES256")
    old, new = private("P-256"), private("P-256", 1)
    assert await file.ask(old)
    file.replace(pem("P-256", 1))
    # It is looked at once in a second.
    file.clock.now += 0.9
    assert await file.ask(old)
    file.clock.now += 0.1
    assert await file.ask(new)
    assert not await file.ask(old)
    file.clock.now += 1
    assert await file.ask(new)
    # Both at once, by name, in another form.
    file.replace(jwks(jwk("P-256", "a"), jwk("P-256", "b", 1)))
    file.clock.now += 1
    assert await file.ask(old, kid="a")
    assert await file.ask(new, kid="b")
    assert not await file.ask(new, kid="a")


async def test_a_file_that_is_written_over_within_the_same_moment(tmp_path: Path) -> None:
    file = File(tmp_path / "secret", SECRET.encode(), "HS256")
    status = file.path.stat()
    file.path.write_bytes(SECRET.encode() + b" and more\n")
    os.utime(file.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    file.clock.now += 1
    assert await file.ask(SECRET + " and more")


@pytest.mark.logs_errors
@pytest.mark.parametrize("how", ["gone", "a folder", "empty", "half", "private", "other family", "secret", "huge"])
async def test_a_file_that_makes_no_sense_any_more(how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    file = File(tmp_path / "key.pem", pem("P-256"), "ES256")
    texts = {
        "empty": b"",
        "half": pem("P-256", 1)[:-70],
        "private": b"-----BEGIN PRIVATE KEY-----",
        "other family": pem("RSA"),
        "secret": SECRET.encode(),
        "huge": pem("P-256", 1) + b"\n" * (256 << 10),
    }
    if how in texts:
        file.replace(texts[how])
    else:
        file.path.unlink()
        if how == "a folder":
            file.path.mkdir()
    for _ in range(5):
        file.clock.now += 1
        assert await file.ask(private("P-256"))
    lines = [record for record in caplog.records if record.name == "fanwire.auth"]
    assert [line.levelno for line in lines] == [logging.ERROR]
    assert "the old keys stay in use" in lines[0].getMessage()
    if how == "a folder":
        file.path.rmdir()
    file.replace(pem("P-256", 1))
    file.clock.now += 1
    assert await file.ask(private("P-256", 1))
    assert not await file.ask(private("P-256"))
    assert len([record for record in caplog.records if record.name == "fanwire.auth"]) == 2


@pytest.mark.logs_errors
async def test_half_a_set_is_not_a_secret(tmp_path: Path) -> None:
    text = jwks(jwk("oct", "a"))
    file = File(tmp_path / "keys.json", text, "HS256")
    file.replace(text[:-2])
    file.clock.now += 1
    assert await file.ask(SECRET, kid="a")
    assert not await file.ask(text[:-2], kid="a")


def test_files_that_cannot_be_keys(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Keys.file(tmp_path / "none")
    with pytest.raises(OSError, match="directory"):
        Keys.file(tmp_path)
    for text in (b"", b"\n", b"{", b"{}", b"-----BEGIN PUBLIC KEY-----", b"x" * (257 << 10)):
        (tmp_path / "key").write_bytes(text)
        with pytest.raises(ValueError):  # noqa: PT011 - each case has a text of its own
            Keys.file(str(tmp_path / "key"))


async def test_secrets_and_keys_that_are_given_as_they_are() -> None:
    for secret in (SECRET, SECRET.encode()):
        authenticator = JWT(Keys.secret(secret), algorithms=["HS512"], clock=lambda: NOW)
        assert (await authenticator(showing(token(SECRET, "HS512")))).subject == "ann"
    for text in (pem("Ed25519"), pem("Ed25519").decode()):
        authenticator = JWT(Keys.pem(text), algorithms=["EdDSA"], clock=lambda: NOW)
        assert (await authenticator(showing(token(private("Ed25519"), "EdDSA")))).subject == "ann"
