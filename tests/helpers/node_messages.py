"""Node messages, whole ones and others."""

from __future__ import annotations

import orjson
from hypothesis import strategies as st

from fanwire.cluster.node_message import DELIVERIES, NodeMessage

HEAD = 30
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBERS = st.integers(0, 2**64 - 1)


@st.composite
def node_messages(draw: st.DrawFn) -> NodeMessage:
    payload, json = draw(
        st.one_of(st.tuples(st.binary() | TEXT, st.just(False)), st.tuples(TEXT.map(orjson.dumps), st.just(True)))
    )
    key, delivery = draw(st.none() | TEXT), draw(st.sampled_from(DELIVERIES))
    node_message = NodeMessage(payload, json, key, delivery, draw(NUMBERS), draw(NUMBERS), draw(NUMBERS))
    if key is not None and draw(st.booleans()):
        return node_message._replace(payload=b"", json=False, delivery="latest", forgotten_us=draw(NUMBERS))
    return node_message


def full(**changes: bytes) -> bytes:
    """A text message with a key, some of it changed."""
    parts = {"version": b"\x01", "kind": b"\x01", "delivery": b"\x02", "has_key": b"\x01", "numbers": bytes(24)}
    parts |= {"size": b"\0\x03", "key": b"key", "payload": "ä".encode(), **changes}
    return b"".join(parts.values())
