"""Settings as operators see them: no secret, and no text that an object makes of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from fanwire.admin.shown_settings import shown_settings
from fanwire.listening.listeners import Tcp


class Secretive:
    def __repr__(self) -> str:
        return "password"


@dataclass
class Keyed:
    certificate: Path
    key: Path


def authenticate(request: object) -> None: ...


def test_what_is_shown() -> None:
    shown = shown_settings(
        {
            "api_keys": ("one", "two"), "origins": ("https://example.com",), "hosts": None, "insecure": True,
            "place": Tcp("::", 80, False), "tls": Keyed(Path("chain.pem"), Path("key.pem")), "backplane": Secretive(),
            "authenticate": authenticate, "token": "hush",
        }
    )  # fmt: skip
    assert shown == {
        "api_keys": ["***", "***"], "origins": ["https://example.com"], "hosts": None, "insecure": True,
        "place": {"kind": "tcp", "host": "::", "port": 80, "reuse_port": False},
        "tls": {"certificate": "chain.pem", "key": "***"},
        "backplane": f"{__name__}.Secretive", "authenticate": f"{__name__}.authenticate", "token": "***",
    }  # fmt: skip
    assert b"password" not in msgspec.json.encode(shown)
