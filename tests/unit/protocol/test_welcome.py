"""The first message of a session says what the client has to know, and nothing else."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from fanwire.config import Config
from fanwire.identity.identity import Identity
from fanwire.protocol.envelopes import JSON, MSGPACK, Codec
from fanwire.protocol.session import Session
from fanwire.protocol.welcome import WelcomeBuilder


def payload(encoded: bytes) -> dict[str, Any]:
    message = json.loads(encoded)
    assert message["type"] == "welcome"
    assert abs(message["ts"] - time.time() * 1000) < 60_000
    assert set(message) == {"type", "id", "ts", "payload"}
    found: dict[str, Any] = message["payload"]
    return found


def test_of_a_new_session() -> None:
    session = Session("ann", JSON)
    told = payload(WelcomeBuilder(Config(), "ann").new(session))
    assert told == {
        "session": session.id, "resumed": False, "received": 0, "heartbeat_ms": 25_000, "grace_ms": 30_000,
        "ack_frames": 4096, "ack_bytes": 512 << 10, "max_message": 1 << 20, "window": 16 << 10,
    }  # fmt: skip


@pytest.mark.parametrize(("interval", "timeout", "told"), [(20.0, 5.0, 20_000), (0.25, 2.0, 2_000), (0, 2.0, 0)])
def test_how_often_the_server_pings(interval: float, timeout: float, told: int) -> None:
    config = Config(ping_interval=interval, ping_timeout=timeout)
    assert payload(WelcomeBuilder(config, None).new(Session("ann", JSON)))["heartbeat_ms"] == told


def test_of_one_that_goes_on() -> None:
    session = Session("ann", JSON)
    session.received = 7
    told = payload(WelcomeBuilder(Config(), None).resumed(session))
    assert (told["session"], told["resumed"], told["received"]) == (session.id, True, 7)


def test_why_it_is_new_and_where_the_other_was() -> None:
    welcome = WelcomeBuilder(Config(), None)
    told = payload(welcome.new(Session("ann", JSON), "other node", {"a": ("e", 7)}))
    assert (told["reason"], told["rooms"]) == ("other node", {"a": {"epoch": "e", "seq": 7}})
    told = payload(welcome.new(Session("ann", JSON), "expired"))
    assert told["reason"] == "expired"
    assert "rooms" not in told


def test_how_long_the_identity_is_good() -> None:
    told = payload(
        WelcomeBuilder(Config(), Identity(subject="ann", expires=time.time() + 100)).new(Session("ann", JSON))
    )
    assert 90_000 < told["expires_in_ms"] <= 100_000
    told = payload(WelcomeBuilder(Config(), {"sub": "ann", "exp": time.time() - 5}).new(Session("ann", JSON)))
    assert told["expires_in_ms"] == 0


@pytest.mark.parametrize(
    ("replay_bytes", "frames", "size"), [(0, 4096, 512 << 10), (1 << 20, 2048, 256 << 10), (100, 1, 25)]
)
def test_what_is_not_acknowledged_leaves_room_in_what_is_kept(replay_bytes: int, frames: int, size: int) -> None:
    told = payload(WelcomeBuilder(Config(replay_bytes=replay_bytes), None).new(Session("ann", JSON)))
    assert (told["ack_frames"], told["ack_bytes"]) == (frames, size)


def test_over_a_fallback_transport_a_client_acknowledges_less_often() -> None:
    told = payload(WelcomeBuilder(Config(), None, "n.1").new(Session("ann", JSON)))
    assert (told["link"], told["ack_frames"], told["ack_bytes"]) == ("n.1", 4096, 768 << 10)
    told = payload(WelcomeBuilder(Config(replay_bytes=1 << 20), None, "n.1").new(Session("ann", JSON)))
    assert (told["ack_frames"], told["ack_bytes"]) == (2048, 384 << 10)
    told = payload(WelcomeBuilder(Config(replay_bytes=0, ack_bytes=100), None, "n.1").new(Session("ann", JSON)))
    assert told["ack_bytes"] == 150


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
def test_all_of_one_request_have_ids_of_their_own(codec: Codec) -> None:
    welcome, session = WelcomeBuilder(Config(), None), Session("ann", codec)
    decode = json.loads if codec is JSON else msgspec.msgpack.decode
    messages = [
        decode(data) for data in (welcome.new(session), welcome.new(session, "closed"), welcome.resumed(session))
    ]
    assert len({message["id"] for message in messages}) == 3
    assert [message["payload"].get("reason") for message in messages] == [None, "closed", None]
