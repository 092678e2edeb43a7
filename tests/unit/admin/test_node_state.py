"""The limits that operators are shown: all that the host counts."""

from __future__ import annotations

import re
from pathlib import Path

import fanwire
from fanwire.admin.node_state import HOST_LIMITS
from fanwire.config import Config

COUNTED = re.compile(r"(?:\bover|\bcount|\b_count)\(\"(\w+)\"")


def test_all_limits_that_the_host_counts_are_listed() -> None:
    source = "".join(path.read_text() for path in Path(fanwire.__path__[0]).rglob("*.py"))
    counted = set(COUNTED.findall(source)) & set(Config.__struct_fields__)
    # The engine counts these two as well, and names them.
    assert set(HOST_LIMITS) | {"max_head", "handshake_timeout"} >= counted
    assert set(HOST_LIMITS) <= counted
