"""A context that remembers why a connection ended, without a connection."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from helpers.certificates import Authority, trusting

from fanwire.client.failures import Failure, reason_of
from fanwire.client.watched_context import WatchedContext, default_context


def test_a_refusal_after_the_handshake_is_remembered(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*authority.sign("localhost", "localhost"))
    serving.load_verify_locations(authority.file)
    serving.verify_mode = ssl.CERT_REQUIRED
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = WatchedContext(trusting(authority.file, version=ssl.TLSVersion.TLSv1_3))
    assert isinstance(context, ssl.SSLContext)
    client = context.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    client.do_handshake()
    assert client.version() == "TLSv1.3"
    with pytest.raises(ssl.SSLWantReadError):
        client.read(1)
    # No data yet is no failure.
    assert context.error is None
    with pytest.raises(ssl.SSLError):
        server.do_handshake()
    with pytest.raises(ssl.SSLError) as raised:
        client.read(1)
    assert context.error is raised.value
    assert Failure.of_error(context.error) is Failure.TLS
    assert "the server wants a client certificate: context.load_cert_chain(...)" in reason_of(context.error)


def test_the_certificates_of_the_system_are_read_once() -> None:
    assert default_context() is default_context()
    assert default_context().verify_mode is ssl.CERT_REQUIRED
