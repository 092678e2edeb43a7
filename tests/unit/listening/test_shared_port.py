"""The error of a server that finds its port taken."""

from __future__ import annotations

import pytest

from fanwire.listening.shared_port import port_taken


@pytest.mark.parametrize(
    ("host", "address"), [("::", "[::]:21070"), ("127.0.0.1", "127.0.0.1:21070"), ("localhost", "localhost:21070")]
)
def test_it_names_the_address_and_what_workers_need(host: str, address: str) -> None:
    text = str(port_taken(host, 21070))
    assert f"{address} is taken" in text
    assert "reuse_port=True" in text
    assert "backplane" in text
