"""The host of an engine: builds the parts that serve connections, in the order in which they need each other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fanwire._engine import Engine
from fanwire.config import Config
from fanwire.connection import ConnectionServices
from fanwire.handlers.calls import Calls
from fanwire.handlers.time_slices import Turns
from fanwire.identity.authentication import Authentication
from fanwire.observability.health import Health
from fanwire.observability.limits import Limits
from fanwire.rooms.application_rooms import ApplicationRooms
from fanwire.rooms.authorization import Rights
from fanwire.rooms.node import Fabric
from fanwire.rooms.rules import Policies
from fanwire.runtime.application_handlers import Handlers
from fanwire.runtime.dispatcher import Dispatcher
from fanwire.runtime.host_tasks import HostTasks
from fanwire.runtime.publishing import Published
from fanwire.runtime.registry import ConnectionRegistry
from fanwire.runtime.rejections import Rejections
from fanwire.runtime.reports import Reports
from fanwire.runtime.session_messages import SessionMessages
from fanwire.runtime.websocket import LinkServices
from fanwire.sessions.renewal import Renewal
from fanwire.sessions.store import SessionStore

__all__ = ["Host", "make_host"]


@dataclass(frozen=True)
class Host:
    """The parts of a running server that serve connections.

    Attributes:
        engine: the engine.
        config: the configuration.
        limits: its limits, and the counts of what exceeds them.
        health: logs and counts errors.
        calls: runs awaitables of the application.
        fabric: the other nodes.
        tasks: the tasks of the server.
        turns: runs long work in time slices.
        messages: sends to sessions.
        registry: the connections.
        dispatcher: does what the messages of sessions ask for.
        published: the ids of messages that the application has published.
        connection_services: for new connections.
        link_services: for new links.
    """

    engine: Engine
    config: Config
    limits: Limits
    health: Health
    calls: Calls
    fabric: Fabric
    tasks: HostTasks
    turns: Turns
    messages: SessionMessages
    registry: ConnectionRegistry
    dispatcher: Dispatcher
    published: Published
    connection_services: ConnectionServices
    link_services: LinkServices


def make_host(
    fabric: Fabric,
    limits: Limits,
    handlers: Handlers,
    policies: Policies,
    store: SessionStore,
    rights: Rights,
    authentication: Authentication,
    rejections: Rejections,
    health: Health,
    calls: Calls,
) -> Host:
    """Builds the parts. To be called where the event loop runs.

    Args:
        fabric: the engine, and the other nodes.
        limits: the configuration, and the counts of what exceeds it.
        handlers: the application's.
        policies: of the rooms.
        store: keeps the records of sessions.
        rights: decides what a client may do.
        authentication: checks new tokens.
        rejections: carries out what handlers reject.
        health: logs and counts errors.
        calls: runs awaitables of the application.
    """
    engine, config = fabric.engine, limits.config
    tasks = HostTasks(health)
    turns = Turns(asyncio.get_running_loop(), health=health)
    health.check("the queue of turns", lambda: turns.is_well)
    messages = SessionMessages(engine)
    registry = ConnectionRegistry(
        fabric, limits, handlers, policies, store, rights, rejections, messages, turns, tasks, calls, health
    )
    memberships, revocation = registry.memberships, registry.revocation
    renewal = Renewal(authentication, registry.lifetimes, lambda renewed: revocation.recheck([renewed]))
    dispatcher = Dispatcher(
        fabric, policies, memberships, rights, limits, handlers.methods, turns, rejections, messages, tasks.spawn,
        calls, Reports(engine), renewal, health, handlers.on_message,
    )  # fmt: skip
    rooms = ApplicationRooms(
        fabric, policies, memberships, rights, registry.connections, tasks, rejections.handler_failed
    )
    return Host(
        engine=engine,
        config=config,
        limits=limits,
        health=health,
        calls=calls,
        fabric=fabric,
        tasks=tasks,
        turns=turns,
        messages=messages,
        registry=registry,
        dispatcher=dispatcher,
        published=Published(fabric),
        connection_services=ConnectionServices(
            rooms, messages, registry.background.spawn, config.ack_attempts, config.max_nesting
        ),
        link_services=LinkServices(
            engine, limits, calls, dispatcher, handlers.on_message, registry.let_go, rejections.handler_failed
        ),
    )
