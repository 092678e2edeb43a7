"""What files of TLS contain, and whether they have changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fanwire.tls import files as module
from fanwire.tls.files import read_file, read_files
from fanwire.tls.settings import TLS


@pytest.fixture
def tls(tmp_path: Path) -> TLS:
    for name in ("a.pem", "a.key", "b.pem", "b.key", "ca.pem"):
        (tmp_path / name).write_text(name)
    others = [(tmp_path / "b.pem", tmp_path / "b.key")]
    return TLS(tmp_path / "a.pem", tmp_path / "a.key", others=others, client_ca=tmp_path / "ca.pem")


def test_all_files_are_read(tls: TLS, tmp_path: Path) -> None:
    found = read_files(tls)
    a, b = (tuple(str(tmp_path / f"{name}.{kind}") for kind in ("pem", "key")) for name in "ab")
    assert found.certificates == [(a[0], b"a.pem", a[1], b"a.key"), (b[0], b"b.pem", b[1], b"b.key")]
    assert found.client_ca == (str(tmp_path / "ca.pem"), b"ca.pem")
    assert read_files(TLS(tls.certificate, tls.key)).client_ca is None


def test_a_key_in_place_of_its_file_is_not_told(tls: TLS) -> None:
    key = f"-----BEGIN PRIVATE KEY-----\n{'s3cret' * 8}\n-----END PRIVATE KEY-----"
    with pytest.raises(OSError, match=r"cannot read a file with a name of .* the TLS private key") as raised:
        read_file(Path(key), "private key")
    assert "s3cret" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_named(tls: TLS) -> None:
    tls.key.chmod(0)
    with pytest.raises(PermissionError, match=r"a\.key.*Let the user of this process read the file"):
        read_files(tls)


def test_what_is_no_file_is_named(tls: TLS) -> None:
    tls.certificate.unlink()
    os.mkfifo(tls.certificate)
    with pytest.raises(ValueError, match=r"a\.pem, the TLS certificate, must be a file"):
        read_files(tls)


def test_a_file_is_not_larger_than_it_can_be(tls: TLS, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE", 6)
    read_files(tls)
    (tls.client_ca or Path()).write_text("1234567")
    with pytest.raises(ValueError, match=r"ca\.pem is no TLS authorities of clients: it has more than 6 bytes"):
        read_files(tls)
