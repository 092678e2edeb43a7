"""Records what a test does with a machine and its queues, as a script."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from random import Random
from typing import Any

from msgspec import UNSET

from fanwire.client import actions as do
from fanwire.client.commands import Commands
from fanwire.client.failures import Failure
from fanwire.client.machine import Machine
from fanwire.client.message import Message
from fanwire.client.message_queue import MAX_MESSAGES, MessageQueue
from fanwire.errors import FanwireError
from helpers.vectors.forms import NotJson, action_form, error_form, message_form, raw_form, value_form
from helpers.vectors.player import AT_FIRST, look, look_at_queue

__all__ = ["Recorder", "Script"]

MACHINE = (
    "start", "opened", "refused", "unreachable", "lost", "received", "violated", "tick", "close", "switching",
    "switched", "stayed", "overtaken",
)  # fmt: skip
COMMANDS = (
    "join", "join_pattern", "configure", "leave", "publish", "request", "withdraw", "processed", "fall_behind",
    "catch_up", "refresh", "dropped", "watch", "report", "renewed", "renewal_failed",
)  # fmt: skip
DEFAULTS = {"max_attempts": 20, "name": "c", "heartbeat": None}
"""Options that a script does not mention."""
QUEUE = ("put", "pop", "release", "passed", "drop_values", "has_value_before")
SETTINGS = ("is_latest", "drops", "max_messages")


class Script:
    """What one test does with one machine, and with its queues."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.options: dict[str, Any] = {}
        self.steps: list[dict[str, Any]] = []
        self.has_machine = False
        self.is_bad = False
        self.queues = 0
        self.at = 0.0
        self.seen: dict[str, Any] = dict(AT_FIRST)

    @property
    def document(self) -> dict[str, Any]:
        """The script as it is written."""
        return {"name": self.name, **{key: value for key, value in self.options.items() if value}, "steps": self.steps}


