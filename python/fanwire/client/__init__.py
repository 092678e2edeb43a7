"""A client of the protocol in docs/protocol.md. It reconnects by itself and continues where it was."""

from typing import TYPE_CHECKING

from fanwire.lazy_names import lazy_names

if TYPE_CHECKING:
    from fanwire.client.client import Client
    from fanwire.client.connecting import connect
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

_MODULES = {
    "Client": "fanwire.client.client",
    "ConnectionFailed": "fanwire.errors",
    "Gap": "fanwire.client.message",
    "Member": "fanwire.client.message",
    "Message": "fanwire.client.message",
    "Messages": "fanwire.client.messages",
    "Position": "fanwire.client.message",
    "RequestFailed": "fanwire.errors",
    "Room": "fanwire.client.room",
    "RoomEnded": "fanwire.errors",
    "Skipped": "fanwire.client.message",
    "connect": "fanwire.client.connecting",
}
"""The module of each name: the imports above, which are for type checkers. A test compares the two."""

__getattr__, __dir__ = lazy_names(__name__, globals(), _MODULES)
