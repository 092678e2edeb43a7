"""Fanwire: a broadcast server and client. Publish a message once, and every subscriber gets it.

A name is imported when it is first used: a program that only publishes does not wait for the server's modules.
"""

from typing import TYPE_CHECKING

from fanwire.lazy_names import lazy_names

if TYPE_CHECKING:
    from fanwire.admin.settings import Admin
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
    from fanwire.client.history import RoomHistory
    from fanwire.client.pattern import RoomPattern
    from fanwire.client.sequence_checker import Completeness, SequenceChecker
    from fanwire.codes import CloseCode
    from fanwire.config import Config
    from fanwire.connection import Connection
    from fanwire.errors import Closed, FanwireError, Overloaded, Refused, Reject, Unavailable
    from fanwire.identity.identity import Identity
    from fanwire.identity.request import Request
    from fanwire.publisher import AsyncPublisher, Publication, Published, Publisher, PublishFailed
    from fanwire.recording.reading import FileSummary, Recording, open_recording
    from fanwire.recording.record import RecordedGap, RecordedMessage
    from fanwire.recording.recorder import Recorder, RecorderStats
    from fanwire.recording.replaying import ReplayReport, replay
    from fanwire.rooms.inputs import Input, Inputs
    from fanwire.rooms.rules import Snapshot
    from fanwire.runtime.tick_loop import Tick
    from fanwire.server import Server
    from fanwire.state import ConnectionState
    from fanwire.subscribers.subscription import ServerSubscription
    from fanwire.tls.info import ClientCertificate, TLSInfo
    from fanwire.tls.settings import TLS
    from fanwire.values.grid import Grid
    from fanwire.values.interest import Where, between, where

__all__ = [
    "TLS",
    "Admin",
    "AsyncPublisher",
    "Client",
    "ClientCertificate",
    "CloseCode",
    "Closed",
    "Completeness",
    "Config",
    "Connection",
    "ConnectionFailed",
    "ConnectionState",
    "FanwireError",
    "FileSummary",
    "Gap",
    "Grid",
    "Identity",
    "Input",
    "Inputs",
    "Member",
    "Message",
    "Overloaded",
    "Position",
    "Publication",
    "PublishFailed",
    "Published",
    "Publisher",
    "RecordedGap",
    "RecordedMessage",
    "Recorder",
    "RecorderStats",
    "Recording",
    "Refused",
    "Reject",
    "ReplayReport",
    "Request",
    "RequestFailed",
    "Room",
    "RoomEnded",
    "RoomHistory",
    "RoomPattern",
    "SequenceChecker",
    "Server",
    "ServerSubscription",
    "Skipped",
    "Snapshot",
    "TLSInfo",
    "Tick",
    "Unavailable",
    "Where",
    "between",
    "connect",
    "open_recording",
    "replay",
    "where",
]

_MODULES = {
    "TLS": "fanwire.tls.settings",
    "Admin": "fanwire.admin.settings",
    "AsyncPublisher": "fanwire.publisher",
    "Client": "fanwire.client",
    "ClientCertificate": "fanwire.tls.info",
    "CloseCode": "fanwire.codes",
    "Closed": "fanwire.errors",
    "Completeness": "fanwire.client.sequence_checker",
    "Config": "fanwire.config",
    "Connection": "fanwire.connection",
    "ConnectionFailed": "fanwire.client",
    "ConnectionState": "fanwire.state",
    "FanwireError": "fanwire.errors",
    "FileSummary": "fanwire.recording.reading",
    "Gap": "fanwire.client",
    "Grid": "fanwire.values.grid",
    "Identity": "fanwire.identity.identity",
    "Input": "fanwire.rooms.inputs",
    "Inputs": "fanwire.rooms.inputs",
    "Member": "fanwire.client",
    "Message": "fanwire.client",
    "Overloaded": "fanwire.errors",
    "Position": "fanwire.client",
    "Publication": "fanwire.publisher",
    "PublishFailed": "fanwire.publisher",
    "Published": "fanwire.publisher",
    "Publisher": "fanwire.publisher",
    "RecordedGap": "fanwire.recording.record",
    "RecordedMessage": "fanwire.recording.record",
    "Recorder": "fanwire.recording.recorder",
    "RecorderStats": "fanwire.recording.recorder",
    "Recording": "fanwire.recording.reading",
    "Refused": "fanwire.errors",
    "Reject": "fanwire.errors",
    "ReplayReport": "fanwire.recording.replaying",
    "Request": "fanwire.identity.request",
    "RequestFailed": "fanwire.client",
    "Room": "fanwire.client",
    "RoomEnded": "fanwire.client",
    "RoomHistory": "fanwire.client.history",
    "RoomPattern": "fanwire.client.pattern",
    "SequenceChecker": "fanwire.client.sequence_checker",
    "Server": "fanwire.server",
    "ServerSubscription": "fanwire.subscribers.subscription",
    "Skipped": "fanwire.client",
    "Snapshot": "fanwire.rooms.rules",
    "TLSInfo": "fanwire.tls.info",
    "Tick": "fanwire.runtime.tick_loop",
    "Unavailable": "fanwire.errors",
    "Where": "fanwire.values.interest",
    "between": "fanwire.values.interest",
    "connect": "fanwire.client",
    "open_recording": "fanwire.recording.reading",
    "replay": "fanwire.recording.replaying",
    "where": "fanwire.values.interest",
}
"""The module of each public name: the imports above, which are for type checkers. A test compares the two."""

__getattr__, __dir__ = lazy_names(__name__, globals(), _MODULES)
