"""One connected client, as an application sees it."""

from __future__ import annotations

from typing import Any

from fanwire._engine import Engine
from fanwire.codes import CloseCode
from fanwire.envelope import encode
from fanwire.request import Request
from fanwire.state import TRANSITIONS, State

__all__ = ["Connection"]


class Connection:
    """A client that was let in.

    Its methods may be called from any thread, never wait for the client, and do nothing once it is gone.

    Attributes:
        id: names this connection, and no other while the server runs.
        identity: what `authenticate` returned; None without it.
        request: path, query and address the client came with.
        state: where it stands, see `State`.
        close_code: the code of the first close frame, whichever side sent it; 1006 when there was none, None while
            the connection is open.
        close_reason: the text with it.
    """

    __slots__ = (
        "_engine", "_metadata", "close_code", "close_reason", "id", "identity", "is_done", "request", "state",
    )  # fmt: skip

    def __init__(self, engine: Engine, conn_id: int, request: Request, identity: Any) -> None:
        self._engine = engine
        self._metadata: dict[str, Any] | None = None
        # The application has closed it: what the client has sent before is no longer delivered.
        self.is_done = False
        self.id = conn_id
        self.identity = identity
        self.request = request
        self.state = State.CONNECTING
        self.close_code: int | None = None
        self.close_reason = ""

    @property
    def metadata(self) -> dict[str, Any]:
        """A dictionary for whatever the application wants to remember of this connection."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    def join(self, room: str) -> int:
        """Makes the client a member of a room.

        In a room of latest values it gets the newest value of every key first and then the stream, with nothing
        missing or doubled between.

        Returns:
            The sequence number of the last message before the client's first.

        Raises:
            ValueError: the name is empty or longer than 255 bytes.
            Overloaded: the engine cannot take more now.
        """
        return self._engine.join(self.id, room)

    def leave(self, room: str) -> None:
        """Ends the membership. Messages already queued are still delivered."""
        self._engine.leave(self.id, room)

    def send(self, data: Any, *, delivery: str | None = None) -> None:
        """Sends a message to this client alone.

        Args:
            data: bytes for a binary message, str for a text message, anything else as JSON.
            delivery: "reliable" (default), "drop-oldest" or "drop-newest": what happens when the client is slow.

        Raises:
            TypeError: the data cannot be encoded.
            ValueError: it is larger than may wait for one connection.
            Overloaded: the engine cannot take more now.
        """
        payload, is_text = encode(data)
        self._engine.send(self.id, payload, is_text, delivery)

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Closes the connection after all that waits for it, within the server's `close_timeout`.

        Args:
            code: a code that may be sent: 1000 to 1003, 1007 to 1014, 3000 to 4999 (RFC 6455 section 7.4).
            reason: at most 123 bytes of UTF-8; what is more is cut off.

        Raises:
            ValueError: the code may not be sent.
        """
        self._engine.close(self.id, code, reason, True)
        self.is_done = True
        self.closing(code, reason)

    def closing(self, code: int, reason: str) -> None:
        """Records that the closing handshake has begun; the first code stays. For the gateway, not for applications."""
        if self.advance(State.CLOSING):
            self.close_code = code
            self.close_reason = reason

    def advance(self, state: State) -> bool:
        """Takes the state if the table allows it. For the gateway, not for applications."""
        if state not in TRANSITIONS[self.state]:
            return False
        self.state = state
        return True

    def __repr__(self) -> str:
        return f"<Connection {self.id:#x} {self.state.value} {self.request.path!r}>"
