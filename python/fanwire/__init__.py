"""Fanwire: publish once, every subscriber, off the interpreter."""

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
from fanwire.errors import Closed, EngineClosed, EngineError, FanwireError, Overloaded, Refused, RoomFull
from fanwire.identity import ANONYMOUS, Anonymous, Identity
from fanwire.policy import Snapshot
from fanwire.reject import Reject
from fanwire.request import Request
from fanwire.server import Server
from fanwire.state import ConnectionState, State

__all__ = [
    "ANONYMOUS",
    "Anonymous",
    "Client",
    "CloseCode",
    "Closed",
    "Config",
    "Connection",
    "ConnectionFailed",
    "ConnectionState",
    "EngineClosed",
    "EngineError",
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
    "RoomFull",
    "Server",
    "Skipped",
    "Snapshot",
    "State",
    "connect",
]
