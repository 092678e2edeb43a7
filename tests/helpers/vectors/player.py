"""Plays a script to the machine of Python."""

from __future__ import annotations

import base64
from random import Random
from typing import Any

from msgspec import UNSET

from fanwire.client.backoff import Backoff
from fanwire.client.codec import ClientCodec
from fanwire.client.failures import Failure
from fanwire.client.machine import Machine
from fanwire.client.message import Gap, Message, Position
from fanwire.client.message_queue import MAX_MESSAGES, MessageQueue
from fanwire.client.renewal import Renewal
from fanwire.errors import FanwireError
from helpers.vectors.forms import action_form, error_form, message_form, raw_frame, value_form

__all__ = ["AT_FIRST", "Player", "look", "look_at_queue"]


AT_FIRST = {"state": "connecting", "deadline": None, "is_full": False, "session": None, "received": 0}
"""What can be seen of a new machine."""


def look(machine: Machine) -> dict[str, Any]:
    """What can be seen of a machine."""
    return {
        "state": machine.state.value,
        "deadline": machine.deadline,
        "is_full": machine.is_full,
        "session": machine.session.id,
        "received": machine.session.received,
    }


def look_at_queue(queue: MessageQueue) -> dict[str, Any]:
    """What can be seen of a queue."""
    return {"length": len(queue), "taken": queue.taken, "taken_bytes": queue.taken_bytes, "is_over": queue.is_over()}


class Player:
    """A machine, and its queues, that do what a script says.

    Args:
        script: the script.
    """

    def __init__(self, script: dict[str, Any]) -> None:
        self._draws: list[float] = []
        self._queues: dict[int, MessageQueue] = {}
        self._at = 0.0
        self._machine: Machine | None = None
        if "encoding" in script:
            options = {"max_attempts": 20, "name": "c", **script.get("options", {})}
            dice = self._dice()
            backoff = Backoff(dice, max_attempts=options.pop("max_attempts"))
            self._machine = Machine(ClientCodec(script["encoding"]), backoff, Renewal(dice), dice, **options)

    def play(self, step: dict[str, Any]) -> dict[str, Any]:
        """Does a step; returns what came of it, under the names that the step has for it."""
        self._at = step.get("at", self._at)
        if step["do"].startswith("queue."):
            return self._play_queue(step)
        machine = self._machine
        assert machine is not None
        self._draws[:] = step.get("random", [])
        name = step["do"]
        target: Any = machine if hasattr(machine, name) else machine.commands
        given = {key: _value(key, value) for key, value in step.items() if key not in TOLD}
        if name in AT:
            given["now"] = self._at
        if "queue" in given:
            given["queue"] = self._queues[given["queue"]]
        came: dict[str, Any] = {}
        try:
            result = getattr(target, name)(**given)
            if result is not None:
                came["result"] = result
        except (TypeError, ValueError, FanwireError) as error:
            return {"raises": error_form(error)}
        frame = given.get("frame")
        actions = [action_form(action, frame if isinstance(frame, str) else "") for action in machine.take()]
        if actions:
            came["actions"] = actions
        if step.get("random"):
            came["random"] = step["random"][: len(step["random"]) - len(self._draws)]
        return {**came, **look(machine)}

    def _play_queue(self, step: dict[str, Any]) -> dict[str, Any]:
        name = step["do"].partition(".")[2]
        given = {
            key: _value(key, value) for key, value in step.items() if key not in TOLD and key != "queue"
        }  # fmt: skip
        if name == "new":
            given.setdefault("max_messages", MAX_MESSAGES)
            self._queues[step["queue"]] = MessageQueue(**given)
            return {}
        queue = self._queues[step["queue"]]
        if name == "set":
            for key, value in given.items():
                setattr(queue, key, value)
            return {}
        result = getattr(queue, name)(**given)
        came: dict[str, Any] = {}
        if name == "pop":
            came["result"] = {"message": message_form(result[0]), "note": result[1]}
        elif result is not None:
            came["result"] = value_form(result)
        return {**came, **look_at_queue(queue)}

    def _dice(self) -> Random:
        draws = self._draws

        class Given(Random):
            def random(self) -> float:
                return draws.pop(0)

        return Given()


AT = frozenset({
    "opened", "refused", "unreachable", "lost", "received", "violated", "tick", "switched", "stayed", "overtaken",
    "refresh", "report", "renewal_failed",
})  # fmt: skip
"""Steps that are told the time."""

TOLD = frozenset({
    "do", "at", "random", "result", "raises", "actions", "state", "deadline", "is_full", "session", "received",
    "length", "taken", "taken_bytes", "is_over",
})  # fmt: skip
"""What a step has besides its arguments."""


def _value(key: str, value: Any) -> Any:
    """An argument from its form."""
    if key == "since":
        return Position(value["epoch"], value["seq"])
    if key == "frame":
        return raw_frame(value)
    if key == "failure":
        return Failure[value.upper()]
    if key == "message":
        gap = value.get("gap")
        return Message(**{**value, "gap": None if gap is None else Gap(**{"after": None, "upto": None, **gap})})
    if isinstance(value, dict) and "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    if isinstance(value, dict):
        return {name: _value("", each) for name, each in value.items()}
    if isinstance(value, list):
        return [_value("", each) for each in value]
    return UNSET if value == {"$unset": True} else value
