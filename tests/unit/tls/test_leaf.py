"""What the host reads of a certificate."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.certificates import Authority

from fanwire.tls.leaf import leaf_of


def test_the_first_certificate_of_a_chain(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    chain, key = authority.sign("early", "a.example", begins=timedelta(days=1))
    leaf = leaf_of(key.read_bytes() + chain.read_bytes() + authority.file.read_bytes())
    assert leaf is not None
    assert leaf.begins == pytest.approx(time.time() + 86400, abs=60)
    rsa = leaf_of(authority.sign("rsa", "a.example", is_rsa=True)[0].read_bytes())
    same = leaf_of(authority.sign("same", "a.example")[0].read_bytes())
    assert rsa is not None
    assert same is not None
    assert leaf.key == same.key != rsa.key


@pytest.mark.parametrize("content", [b"", b"one", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate(content: bytes) -> None:
    assert leaf_of(content) is None
