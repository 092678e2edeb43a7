"""The public names, line by line, and a test for every module."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

import fanwire
import fanwire.testing

PUBLIC = [
    "TLS",
    "Admin",
    "AsyncPublisher",
    "Client",
    "ClientCertificate",
    "CloseCode",
    "Closed",
    "Completeness",
    "Config",
    "Connection",
    "ConnectionFailed",
    "ConnectionState",
    "FanwireError",
    "FileSummary",
    "Gap",
    "Grid",
    "Identity",
    "Input",
    "Inputs",
    "Member",
    "Message",
    "Overloaded",
    "Position",
    "Publication",
    "PublishFailed",
    "Published",
    "Publisher",
    "RecordedGap",
    "RecordedMessage",
    "Recorder",
    "RecorderStats",
    "Recording",
    "Refused",
    "Reject",
    "ReplayReport",
    "Request",
    "RequestFailed",
    "Room",
    "RoomEnded",
    "RoomHistory",
    "RoomPattern",
    "SequenceChecker",
    "Server",
    "ServerSubscription",
    "Skipped",
    "Snapshot",
    "TLSInfo",
    "Tick",
    "Unavailable",
    "Where",
    "between",
    "connect",
    "open_recording",
    "replay",
    "where",
]
TESTING = [
    "Expectation",
    "FakeClock",
    "FaultProxy",
    "Publications",
    "PublishedRoom",
    "RawClient",
    "RecordedPublish",
    "ServerRun",
    "expect",
    "received",
    "running",
    "until",
]
"""The public names of `fanwire.testing`."""
ATTRIBUTES = {
    "Server": [
        "broadcast", "config", "connections", "count", "disconnect_user", "forget", "history", "host", "inputs",
        "lifespan", "metrics", "on", "on_connect", "on_disconnect", "on_join", "on_leave", "on_message", "on_publish",
        "port", "presence", "publish", "publish_acked", "reauthorize", "record", "reload_tls", "remove", "revoke",
        "room", "rooms", "run", "send_to_user", "serve", "start", "stats", "stop", "subscribe", "tick", "url",
    ],
    "Connection": [
        "close", "close_code", "close_reason", "closed_by", "id", "identity", "info", "is_compressed",
        "is_reconnecting", "join", "leave", "may", "message_id", "metadata", "opened_at", "received_bytes",
        "received_messages", "request", "rooms", "send", "session", "set_attributes", "spawn", "state", "transport",
    ],
    "Request": [
        "bearer", "cookie", "credential", "headers", "is_secure", "path", "query", "query_string", "query_token",
        "remote", "renewal", "subprotocol_token", "tls", "token", "user_agent",
    ],
}  # fmt: skip
"""What an application can use of these classes. Each name more is a decision."""
TESTS = Path(__file__).parents[1]
ELSEWHERE = {
    "fanwire.admin.documents": "system/test_admin.py: every answer is one",
    "fanwire.admin.connection_endpoints": "system/test_admin_connections.py and test_admin_cluster.py",
    "fanwire.admin.everywhere": "system/test_admin_cluster.py: it asks nodes",
    "fanwire.admin.node_connections": "system/test_admin_connections.py: it reads a server",
    "fanwire.admin.node_endpoints": "system/test_admin.py and test_admin_cluster.py: every answer needs a server",
    "fanwire.admin.publish_endpoints": "system/test_admin.py: every answer needs a server",
    "fanwire.admin.room_endpoints": "system/test_admin_rooms.py and test_admin_cluster.py: every answer needs a server",
    "fanwire.admin.site": "system/test_admin.py: every answer needs a request",
    "fanwire.admin.this_node": "system/test_admin.py: composition of the readings",
    "fanwire.http.request_bodies": "system/test_http.py and test_http_publish.py: every body needs a request",
    "fanwire.client.pattern": "system/test_patterns.py: it needs a client",
    "fanwire.client.pattern_states": "unit/client/test_patterns.py: driven through frames",
    "fanwire.rooms.held_pattern": "system/test_patterns.py: it has no behaviour of its own",
    "fanwire.rooms.pattern_entry": "unit/rooms/test_pattern_members.py: how the members join a room",
    "fanwire.rooms.pattern_holders": "unit/rooms/test_pattern_members.py: the members ask it",
    "fanwire.rooms.state_joins": "system/test_repair.py and test_shared_snapshots.py: it needs snapshots",
    "fanwire.cluster.history_pages": "system/test_history_clients.py: every page needs a session",
    "fanwire.backplane.base": "contract/test_backplane.py: an interface",
    "fanwire.backplane.child": "system/test_workers.py: a process",
    "fanwire.backplane.embedded": "contract/test_backplane.py and system/test_workers.py: a process",
    "fanwire.backplane.nats": "contract/test_backplane.py: every method needs a NATS server",
    "fanwire.backplane.nats_client": "contract/test_nats_access.py and test_backplane.py: it is a connection to NATS",
    "fanwire.cluster.catch_up": "system/test_cluster.py and test_chaos.py: it brings logs to an engine",
    "fanwire.cluster.subscriptions": "system/test_cluster.py: it is where engine and backplane meet",
    "fanwire.cluster.live_rooms": "system/test_cluster.py: it is where engine and backplane meet",
    "fanwire.cluster.history": "system/test_history.py: it reads a backplane",
    "fanwire.cluster.kept_message": "system/test_history.py: what a room keeps",
    "fanwire.cluster.room_logs": "system/test_cluster.py: a log that was lost",
    "fanwire.cluster.newest_values": "system/test_cluster.py: every answer goes to other nodes",
    "fanwire.cluster.backplane_events": "system/test_cluster.py and test_faults.py: events of a backplane",
    "fanwire.cluster.cluster": "system/test_cluster.py: it is where engine and backplane meet",
    "fanwire.cluster.parts": "system/test_cluster.py: composition",
    "fanwire.metrics.engine": "unit/metrics/test_registry.py: what a scrape gets",
    "fanwire.metrics.host": "unit/metrics/test_registry.py: what a scrape gets",
    "fanwire.runtime.application_handlers": "unit/runtime/test_dispatcher.py: what an application has declared",
    "fanwire.runtime.host": "unit/runtime/test_registry.py: composition, which every test of a host uses",
    "fanwire.runtime.link": "unit/runtime/test_engine_link.py: an interface",
    "fanwire.process.assembly": "system/test_restart.py and test_basics.py: composition of the whole server",
    "fanwire.runtime.background": "system/test_background.py: tasks of connections",
    "fanwire.process.lifecycle": "system/test_restart.py and test_stopping.py: the whole server",
    "fanwire.process.signals": "system/test_serve.py and test_shutdown.py: signals to a process",
    "fanwire.application": "system/test_basics.py and test_rights.py: handlers and rooms need a server",
    "fanwire.tracing": "system/test_tracing.py: spans of a server",
    "fanwire.server": "system/: composition, tested as a whole",
    "fanwire.http.server": "system/test_http_side.py and test_http.py",
    "fanwire.http.connection": "hostile/test_http.py and test_fuzz_http.py: a parser and a transport",
    "fanwire.http.lifespan": "system/test_embedding.py: it is an application that starts and ends",
    "fanwire.http.routes": "system/test_http.py: every answer needs a request",
    "fanwire.http.site": "system/test_embedding.py: every answer needs an application",
    "fanwire.http.websocket": "system/test_embedding.py: every message needs an application",
    "fanwire.http.publishing": "system/test_http.py: every answer needs a request",
    "fanwire.recording.replaying": "system/test_recording.py: it publishes at a server, by clients and publishers",
    "fanwire.publisher.async_http_poster": "system/test_publisher.py: requests to a server",
    "fanwire.publisher.async_nats_poster": "system/test_publisher_nats.py: requests to a node",
    "fanwire.publisher.asynchronous": "system/test_publisher.py and test_publisher_nats.py: composition",
    "fanwire.publisher.http_answers": "system/test_publisher.py: a server that answers byte by byte",
    "fanwire.publisher.http_poster": "system/test_publisher.py: requests to a server",
    "fanwire.publisher.nats_connections": "system/test_publisher_nats.py: it is a connection to NATS",
    "fanwire.publisher.nats_poster": "system/test_publisher_nats.py: requests to a node",
    "fanwire.publisher.synchronous": "system/test_publisher.py and test_publisher_nats.py: composition",
    "fanwire.subscribers.local_member": "system/test_subscribe.py: it is a connection to the engine",
    "fanwire.subscribers.services": "system/test_subscribe.py: what subscriptions share",
    "fanwire.subscribers.subscription": "system/test_subscribe.py and test_subscribe_cluster.py: it needs a server",
    "fanwire.__main__": "system/test_cli.py",
    "fanwire.admin.live_readings": "system/test_live_readings.py: samples of a whole server",
    "fanwire.cli.client_commands": "system/test_cli.py: they need a server",
    "fanwire.cli.recording_commands": "system/test_recording_commands.py: they read files, and publish to a server",
    "fanwire.cli.connecting": "system/test_cli.py: it is a connection to a server",
    "fanwire.cli.demo_command": "unit/cli/test_commands.py and system/test_demo.py: the demo",
    "fanwire.cli.doctor_command": "system/test_doctor.py: it runs all probes and checks",
    "fanwire.cli.failure": "unit/cli/test_settings.py and test_address.py: every wrong word ends in one",
    "fanwire.cli.serve_command": "unit/cli/test_settings.py and test_commands.py: options that are typed",
    "fanwire.cli.option_values": "unit/cli/test_settings.py: options that are wrong",
    "fanwire.cli.program": "system/test_programs.py and test_programs_wrong.py: it imports a program",
    "fanwire.cli.publish": "system/test_cli.py: it needs a server",
    "fanwire.cli.option_tables": "unit/cli/test_settings.py: files and options become settings",
    "fanwire.cli.settings_layers": "unit/cli/test_environment.py and test_settings.py: file and environment",
    "fanwire.cli.subscribe": "system/test_cli.py: it needs a server",
    "fanwire.cli.top": "system/test_top.py: it needs a server",
    "fanwire.client.actions": "unit/client/test_machine.py: values that the machine returns",
    "fanwire.client.arguments": "unit/client/test_machine.py and system/test_client_arguments.py",
    "fanwire.client.callbacks": "system/test_client_scripted.py: one that fails harms no other",
    "fanwire.client.client": "system/test_client.py: composition, tested as a whole",
    "fanwire.client.connecting": "system/test_client_connecting.py and test_client_arguments.py: connections",
    "fanwire.client.commands": "unit/client/test_machine.py and test_calls.py: all begin with one",
    "fanwire.client.dial": "system/test_client_connecting.py: connections to several addresses",
    "fanwire.client.dialer": "system/test_client_transports.py: proxies that block a transport",
    "fanwire.client.driver": "system/test_client_scripted.py: tasks and timers",
    "fanwire.client.due": "unit/client/test_rooms.py: what is missing is asked for after a time",
    "fanwire.client.errors": "unit/client/test_machine.py: what the client's errors say",
    "fanwire.client.feed": "system/test_client_queues.py: what an application has taken",
    "fanwire.client.fields": "unit/client/test_rooms.py: numbers of messages",
    "fanwire.client.incoming": "unit/client/test_machine.py: every message of a server",
    "fanwire.client.http_channel": "system/test_client_fallbacks.py: requests over connections that are kept or lost",
    "fanwire.client.http_link": "system/test_client_fallbacks.py: events and POSTs",
    "fanwire.client.link": "system/test_client_connecting.py and test_client_fallbacks.py: what all links have",
    "fanwire.client.long_poll_link": "system/test_client_fallbacks.py: polls and their counts",
    "fanwire.client.message": "unit/client/test_rooms.py: values that the machine returns",
    "fanwire.client.messages": "system/test_client_queues.py: what an application has taken",
    "fanwire.client.network": "system/test_slow_networks.py: what the kernel says",
    "fanwire.client.open_rooms": "system/test_client_joins.py: joins that meet",
    "fanwire.client.options": "system/test_client_arguments.py",
    "fanwire.client.outgoing": "unit/client/test_session.py: what is counted",
    "fanwire.client.parts": "unit/client/test_machine.py: it has no code but the parts",
    "fanwire.client.pending_requests": "unit/client/test_calls.py: requests that were withdrawn",
    "fanwire.client.registry": "unit/client/test_membership.py: rooms that come and go",
    "fanwire.client.room": "system/test_client.py and test_room_ends.py: what an application sees",
    "fanwire.client.runtime": "system/test_client_scripted.py: a client at work",
    "fanwire.client.sse_link": "system/test_client_fallbacks.py: an event stream",
    "fanwire.client.stream": "system/test_client_queues.py: loops that wait",
    "fanwire.client.token_source": "system/test_client_tokens.py: functions that fail or hang",
    "fanwire.client.websocket_link": "system/test_client_connecting.py and test_client_closes.py: one WebSocket",
    "fanwire.doctor.url_probe": "system/test_doctor.py: it asks a server",
    "fanwire.demo.app": "system/test_demo.py: a server with a page",
    "fanwire.demo.readings": "system/test_demo.py: this machine's own readings",
    "fanwire.demo.rooms": "system/test_demo.py: what clients may do in each room",
    "fanwire.demo.site": "system/test_demo.py: the files that are served",
    "fanwire.testing.fault_proxy": "system/test_testing.py: faults between clients and a server",
    "fanwire.testing.raw_client": "system/test_testing.py: one WebSocket",
    "fanwire.testing.server_run": "system/test_testing.py: servers that run for a test",
}
"""Modules without a test file of their own: where they are tested, and why there."""


def modules() -> list[str]:
    found = [module.name for module in pkgutil.walk_packages(fanwire.__path__, "fanwire.")]
    return sorted(name for name in found if name != "fanwire._engine")


def test_the_public_names() -> None:
    assert fanwire.__all__ == PUBLIC
    assert fanwire.testing.__all__ == TESTING


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


@pytest.mark.parametrize("name", [*PUBLIC, *(f"testing.{name}" for name in TESTING)])
def test_every_public_name_and_what_it_offers_is_described(name: str) -> None:
    thing = attrgetter(name)(fanwire)
    assert thing.__doc__
    for attribute, value in vars(thing).items():
        if attribute.startswith("_") or not (inspect.isfunction(value) or isinstance(value, property)):
            continue
        assert inspect.getdoc(value), f"{name}.{attribute}"


def own_test(name: str) -> Path:
    """The test file in the place of a module."""
    *folders, last = name.split(".")[1:]
    return TESTS / "unit" / Path(*folders, f"test_{last}.py")


@pytest.mark.parametrize("name", modules())
def test_every_module_says_what_it_is_and_is_tested(name: str) -> None:
    if name == "fanwire.__main__":
        assert name in ELSEWHERE
        return
    module = importlib.import_module(name)
    assert module.__doc__
    assert hasattr(module, "__path__") or own_test(name).exists() is not (name in ELSEWHERE)


def test_what_is_tested_elsewhere_exists() -> None:
    assert set(ELSEWHERE) <= set(modules())
    for places in ELSEWHERE.values():
        folder = Path()
        for place in places.split(":")[0].split(" and "):
            # A second one lies in the folder of the first.
            path = folder / place if "/" not in place else Path(place)
            folder = path if place.endswith("/") else path.parent
            assert (TESTS / path).exists(), path


def test_folders_of_units_are_those_of_the_modules() -> None:
    packages = {name.split(".")[1] for name in modules() if name.count(".") > 1}
    assert {path.parent.name for path in (TESTS / "unit").glob("*/test_*.py")} <= packages
