"""Fanwire: publish once, every subscriber, off the interpreter."""

from fanwire.codes import CloseCode
from fanwire.config import Config
from fanwire.connection import Connection
from fanwire.errors import EngineClosed, EngineError, Overloaded, Refused, RoomFull
from fanwire.policy import Snapshot
from fanwire.request import Request
from fanwire.server import Server
from fanwire.state import State

__all__ = [
    "CloseCode",
    "Config",
    "Connection",
    "EngineClosed",
    "EngineError",
    "Overloaded",
    "Refused",
    "Request",
    "RoomFull",
    "Server",
    "Snapshot",
    "State",
]
