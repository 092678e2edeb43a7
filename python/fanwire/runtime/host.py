"""The host of an engine: builds the parts that serve connections, in the order in which they need each other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fanwire._engine import Engine
from fanwire.config import Config
from fanwire.connection import ConnectionServices
from fanwire.handlers.calls import ApplicationCalls
from fanwire.handlers.time_slices import TimeSlices
from fanwire.identity.authentication import Authentication
from fanwire.observability.health import Health
from fanwire.observability.limits import Limits
from fanwire.rooms.application_rooms import ApplicationRooms
from fanwire.rooms.authorization import Rights
from fanwire.rooms.node import Node
from fanwire.rooms.publish_hooks import PublishHooks
from fanwire.rooms.rules import Policies
from fanwire.runtime.application_handlers import Handlers
from fanwire.runtime.dispatcher import Dispatcher
from fanwire.runtime.engine_link import LinkServices
from fanwire.runtime.host_tasks import HostTasks
from fanwire.runtime.publishing import IdempotentPublishing
from fanwire.runtime.registry import ConnectionRegistry
from fanwire.runtime.rejections import Rejections
from fanwire.runtime.reports import ReceivedReports
from fanwire.runtime.session_messages import SessionMessages
from fanwire.sessions.renewal import TokenRenewal
from fanwire.sessions.store import SessionStore
from fanwire.subscribers.room_watch import RoomWatch
from fanwire.subscribers.services import SubscriberServices
from fanwire.transports.fallback_links import FallbackLinks
from fanwire.transports.link_tokens import LinkTokens

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
        node: the other nodes.
        tasks: the tasks of the server.
        slices: runs long work in time slices.
        messages: sends to sessions.
        registry: the connections.
        dispatcher: does what the messages of sessions ask for.
        published: the ids of messages that the application has published.
        connection_services: for new connections.
        link_services: for new links.
        fallbacks: the links of fallback transports.
    """

    engine: Engine
    config: Config
    limits: Limits
    health: Health
    calls: ApplicationCalls
    node: Node
    tasks: HostTasks
    slices: TimeSlices
    messages: SessionMessages
    registry: ConnectionRegistry
    dispatcher: Dispatcher
    published: IdempotentPublishing
    connection_services: ConnectionServices
    link_services: LinkServices
    fallbacks: FallbackLinks
    subscribers: SubscriberServices


def make_host(
    node: Node,
    limits: Limits,
    handlers: Handlers,
    policies: Policies,
    store: SessionStore,
    rights: Rights,
    authentication: Authentication,
    rejections: Rejections,
    health: Health,
    calls: ApplicationCalls,
) -> Host:
    """Builds the parts. To be called where the event loop runs.

    Args:
        node: the engine, and the other nodes.
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
    engine, config = node.engine, limits.config
    tasks = HostTasks(health)
    slices = TimeSlices(asyncio.get_running_loop(), health=health)
    health.check("the queue of time slices", lambda: slices.is_well)
    messages = SessionMessages(engine)
    registry = ConnectionRegistry(
        node, limits, handlers, policies, store, rights, rejections, messages, slices, tasks, calls, health
    )
    memberships, revocation = registry.memberships, registry.revocation
    renewal = TokenRenewal(authentication, registry.lifetimes, lambda renewed: revocation.recheck([renewed]))
    dispatcher = Dispatcher(
        node, policies, memberships, rights, limits, handlers.methods,
        PublishHooks(handlers.on_publish, calls, health, config.max_nesting), slices, rejections, messages, tasks.spawn,
        calls, ReceivedReports(engine), renewal, health, handlers.inputs, handlers.on_message,
    )  # fmt: skip
    rooms = ApplicationRooms(
        node, policies, memberships, rights, registry.connections, tasks, rejections.handler_failed
    )
    return Host(
        engine=engine,
        config=config,
        limits=limits,
        health=health,
        calls=calls,
        node=node,
        tasks=tasks,
        slices=slices,
        messages=messages,
        registry=registry,
        dispatcher=dispatcher,
        published=IdempotentPublishing(node),
        connection_services=ConnectionServices(
            rooms, messages, registry.background.spawn, config.ack_attempts, config.max_nesting
        ),
        link_services=LinkServices(
            engine, limits, calls, dispatcher, handlers.on_message, registry.let_go, rejections.handler_failed
        ),
        fallbacks=FallbackLinks(LinkTokens(node.tag)),
        subscribers=SubscriberServices(
            asyncio.get_running_loop(), node, policies, RoomWatch(node), tasks.spawn, tasks.on_loop, {}
        ),
    )
