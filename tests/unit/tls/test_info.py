"""What a request knows of its TLS."""

from __future__ import annotations

import pytest

from fanwire.tls.info import ClientCertificate, TLSInfo, tls_info

SHOWN = ("CN=alice,O=Example", ["alice.example", "alice@example.com"], "0a1b", "ff" * 32, 1_900_000_000)


def test_the_description_of_the_engine() -> None:
    assert tls_info(None) is None
    plain = tls_info(("TLSv1.3", "TLS_AES_256_GCM_SHA384", None, None, False, None))
    assert plain == TLSInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    shown = tls_info(("TLSv1.2", "TLS_ECDHE_X", "a.example", "http/1.1", True, SHOWN))
    certificate = ClientCertificate(
        "CN=alice,O=Example", ("alice.example", "alice@example.com"), "0a1b", "ff" * 32, 1_900_000_000
    )
    assert shown == TLSInfo("TLSv1.2", "TLS_ECDHE_X", "a.example", True, certificate)
    assert hash(shown) == hash(TLSInfo("TLSv1.2", "TLS_ECDHE_X", "a.example", True, certificate))


def test_it_cannot_be_changed() -> None:
    found = TLSInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    with pytest.raises(AttributeError):
        found.version = "TLSv1.2"  # type: ignore[misc]  # it is frozen
