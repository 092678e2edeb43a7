"""A small, honest server for the model of the client: sessions, rooms with a history, and answers."""

from __future__ import annotations

import itertools
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

ROOMS = ("a", "b")
HISTORY = 6
RING = 8
UNCOUNTED = ("welcome", "ping", "pong", "received")


@dataclass
class Entry:
    epoch: str
    seq: int
    data: int
    is_excluded: bool


@dataclass
class Session:
    name: str
    received: int = 0
    # Counted frames sent or waiting, the last of them is number `sent`.
    ring: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=RING))
    sent: int = 0
    rooms: set[str] = field(default_factory=set)
    # Numbers that this client is not going to get and has not been told of, by room.
    untold: list[tuple[str, int]] = field(default_factory=list)


class Connection:
    """What is under way between a client and a server; a cut loses it."""

    def __init__(self) -> None:
        self.to_server: deque[str] = deque()
        self.to_client: deque[str] = deque()
        self.session: Session | None = None
        # Tokens that the client has returned while this was its connection.
        self.tokens: set[str] = set()


class Server:
    """The other side of docs/protocol.md, without limits where the client has no part in them."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.sessions: dict[str, Session] = {}
        self.connections: dict[str, Connection] = {}
        self.ledger: dict[str, list[Entry]] = {room: [] for room in ROOMS}
        self.epochs = dict.fromkeys(ROOMS, "e0")
        self.kept: dict[str, list[Entry]] = {room: [] for room in ROOMS}
        self.seen: dict[str, int] = {}
        self.unrecovered = 0
        self.takes_tokens = True
        self.taken: list[str] = []

    def accept(self, connection: Connection, query: dict[str, str]) -> None:
        session = self.sessions.get(query.get("session", ""))
        have = int(query.get("received", "0"))
        is_resumed = session is not None and session.sent - len(session.ring) <= have
        if session is None or not is_resumed:
            if session is not None:
                self.expire(session.name)
            session = Session(f"S{next(self.numbers)}")
            self.sessions[session.name] = session
        self.connections[session.name] = connection
        connection.session = session
        welcome = {"session": session.name, "resumed": is_resumed, "received": session.received, "ack_frames": 3}
        self.write(connection, {"type": "welcome", "payload": welcome})
        if is_resumed:
            missed = session.sent - have
            for frame in list(session.ring)[len(session.ring) - missed :]:
                self.write(connection, frame)

    def write(self, connection: Connection, frame: dict[str, Any]) -> None:
        connection.to_client.append(json.dumps(frame))

    def send(self, session: Session, frame: dict[str, Any]) -> None:
        """A counted frame: kept, and written if somebody is there."""
        session.ring.append(frame)
        session.sent += 1
        if session.name in self.connections:
            self.write(self.connections[session.name], frame)

    def expire(self, name: str) -> None:
        self.sessions.pop(name, None)
        connection = self.connections.pop(name, None)
        if connection is not None:
            connection.session = None

    def park(self, connection: Connection) -> None:
        session = connection.session
        if session is not None and self.connections.get(session.name) is connection:
            del self.connections[session.name]
        connection.session = None

    def forget_everything(self) -> None:
        for name in list(self.sessions):
            self.expire(name)
        for room in ROOMS:
            self.epochs[room] = f"e{next(self.numbers)}"
            self.kept[room] = []

    def publish(self, room: str, data: int, *, is_excluded: bool = False) -> int:
        kept = self.kept[room]
        seq = kept[-1].seq + 1 if kept else 1
        entry = Entry(self.epochs[room], seq, data, is_excluded)
        kept.append(entry)
        del kept[:-HISTORY]
        self.ledger[room].append(entry)
        for session in list(self.sessions.values()):
            if room in session.rooms:
                self.hand_out(session, room, entry)
        return seq

    def hand_out(self, session: Session, room: str, entry: Entry) -> None:
        if entry.is_excluded:
            session.untold.append((room, entry.seq))
        else:
            self.send(session, {"type": "message", "room": room, "seq": entry.seq, "payload": entry.data})

    def tell(self) -> None:
        """It has caught up with what it left out."""
        for session in self.sessions.values():
            for room, seq in session.untold:
                payload = {"reason": "excluded", "count": 1, "first": seq, "last": seq}
                self.send(session, {"type": "skipped", "room": room, "payload": payload})
            session.untold.clear()

    def read(self, connection: Connection) -> None:
        frame = json.loads(connection.to_server.popleft())
        session = connection.session
        if session is None or self.connections.get(session.name) is not connection:
            return
        if frame["type"] in UNCOUNTED:
            if frame["type"] == "received":
                while session.sent - len(session.ring) < frame["payload"]["count"]:
                    session.ring.popleft()
            if frame["type"] == "ping":
                self.write(connection, {"type": "pong"})
            return
        session.received += 1
        if frame["type"] == "token":
            self.renew(connection, session, frame)
        else:
            self.handle(session, frame)
        if session.received % 2 == 0:
            self.write(connection, {"type": "received", "payload": {"count": session.received}})

    def renew(self, connection: Connection, session: Session, frame: dict[str, Any]) -> None:
        token = frame["payload"]["token"]
        assert token in connection.tokens, "a token of another connection"
        assert token not in self.taken, "a token twice"
        if self.takes_tokens:
            self.taken.append(token)
            self.send(session, {"type": "reply", "re": frame["id"], "payload": {"expires_in_ms": None}})
        else:
            payload = {"code": "unauthorized", "text": "", "retry": False}
            self.send(session, {"type": "error", "re": frame["id"], "payload": payload})

    def handle(self, session: Session, frame: dict[str, Any]) -> None:
        room = frame["room"]
        if frame["type"] == "publish":
            if frame["id"] not in self.seen:
                self.seen[frame["id"]] = self.publish(room, frame["payload"])
            self.send(session, {"type": "reply", "re": frame["id"], "room": room, "seq": self.seen[frame["id"]]})
        elif frame["type"] == "leave":
            session.rooms.discard(room)
            self.send(session, {"type": "left", "re": frame["id"], "room": room})
        else:
            self.join(session, frame, room)

    def join(self, session: Session, frame: dict[str, Any], room: str) -> None:
        session.rooms.add(room)
        kept = self.kept[room]
        seq = kept[-1].seq if kept else 0
        payload: dict[str, Any] = {"epoch": self.epochs[room], "recovered": False, "delivery": "reliable"}
        since = frame.get("payload", {}).get("since")
        if since is not None:
            if since["epoch"] != payload["epoch"]:
                payload["reason"] = "epoch"
            elif since["seq"] > seq:
                payload["reason"] = "position"
            elif since["seq"] < (kept[0].seq - 1 if kept else 0):
                payload["reason"] = "history"
            else:
                payload["recovered"] = True
            self.unrecovered += not payload["recovered"]
        self.send(session, {"type": "joined", "re": frame["id"], "room": room, "seq": seq, "payload": payload})
        if payload["recovered"]:
            for entry in kept:
                if entry.seq > since["seq"]:
                    self.hand_out(session, room, entry)
