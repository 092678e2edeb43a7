"""Endpoints about nodes: what they are, their limits, their settings, and their health in words."""

from __future__ import annotations

import msgspec

from fanwire.admin.documents import LimitCount, LimitList, Nodes, NodesConfig, NodesHealth
from fanwire.admin.endpoints import AdminCall, Endpoint, NodeQuery
from fanwire.admin.questions import ConfigQuestion, HealthQuestion, LimitsQuestion, NodeQuestion

__all__ = ["ENDPOINTS"]


async def nodes(call: AdminCall) -> Nodes:
    answers = await call.ask(NodeQuestion())
    return Nodes(details=answers.values, **answers.who)


async def limits(call: AdminCall) -> LimitList:
    answers = await call.ask(LimitsQuestion())
    config = msgspec.structs.asdict(call.this.host.config)
    names = {name for counts in answers.values for name in counts}
    found = []
    for name in names:
        by_node = {node: counts.get(name, 0) for node, counts in answers.by_node.items()}
        found.append(LimitCount(limit=name, value=config.get(name), exceeded=sum(by_node.values()), by_node=by_node))
    found.sort(key=lambda one: (-one.exceeded, one.limit))
    return LimitList(limits=found, **answers.who)


async def config(call: AdminCall) -> NodesConfig:
    answers = await call.ask(ConfigQuestion())
    return NodesConfig(details=answers.values, **answers.who)


async def health(call: AdminCall) -> NodesHealth:
    answers = await call.ask(HealthQuestion())
    is_ready = not answers.unanswered and all(answer.ready for answer in answers.values)
    return NodesHealth(ready=is_ready, details=answers.values, **answers.who)


ENDPOINTS = (
    Endpoint("GET", "/nodes", "read", "Lists the nodes, with their counts.", nodes, Nodes, NodeQuery),
    Endpoint("GET", "/limits", "read", "Lists limits, and how often each was exceeded.", limits, LimitList, NodeQuery),
    Endpoint("GET", "/config", "read", "Lists the settings of the nodes.", config, NodesConfig, NodeQuery),
    Endpoint("GET", "/health", "read", "Says which nodes are ready, and why not.", health, NodesHealth, NodeQuery),
)
"""The endpoints about nodes."""
