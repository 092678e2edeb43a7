"""A client of the protocol in docs/protocol.md. It reconnects by itself and continues where it was."""

from fanwire.client.client import Client, connect
from fanwire.client.message import Gap, Member, Message, Position, Skipped
from fanwire.client.messages import Messages
from fanwire.client.room import Room
from fanwire.errors import ConnectionFailed, RequestFailed, RoomEnded

__all__ = [
    "Client",
    "ConnectionFailed",
    "Gap",
    "Member",
    "Message",
    "Messages",
    "Position",
    "RequestFailed",
    "Room",
    "RoomEnded",
    "Skipped",
    "connect",
]
