"""The public names, line by line, and a test for every module."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import fanwire

PUBLIC = [
    "Client",
    "CloseCode",
    "Closed",
    "Config",
    "Connection",
    "ConnectionFailed",
    "ConnectionState",
    "FanwireError",
    "Gap",
    "Identity",
    "Member",
    "Message",
    "Overloaded",
    "Position",
    "Refused",
    "Reject",
    "Request",
    "RequestFailed",
    "Room",
    "RoomEnded",
    "Server",
    "Skipped",
    "Snapshot",
    "Unavailable",
    "connect",
]
ATTRIBUTES = {
    "Server": [
        "broadcast", "config", "connections", "count", "disconnect_user", "forget", "history", "host", "lifespan",
        "metrics", "on", "on_connect", "on_disconnect", "on_join", "on_leave", "on_message", "port", "presence",
        "publish", "publish_acked", "reauthorize", "remove", "revoke", "room", "rooms", "run", "send_to_user", "serve",
        "start", "stats", "stop", "url",
    ],
    "Connection": [
        "close", "close_code", "close_reason", "closed_by", "id", "identity", "info", "is_reconnecting", "join",
        "leave", "may", "message_id", "metadata", "opened_at", "received_bytes", "received_messages", "request",
        "rooms", "send", "session", "spawn", "state",
    ],
    "Request": [
        "bearer", "cookie", "credential", "headers", "is_secure", "path", "query", "query_string", "query_token",
        "remote", "renewal", "subprotocol_token",
    ],
}  # fmt: skip
"""What an application can use of these classes. Each name more is a decision."""
TESTS = Path(__file__).parents[1]
ELSEWHERE = {
    "fanwire.values.reduction": "unit/values/test_encoding.py: every type is tried within documents",
    "fanwire.backplane.base": "contract/test_backplane.py: an interface",
    "fanwire.backplane.child": "system/test_workers.py: a process",
    "fanwire.backplane.embedded": "contract/test_backplane.py and system/test_workers.py: a process",
    "fanwire.backplane.jetstream": "contract/test_backplane.py: every method needs a NATS server",
    "fanwire.backplane.nats": "contract/test_backplane.py: every method needs a NATS server",
    "fanwire.backplane.nats_client": "contract/test_nats_access.py and test_backplane.py: it is a connection to NATS",
    "fanwire.cluster.catch_up": "system/test_cluster.py and test_chaos.py: it brings logs to an engine",
    "fanwire.cluster.subscriptions": "system/test_cluster.py: it is where engine and backplane meet",
    "fanwire.cluster.live_rooms": "system/test_cluster.py: it is where engine and backplane meet",
    "fanwire.cluster.history": "system/test_history.py: it reads a backplane",
    "fanwire.cluster.kept_message": "system/test_history.py: what a room keeps",
    "fanwire.cluster.room_logs": "system/test_cluster.py: a log that was lost",
    "fanwire.cluster.newest_values": "system/test_cluster.py: every answer goes to other nodes",
    "fanwire.cluster.backplane_events": "system/test_cluster.py and test_troubles.py: events of a backplane",
    "fanwire.cluster.cluster": "system/test_cluster.py: it is where engine and backplane meet",
    "fanwire.runtime.background": "system/test_background.py: tasks of connections",
    "fanwire.process.lifecycle": "system/test_restart.py and test_stopping.py: the whole server",
    "fanwire.process.signals": "system/test_serve.py and test_shutdown.py: signals to a process",
    "fanwire.application": "system/test_basics.py and test_rights.py: handlers and rooms need a server",
    "fanwire.server": "system/: composition, tested as a whole",
    "fanwire.handshake.opening": "unit/handshake/test_admission.py: it is the last step of a handshake",
    "fanwire.handshake.tls": "system/test_tls.py and hostile/test_encrypted.py: it is a transport and an engine",
    "fanwire.listening.shared_port": "system/test_lifespan.py: two servers of one process",
    "fanwire.http.server": "system/test_http_side.py and test_http.py",
    "fanwire.http.connection": "hostile/test_http.py and test_fuzz_http.py: a parser and a transport",
    "fanwire.http.lifespan": "system/test_embedding.py: it is an application that starts and ends",
    "fanwire.http.routes": "system/test_http.py: every answer needs a request",
    "fanwire.http.site": "system/test_embedding.py: every answer needs an application",
    "fanwire.http.websocket": "system/test_embedding.py: every message needs an application",
    "fanwire.http.publishing": "system/test_http.py: every answer needs a request",
    "fanwire.runtime.tls_transport": (
        "system/test_tls.py and hostile/test_encrypted.py: it is a transport and an engine"
    ),
    "fanwire.__main__": "system/test_cli.py",
}
BY_PACKAGE = {
    "fanwire.client": "unit/client/test_machine.py",
    "fanwire.cli": "unit/cli/test_cli.py",
    "fanwire.demo": "system/test_demo.py",
}


def modules() -> list[str]:
    found = [module.name for module in pkgutil.walk_packages(fanwire.__path__, "fanwire.")]
    return sorted(name for name in found if name != "fanwire._engine")


def test_the_public_names() -> None:
    assert fanwire.__all__ == PUBLIC


def instance_of(name: str) -> object:
    if name == "Server":
        return fanwire.Server(insecure=True)
    request = fanwire.Request(b"/", b"", None, False)
    if name == "Request":
        return request
    nothing: Any = None
    return fanwire.Connection(nothing, nothing, 1, request, None, None)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_public_attributes(name: str) -> None:
    assert sorted(one for one in dir(instance_of(name)) if not one.startswith("_")) == ATTRIBUTES[name]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_and_what_it_offers_is_described(name: str) -> None:
    thing = getattr(fanwire, name)
    assert thing.__doc__
    for attribute, value in vars(thing).items():
        if attribute.startswith("_") or not (inspect.isfunction(value) or isinstance(value, property)):
            continue
        assert inspect.getdoc(value), f"{name}.{attribute}"


@pytest.mark.parametrize("name", modules())
def test_every_module_says_what_it_is_and_is_tested(name: str) -> None:
    if name != "fanwire.__main__":
        assert importlib.import_module(name).__doc__
    package = next((path for prefix, path in BY_PACKAGE.items() if f"{name}.".startswith(f"{prefix}.")), None)
    if package is not None:
        assert (TESTS / package).exists()
    elif name not in ELSEWHERE and not hasattr(importlib.import_module(name), "__path__"):
        *folders, last = name.split(".")[1:]
        assert (TESTS / "unit" / Path(*folders, f"test_{last}.py")).exists()


def test_what_is_tested_elsewhere_exists() -> None:
    assert set(ELSEWHERE) <= set(modules())
    for place in ELSEWHERE.values():
        assert (TESTS / place.split(":")[0].split(" and ")[0]).exists()
