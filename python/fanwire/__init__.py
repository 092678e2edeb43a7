"""Fanwire: a broadcast server and client. Publish a message once, and every subscriber gets it."""

from fanwire.client import (
    Client,
    ConnectionFailed,
    Gap,
    Member,
    Message,
    Position,
    RequestFailed,
    Room,
    RoomEnded,
    Skipped,
    connect,
)
from fanwire.codes import CloseCode
from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.errors import Closed, FanwireError, Overloaded, Refused, Reject, Unavailable
from fanwire.identity.identity import Identity
from fanwire.identity.request import Request
from fanwire.rooms.rules import Snapshot
from fanwire.server import Server
from fanwire.state import ConnectionState

__all__ = [
    "Client",
    "CloseCode",
    "Closed",
    "Config",
    "Connection",
    "ConnectionFailed",
    "ConnectionState",
    "FanwireError",
    "Gap",
    "Identity",
    "Member",
    "Message",
    "Overloaded",
    "Position",
    "Refused",
    "Reject",
    "Request",
    "RequestFailed",
    "Room",
    "RoomEnded",
    "Server",
    "Skipped",
    "Snapshot",
    "Unavailable",
    "connect",
]
