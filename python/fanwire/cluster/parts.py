"""The parts of a node among others, and how they are joined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fanwire._engine import Engine
from fanwire.backplane.base import Backplane
from fanwire.cluster.append_queue import AppendQueue
from fanwire.cluster.catch_up import CatchUp
from fanwire.cluster.faults import Faults
from fanwire.cluster.forgetting import FORGET, Forgetting
from fanwire.cluster.forwarding import Forwarding
from fanwire.cluster.heartbeats import tag_of_node
from fanwire.cluster.live_rooms import LiveRooms
from fanwire.cluster.liveness import Liveness
from fanwire.cluster.log_starts import LogStarts
from fanwire.cluster.logged_publishing import LoggedPublishing
from fanwire.cluster.newest_values import NewestValues
from fanwire.cluster.pattern_rooms import PatternRooms
from fanwire.cluster.presence_sync import PresenceSync
from fanwire.cluster.publish_requests import PublishRequests
from fanwire.cluster.questions import NodeQuestions
from fanwire.cluster.revocations import ClusterRevocation, Revocations
from fanwire.cluster.room_logs import RoomLogs
from fanwire.cluster.subscriptions import Subscriptions
from fanwire.cluster.tasks import Tasks
from fanwire.cluster.user_messages import UserMessages
from fanwire.config import Config
from fanwire.rooms.node import NodeListener
from fanwire.rooms.rules import Policies

__all__ = ["ClusterParts", "join_parts"]


@dataclass(frozen=True)
class ClusterParts:
    """The parts of a node.

    Attributes:
        tasks: run what takes long.
        faults: count and log what fails.
        logs: of the rooms with a history.
        starts: positions of the logs from some seconds ago.
        append_queue: stores messages in the logs.
        logged: publishes in rooms with a history.
        live: the rooms without a history.
        patterns: the rooms that nodes read by patterns.
        values: the newest values of live rooms.
        catch_up: reads what is missing from the logs.
        presence: the members at other nodes.
        liveness: which nodes are there.
        subscriptions: the rooms that this node hears.
        revocations: of connections and rights.
        forgotten_keys: revocations of the values of keys.
        forgetting: of the values of keys.
        users: the messages to users.
        forwarding: the requests of links.
        publish_requests: of programs that are no node.
        questions: of operators.
    """

    tasks: Tasks
    faults: Faults
    logs: RoomLogs
    starts: LogStarts
    append_queue: AppendQueue
    logged: LoggedPublishing
    live: LiveRooms
    patterns: PatternRooms
    values: NewestValues
    catch_up: CatchUp
    presence: PresenceSync
    liveness: Liveness
    subscriptions: Subscriptions
    revocations: Revocations
    forgotten_keys: Revocations
    forgetting: Forgetting
    users: UserMessages
    forwarding: Forwarding
    publish_requests: PublishRequests
    questions: NodeQuestions


def join_parts(
    engine: Engine,
    backplane: Backplane,
    node: int,
    policies: Policies,
    config: Config,
    listener: Callable[[], NodeListener],
    faults: Faults,
    appended: Callable[[float, str], object],
) -> ClusterParts:
    """Makes the parts of a node. None of them does anything before the backplane is open.

    Args:
        engine: has the members of this node.
        backplane: connects the nodes.
        node: the id of this node.
        policies: of the rooms.
        config: the limits.
        listener: returns the listener of the node, which is there from its start on.
        faults: counts and logs what fails.
        appended: gets the seconds from publishing to the backplane's answer, and "stored" or "failed".
    """

    def apply(revocation: ClusterRevocation) -> None:
        if revocation.what == FORGET:
            forgetting.apply(revocation)
        else:
            listener().apply(revocation.what, revocation.whom, revocation.reason, revocation.room)

    def gone(node: int) -> None:
        """A node is dead: forgets its members and what it reads, and waits for nothing of it."""
        presence.drop(node)
        patterns.drop(node)
        forwarding.gone(tag_of_node(node))
        questions.gone(tag_of_node(node))

    tag = tag_of_node(node)
    tasks = Tasks(faults)
    logs = RoomLogs(backplane, config.history_bytes, tasks)
    patterns = PatternRooms(backplane, node)
    live = LiveRooms(engine, backplane, node, config.max_rooms, faults, patterns)
    append_queue = AppendQueue(backplane, config.append_timeout, tasks.spawn, faults, appended)
    logged = LoggedPublishing(append_queue, logs, node, config)
    revocations = Revocations(backplane, append_queue, node, apply, faults)
    # Apart from the others: there may be very many, and the log keeps a number of each.
    forgotten_keys = Revocations(backplane, append_queue, node, apply, faults, FORGET)
    presence = PresenceSync(
        backplane,
        node,
        lambda room: listener().present_here(room),
        lambda change: listener().remote_member_changed(*change),
        lambda node: liveness.sighted(node),
        faults,
    )
    liveness = Liveness(engine, backplane, node, live, presence, gone, faults)
    values = NewestValues(
        engine,
        backplane,
        node,
        tasks,
        lambda room: subscriptions.live_since(room),
        forgotten_keys.caught_up,
        faults,
    )
    catch_up = CatchUp(engine, backplane, logs, tasks, logged.excluded, lambda room: listener().renewed(room), faults)
    subscriptions = Subscriptions(backplane, logs, live, values, catch_up, presence, tasks, liveness.others, faults)
    forgetting = Forgetting(engine, policies, live, logged, forgotten_keys, subscriptions, tasks, config.append_items)
    forwarding = Forwarding(
        backplane,
        tag,
        lambda tag: tag in map(tag_of_node, liveness.heartbeats.others),
        lambda request: listener().answer(request),
        config.poll_timeout + SLACK,
        tasks,
        faults,
    )
    questions = NodeQuestions(backplane, tag, lambda question: listener().answer_question(question), tasks, faults)
    return ClusterParts(
        tasks=tasks,
        faults=faults,
        logs=logs,
        starts=LogStarts(backplane, logs),
        append_queue=append_queue,
        logged=logged,
        live=live,
        patterns=patterns,
        values=values,
        catch_up=catch_up,
        presence=presence,
        liveness=liveness,
        subscriptions=subscriptions,
        revocations=revocations,
        forgotten_keys=forgotten_keys,
        forgetting=forgetting,
        users=UserMessages(
            backplane, node, config.max_nesting, tasks, lambda *message: listener().for_user(*message), faults
        ),
        forwarding=forwarding,
        publish_requests=PublishRequests(backplane, tag, lambda body: listener().publish_batch(body), tasks, faults),
        questions=questions,
    )


SLACK = 5.0
"""Seconds that the reply of another node may take longer than a poll waits there."""