class Recorder:
    """Makes machines and queues that write down what is done with them.

    Args:
        name: the name of the test.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._depth = 0
        self._draws: list[float] = []
        self.scripts: list[Script] = []

    def script(self) -> Script:
        """The script that is written at present."""
        if not self.scripts:
            self.scripts.append(Script(self._name))
        return self.scripts[-1]

    def dice(self, seed: int) -> Random:
        """Dice that write down what they show."""
        recorder = self

        class Recorded(Random):
            def random(self) -> float:
                drawn = round(super().random(), 6)
                recorder._draws.append(drawn)
                return drawn

        return Recorded(seed)

    def machine(self, codec: Any, backoff: Any, renewal: Any, dice: Any, **options: Any) -> Machine:
        """Makes a machine."""
        script = self.script()
        if script.has_machine:
            script = Script(f"{self._name} ({len(self.scripts) + 1})")
            self.scripts.append(script)
        script.has_machine = True
        given = {**options, "max_attempts": backoff._max_attempts}
        script.options = {
            "encoding": codec.subprotocol.rpartition(".")[2],
            "options": {key: value_form(given[key]) for key in given if given[key] != DEFAULTS.get(key)},
        }
        machine = Machine(codec, backoff, renewal, dice, **options)
        taken: list[do.Action] = []
        take = machine.take
        for target, names in ((machine, MACHINE), (_Open(machine), COMMANDS)):
            for name in names:
                method = functools.partial(self._call, script, machine, take, taken, name, getattr(target, name))
                if isinstance(target, Machine):
                    setattr(target, name, method)
                else:
                    target.__dict__[name] = method
            if not isinstance(target, Machine):
                machine.commands = target  # type: ignore[assignment]  # it has the same methods

        def take_all() -> list[do.Action]:
            actions, taken[:] = [*taken, *take()], []
            return actions

        machine.take = take_all  # type: ignore[method-assign]  # the actions were taken after each call
        return machine

    def queue(self, *args: Any, **options: Any) -> MessageQueue:
        """Makes a queue."""
        recorder, script = self, self.script()

        class Recorded(MessageQueue):
            number = script.queues + 1

            def __setattr__(self, name: str, value: Any) -> None:
                super().__setattr__(name, value)
                if name in SETTINGS and not recorder._depth:
                    script.steps.append({"do": "queue.set", "queue": self.number, name: value})

        script.queues += 1
        self._depth += 1
        queue = Recorded(*args, **options)
        self._depth -= 1
        script.steps.append(
            {"do": "queue.new", "queue": queue.number, "max_messages": queue.max_messages, "drops": queue.drops}
        )
        if queue.max_messages == MAX_MESSAGES:
            del script.steps[-1]["max_messages"]
        for name in QUEUE:
            setattr(queue, name, functools.partial(self._queue_call, script, queue, name, getattr(queue, name)))
        return queue

    def _call(
        self,
        script: Script,
        machine: Machine,
        take: Callable[[], list[do.Action]],
        taken: list[do.Action],
        name: str,
        method: Callable[..., Any],
        *args: Any,
        **options: Any,
    ) -> Any:
        if self._depth:
            return method(*args, **options)
        given = _arguments(method, args, options)
        step: dict[str, Any] = {"do": name}
        at = given.pop("now", script.at)
        if at != script.at:
            step["at"] = script.at = at
        said = ""
        if name == "received":
            said = given["frame"] if isinstance(given["frame"], str) else ""
            step["frame"] = raw_form(given.pop("frame"))
        forms = {key: _argument(value) for key, value in given.items()}
        step.update({key: form for key, form in forms.items() if form is not NO_FORM})
        is_plain = NO_FORM not in forms.values()
        self._depth += 1
        self._draws.clear()
        try:
            result = method(*args, **options)
        except (TypeError, ValueError, FanwireError) as error:
            step["raises"] = error_form(error)
            if is_plain:
                script.steps.append(step)
            raise
        finally:
            self._depth -= 1
        actions = take()
        taken += actions
        if self._draws:
            step["random"] = list(self._draws)
        if result is not None:
            step["result"] = result
        if actions:
            step["actions"] = [action_form(action, said) for action in actions]
        _look(script.seen, step, look(machine))
        script.is_bad |= not is_plain or script is not self.scripts[-1]
        script.steps.append(step)
        return result

    def _queue_call(
        self, script: Script, queue: Any, name: str, method: Callable[..., Any], *args: Any, **options: Any
    ) -> Any:
        if self._depth:
            return method(*args, **options)
        step: dict[str, Any] = {"do": f"queue.{name}", "queue": queue.number}
        for key, value in _arguments(method, args, options).items():
            step[key] = _argument(value)
        self._depth += 1
        result = method(*args, **options)
        self._depth -= 1
        if isinstance(result, tuple) and result and isinstance(result[0], Message):
            step["result"] = {"message": message_form(result[0]), "note": result[1]}
        elif result is not None:
            step["result"] = value_form(result)
        _look(script.seen.setdefault(f"queue {queue.number}", {}), step, look_at_queue(queue))
        script.steps.append(step)
        return result


class _Open:
    """The commands of a machine, with room for what records them."""

    def __init__(self, machine: Machine) -> None:
        commands: Commands = machine.commands
        for name in COMMANDS:
            self.__dict__[name] = getattr(commands, name)


def _look(before: dict[str, Any], step: dict[str, Any], now: dict[str, Any]) -> None:
    """Writes down what has changed."""
    for key, value in now.items():
        if key not in before or before[key] != value:
            before[key] = step[key] = value


def _arguments(method: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name, without those that have their default."""
    bound = inspect.signature(method).bind(*args, **options).arguments
    defaults = {name: parameter.default for name, parameter in inspect.signature(method).parameters.items()}
    return {name: value for name, value in bound.items() if value is not UNSET and value is not defaults[name]}


NO_FORM = object()


def _argument(value: Any) -> Any:
    """The form of an argument; `NO_FORM`: it has none."""
    if isinstance(value, Message):
        return message_form(value)
    if isinstance(value, Failure):
        return value.name.lower()
    number = getattr(value, "number", None)
    try:
        return value_form(value) if number is None else number
    except NotJson:
        return NO_FORM
