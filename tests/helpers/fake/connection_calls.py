"""The calls of a fake engine that are about connections: who comes in, what one is sent, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fanwire._engine import RoomFull, check_audience, check_filter
from fanwire.runtime.reports import Received
from fanwire.tls.info import EngineTLS
from helpers.fake.core import Core, Draft, draft_of
from helpers.fake.ids import shard_of, written
from helpers.fake.interest import check_interest, document_of
from helpers.fake.link import Link
from helpers.fake.message import Frame, Message
from helpers.fake.posted import messages_in, posted_size
from helpers.fake.room import Room, number_of


class ConnectionCalls(Core):
    """Calls with the arguments and errors of `fanwire._engine.Engine`, which documents each of them."""

    # Who comes in.

    def ask(
        self,
        target: bytes = b"/",
        subprotocol: str | None = None,
        headers: bytes = b"",
        remote: str = "192.0.2.1",
        *,
        is_secure: bool = False,
        is_origin_allowed: bool = False,
        transport: str = "websocket",
        is_compressed: bool = False,
        tls: EngineTLS | None = None,
        answers: bool = True,
    ) -> Link:
        """A newcomer asks to come in. Not a call of the engine: what a listener would bring.

        Args:
            target: as the event "request" has it, and so are those that follow.
            subprotocol: that the answer names.
            headers: the lines.
            remote: the address.
            is_secure: by TLS.
            is_origin_allowed: its cookies may be believed.
            transport: what it asks for.
            is_compressed: permessage-deflate is agreed to.
            tls: the TLS that it speaks.
            answers: see `Link`.
        """
        link = Link(self.newcomer_ids.take(), _Newcomers(self), answers, transport)
        self.newcomers[link.request] = (link, remote)
        detail = (target, headers, remote, is_secure, is_origin_allowed, subprotocol, transport, tls, is_compressed)
        self.fair_queue.ask(link.request, detail)
        return link

    def accept(
        self,
        request: int,
        session: str | None = None,
        first: bytes = b"",
        rate: float = 1.0,
        batch: bool = False,
        delta: bool = False,
    ) -> int | None:
        codec = codec_of(session or "raw")
        self.check()
        link = self._admit(request)
        return None if link is None else self.shard.open(link, codec, session is not None, first)

    def resume(
        self,
        conn: int,
        request: int,
        session: str,
        received: int,
        refusals: int,
        accepted: bytes,
        refused: dict[str, bytes],
        close: tuple[int, str],
        rate: float = 1.0,
        batch: bool = False,
        delta: bool = False,
    ) -> int | None:
        codec = codec_of(session)
        for reason in ("closed", "overflow", "codec"):
            if reason not in refused:
                raise ValueError(f'refused has no reply for the reason "{reason}"')
        check_code(close[0])
        self.check()
        if shard_of(conn) != 0:
            raise ValueError(f"there is no connection {written(conn)}")
        link = self._admit(request)
        if link is None:
            return None
        return self.shard.resume(conn, link, codec, received, accepted, refused, cut_reason(*close))

    def refuse(
        self,
        request: int,
        status: int,
        headers: Sequence[str] = (),
        reason: str = "",
        path: str = "",
        user_agent: str = "",
    ) -> None:
        self.check()
        found = self.newcomers.pop(request, None)
        if found is not None:
            link, remote = found
            link.refusal, link.is_over = (status, list(headers), reason), True
            self._answered(status)
            self.fair_queue.push("turned_away", 0, (remote, status, reason, 0, path[:200], user_agent[:200]))

    def left(self, request: int) -> None:
        pass

    @property
    def waiting(self) -> int:
        return len(self.newcomers)

    def stop_listening(self) -> None:
        self.check()

    def set_ready(self, is_ready: bool) -> None:
        self.is_ready = is_ready

    def _admit(self, request: int) -> Link | None:
        found = self.newcomers.pop(request, None)
        if found is None:
            return None
        self.newcomer_ids.release(request)
        self._answered(200 if found[0].is_one_way else 101)
        found[0].let_in(self.shard)
        return found[0]

    def _answered(self, status: int) -> None:
        self.handshakes[status] = self.handshakes.get(status, 0) + 1

    # What one is sent.

    def send(
        self,
        conn: int,
        payload: bytes | str,
        json: bool = False,
        delivery: str | None = None,
        id: str | None = None,
        ack: bool = False,
    ) -> None:
        draft = draft_of(payload, json, None, delivery)
        self.check()
        self.check_size(draft.payload)
        message = self.message(draft, id, ack)
        if shard_of(conn) == 0:
            self.refuse_if_full()
            self.shard.send(conn, message)

    def send_envelope(self, conn: int, codec: str, envelope: bytes, urgent: bool = False) -> None:
        kind = "text" if codec_of(codec) == "json" else "binary"
        self.check()
        self.check_size(envelope)
        self.shard.send(conn, self.message(Draft(kind, envelope, "urgent" if urgent else "whole")))

    def send_control(self, conn: int, codec: str, envelope: bytes) -> None:
        codec_of(codec)
        self.check()
        self.shard.control(conn, codec, envelope)

    def broadcast(
        self, payload: bytes | str, json: bool = False, exclude: Sequence[int] = (), delivery: str | None = None
    ) -> None:
        draft = draft_of(payload, json, None, delivery)
        self.check()
        self.check_size(draft.payload)
        message = self.message(draft)
        self.refuse_if_full()
        for conn in list(self.shard.slots):
            if conn not in exclude and not self.shard.slots[conn].is_retired:
                self.shard.send(conn, message)
        self.published += 1

    def report(self, conn: int, count: int, taken: list[tuple[str, int, int | None]] | None) -> None:
        self.check()
        self.shard.report(conn, Received(count))

    # Rooms.

    def join(
        self,
        conn: int,
        room: str,
        since: tuple[str, int] | None = None,
        *,
        reply: bool = False,
        re: str | None = None,
        extra: str = "",
        is_state: bool = False,
        only_whole: bool = False,
        again: bool = False,
        last: int | None = None,
        filter: bytes | None = None,
        everything: bool = False,
    ) -> tuple[str, int, str | None]:
        wanted = filter_of(filter)
        self.check()
        is_here = shard_of(conn) == 0
        if is_here:
            self.refuse_if_full()
        found = self.table.of(room, self.clock.now_us)
        if wanted:
            check_interest(found.name, found.settings, "a filter")
        if not again and len(found.members) >= found.settings.max_members:
            full = RoomFull(f"the room is full: its limit is {found.settings.max_members}")
            full.limit = "max_members"
            raise full
        position = since and (number_of(since[0]), since[1])
        begin = found.before_last(last, self.clock.now_us) if last is not None and position is None else None
        if begin is not None:
            position = (found.epoch, begin)
        missed = found.since(*position, self.clock.now_us) if position else "history"
        why = missed if isinstance(missed, str) else None
        joined = (f"{found.epoch:x}", found.seq, why)
        if not is_here or (only_whole and why is not None):
            return joined
        latest = found.snapshot() if found.settings.delivery == "latest" else []
        before = latest if isinstance(missed, str) else missed
        if reply:
            kept = "" if begin is None or isinstance(missed, str) else f',"after":{begin},"last":{len(missed)}'
            before = [self._joined(found, position, why, re, extra, is_state, kept), *before]
        self.shard.join(conn, found, before, wanted, everything)
        return joined

    def configure(self, conn: int, room: str, max_rate: float | None, max_bytes: int | None) -> None:
        """Checks the rates, and holds nothing back."""
        if max_rate is not None and not 0.01 <= max_rate <= 1000:
            raise ValueError(f"max_rate must be 1/100 to 1000, got {max_rate}")
        if max_bytes is not None and not 1 <= max_bytes <= 1_000_000_000:
            raise ValueError(f"max_bytes must be 1 to 1000000000, got {max_bytes}")
        self.check()

    def _joined(
        self,
        room: Room,
        since: tuple[int, int] | None,
        why: str | None,
        re: str | None,
        extra: str,
        is_state: bool,
        kept: str,
    ) -> Message:
        recovered = "true" if why is None and not is_state else "false"
        reason = f',"reason":"{why}"' if since and why else ""
        filtered = ',"filtered":true' if room.settings.interest else ""
        payload = (
            f'{{"epoch":"{room.epoch:x}","recovered":{recovered}{reason}{kept},"delivery":"{room.settings.delivery}"'
            f"{filtered}{extra}}}"
        )
        seq = since[1] if since and is_state else room.seq
        return self.event(room, "joined", payload, "j", seq=seq, re=re)

    def change_attributes(self, conn: int, room: str, change: dict[str, Any]) -> None:
        document = document_of(change)
        # The form of tags and of attributes is the same, except for null.
        fault = check_audience(b'{"tags":' + document + b"}")
        if fault is not None:
            raise ValueError(f"{fault[0].replace('.tags', '', 1)} {fault[1]}")
        self.check()
        if shard_of(conn) == 0:
            self.refuse_if_full()
            found = self.table.of(room, self.clock.now_us)
            check_interest(found.name, found.settings, "attributes")
            self.shard.change_attributes(conn, found, json.loads(document))

    def set_filter(self, conn: int, room: str, filter: bytes) -> None:
        wanted = filter_of(filter)
        self.check()
        found = self.table.of(room, self.clock.now_us)
        if wanted:
            check_interest(found.name, found.settings, "a filter")
        self.shard.set_filter(conn, found, wanted)

    def leave(self, conn: int, room: str) -> None:
        self.check()
        found = self.table.find(room)
        if found is not None:
            self.shard.leave(conn, found)

    def members(self, room: str) -> int:
        found = self.table.find(room)
        return 0 if found is None else len(found.members)

    # What comes by other requests.

    def post(self, conn: int, link: int, lines: bytes, is_binary: bool = False, close: int | None = None) -> int:
        frames = messages_in(lines, is_binary)
        if close is not None:
            check_code(close)
        self.check()
        self.shard.post(conn, link, frames, close)
        return sum(map(posted_size, frames)) + (0 if close is None else posted_size(b"12"))

    def poll(self, conn: int, link: int, received: int) -> None:
        self.check()
        self.shard.poll(conn, link, received)

    # How one ends.

    def close(self, conn: int, code: int | None, reason: str = "", flush: bool = True) -> None:
        if code is not None:
            check_code(code)
        self.check()
        self.shard.close(conn, cut_reason(code, reason), flush)

    def retire(self, conn: int, link: int, close: tuple[int, str], is_over: bool) -> None:
        check_code(close[0])
        self.check()
        self.shard.retire(conn, link, cut_reason(*close), is_over)

    def cut(self, conn: int, link: int) -> None:
        self.check()
        self.shard.cut(conn, link)

    def gone(self, conn: int) -> None:
        self.check()
        self.shard.gone(conn)

    def hold(self, conn: int, is_held: bool) -> None:
        self.check()
        self.shard.hold(conn, is_held)


class _Newcomers:
    """The `Doings` of those that are not let in: what they say is not read."""

    def __init__(self, engine: ConnectionCalls) -> None:
        self._engine = engine

    def heard(self, link: Link, frame: Frame, wait: float | None) -> None:
        raise AssertionError("a client says nothing before it is let in")

    peer_closes = breaks = refused = heard

    def lose(self, link: Link, cause: str) -> None:
        link.is_over = True
        if self._engine.newcomers.pop(link.request, None) is not None:
            self._engine.newcomer_ids.release(link.request)
            self._engine.fair_queue.gone(link.request)

    def writable(self, link: Link) -> None:
        pass


def codec_of(name: str) -> str:
    """A codec, if there is one of that name."""
    if name not in ("raw", "json", "msgpack"):
        raise ValueError(f'codec must be raw, json or msgpack, got "{name}"')
    return name


def check_code(code: int) -> None:
    """Raises ValueError for a close code that may not be sent (RFC 6455 section 7.4)."""
    if not 0 <= code < 1 << 16:
        raise OverflowError("out of range integral type conversion attempted")
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise ValueError(f"the close code {code} must not be sent (RFC 6455 section 7.4)")


def cut_reason(code: int | None, reason: str) -> tuple[int | None, str]:
    """A farewell whose reason has 123 bytes at most. Without a code it has none."""
    return (None, "") if code is None else (code, reason.encode()[:123].decode(errors="ignore"))


def filter_of(filter: bytes | None) -> Any:
    """A filter as a document; None: no wish, {}: no filter."""
    if not filter:
        return None if filter is None else {}
    fault = check_filter(filter)
    if fault is not None:
        raise ValueError(" ".join(fault))
    return json.loads(filter)
