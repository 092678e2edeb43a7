"""Fanwire: publish once, every subscriber, off the interpreter."""

from fanwire.client import (
    Client,
    ClientClosed,
    ClientError,
    ClientState,
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
from fanwire.errors import EngineClosed, EngineError, Overloaded, Refused, RoomFull
from fanwire.identity import ANONYMOUS, Anonymous, Identity
from fanwire.policy import Snapshot
from fanwire.reject import Reject
from fanwire.request import Request
from fanwire.server import Server
from fanwire.state import State

__all__ = [
    "ANONYMOUS",
    "Anonymous",
    "Client",
    "ClientClosed",
    "ClientError",
    "ClientState",
    "CloseCode",
    "Config",
    "Connection",
    "ConnectionFailed",
    "EngineClosed",
    "EngineError",
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
