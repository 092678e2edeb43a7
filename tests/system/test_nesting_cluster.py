"""Nodes that allow different depths: what is too deep for one is dropped there and told, and nothing else suffers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.nodes import cluster
from helpers.wait import until, within

import fanwire
from fanwire.client import Gap

DEEP: Any = json.loads("[" * 20 + "]" * 20)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("history", [0, 10])
async def test_what_is_too_deep_for_a_node_is_told_to_its_members(codec: str, history: int, tmp_path: Path) -> None:
    async with cluster("memory", tmp_path) as nodes:
        deep, flat = nodes.node({"max_nesting": 64}), nodes.node({"max_nesting": 10})
        for server in (deep, flat):
            server.room("r", history=history)
        async with deep, flat, fanwire.connect(flat.url, encoding=codec) as client:
            room = await within(client.join("r"))
            await within(deep.publish_acked("r", "before"))
            assert (await within(anext(room))).data == "before"
            await within(deep.publish_acked("r", DEEP))
            await within(deep.publish_acked("r", "after"))
            message = await within(anext(room))
            assert (message.data, message.gap) == ("after", Gap("backplane", message.seq - 2, message.seq - 1))
            # A reader of a node that allows it has it.
            if history:
                async with fanwire.connect(deep.url, encoding=codec) as other:
                    again = await within(other.join("r", since=(room.position.epoch, message.seq - 2)))
                    assert (await within(anext(again))).data == DEEP


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_history_that_holds_what_is_too_deep_is_not_whole(codec: str, tmp_path: Path) -> None:
    async with cluster("memory", tmp_path) as nodes:
        deep, flat = nodes.node({"max_nesting": 64}), nodes.node({"max_nesting": 10})
        for server in (deep, flat):
            server.room("r", history=10)
        async with deep, flat, fanwire.connect(flat.url, encoding=codec) as client:
            for data in ("one", DEEP, "three", "four"):
                await within(deep.publish_acked("r", data))
            epoch = (await within(client.join("r"))).position.epoch
            await within(client.leave("r"))
            whole = await within(client.join("r", since=(epoch, 2)))
            assert [(await within(anext(whole))).data for _ in range(2)] == ["three", "four"]
            await within(client.leave("r"))
            broken = await within(client.join("r", since=(epoch, 1)))
            await within(deep.publish_acked("r", "five"))
            message = await within(anext(broken))
            assert (message.data, message.gap) == ("five", Gap("history", 1, 4))


async def test_what_is_too_deep_for_a_users_node_is_dropped_there(tmp_path: Path) -> None:
    async with cluster("memory", tmp_path) as nodes:
        options = {"authenticate": lambda request: fanwire.Identity(subject="ann")}
        deep, flat = nodes.node({"max_nesting": 64}, **options), nodes.node({"max_nesting": 10}, **options)
        async with deep, flat, fanwire.connect(flat.url) as client:
            messages = client.messages()
            await until(lambda: len(flat.opened) == 1, "the user is there")
            deep.send_to_user("ann", DEEP)
            deep.send_to_user("ann", "after")
            assert (await within(anext(messages))).data == "after"
