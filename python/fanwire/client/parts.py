"""The parts of the machine. Each keeps one thing, and the machine's modules share them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from fanwire.client.actions import Action
from fanwire.client.clock_offset import ClockOffset
from fanwire.client.codec import ClientCodec
from fanwire.client.keepalive import Vouching
from fanwire.client.lifecycle import ClientLifecycle
from fanwire.client.outgoing import Outgoing
from fanwire.client.pending_requests import Questions
from fanwire.client.receipts import Receipts
from fanwire.client.renewal import Renewal
from fanwire.client.reports import Reports
from fanwire.client.rooms import Rooms
from fanwire.client.session import ClientSession

__all__ = ["MachineParts"]


@dataclass(frozen=True)
class MachineParts:
    """The parts of one machine.

    Attributes:
        actions: the list to which the actions are added.
        lifecycle: the state.
        session: the id and the counts.
        questions: the requests that the server has not answered.
        receipts: the messages to this client alone.
        reports: what the application has taken.
        clock: the server's clock.
        vouching: the unsolicited pongs.
        renewal: when a new token is needed.
        out: sends messages.
        rooms: the rooms that are joined or being joined.
    """

    actions: list[Action]
    lifecycle: ClientLifecycle
    session: ClientSession
    questions: Questions
    receipts: Receipts
    reports: Reports
    clock: ClockOffset
    vouching: Vouching
    renewal: Renewal
    out: Outgoing
    rooms: Rooms

    @classmethod
    def made(
        cls, codec: ClientCodec, renewal: Renewal, dice: Random, *, name: str, max_frames: int, max_bytes: int
    ) -> MachineParts:
        """Makes the parts. The arguments are those of `Machine`."""
        actions: list[Action] = []
        session = ClientSession(max_frames, max_bytes)
        questions = Questions(max_frames, max_bytes)
        reports = Reports()
        clock = ClockOffset()
        out = Outgoing(codec, actions, questions, session, reports, name=name)
        return cls(
            actions=actions,
            lifecycle=ClientLifecycle(actions),
            session=session,
            questions=questions,
            receipts=Receipts(),
            reports=reports,
            clock=clock,
            vouching=Vouching(),
            renewal=renewal,
            out=out,
            rooms=Rooms(actions, questions, session, out, dice, clock, reports),
        )
