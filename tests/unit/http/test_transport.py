"""The end of a transport: after the answer, not before the peer has it, and not never."""

from __future__ import annotations

import asyncio

from fanwire.http import transport as http_line
from fanwire.http.transport import LARGE, HttpTransport


class Transport(asyncio.Transport):
    """Notes what is done with it."""

    def __init__(self, *, can_end: bool = True) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.written: list[bytes] = []
        self.unsent = 0
        self.aborted = asyncio.Event()
        self._can_end = can_end

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def can_write_eof(self) -> bool:
        return self._can_end

    def is_closing(self) -> bool:
        return "close" in self.calls or "abort" in self.calls

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write_eof(self) -> None:
        self.calls.append("end")

    def resume_reading(self) -> None:
        self.calls.append("read")

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")
        self.aborted.set()


async def test_a_head_and_its_body_are_written_at_once() -> None:
    transport = Transport()
    http = HttpTransport(transport, 10.0, lambda: True)
    http.write(b"head ")
    http.write(b"body")
    assert transport.written == []
    await asyncio.sleep(0)
    assert transport.written == [b"head body"]
    large = bytes(LARGE + 1)
    http.write(b"head")
    http.write(large)
    assert transport.written[1:] == [b"head", large]
    http.write(b"last")
    http.close()
    http.write(b"never")
    assert transport.written[3:] == [b"last"]
    assert transport.calls == ["close"]
    assert http.is_closing()
    http.lost()


async def test_one_that_is_still_sending_is_read_for_a_moment(monkeypatch) -> None:
    monkeypatch.setattr(http_line, "LINGER", 0.01)
    for can_end in (True, False):
        transport = Transport(can_end=can_end)
        http = HttpTransport(transport, 0.01, lambda: False)
        http.close()
        http.close()
        assert transport.calls == (["end", "read"] if can_end else ["read"])
        await asyncio.wait_for(transport.aborted.wait(), 20)
        assert transport.calls[-2:] == ["close", "abort"]
        http.lost()


async def test_one_that_does_not_take_what_is_left_is_cut_off() -> None:
    transport = Transport()
    http = HttpTransport(transport, 0.01, lambda: True)
    http.close()
    await asyncio.wait_for(transport.aborted.wait(), 20)
    assert transport.calls == ["close", "abort"]


async def test_one_that_takes_what_is_left_slowly_is_not_cut_off_before_it_takes_nothing() -> None:
    sizes = [100, 90, 80, 70, 70]

    class Draining(Transport):
        def get_write_buffer_size(self) -> int:
            return sizes.pop(0)

    transport = Draining()
    http = HttpTransport(transport, 0.01, lambda: True)
    http.close()
    await asyncio.wait_for(transport.aborted.wait(), 5)
    assert (sizes, transport.calls) == ([], ["close", "abort"])
    http.lost()


async def test_one_that_takes_something_is_not() -> None:
    # Each look reads the size, and once more if less waits.
    sizes = [100, 90, 90, 80, 80, 70, 70, 70]

    class Draining(Transport):
        def get_write_buffer_size(self) -> int:
            return sizes.pop(0)

    transport = Draining()
    http = HttpTransport(transport, 0.01, lambda: True)
    http.pause_writing()
    await asyncio.wait_for(transport.aborted.wait(), 20)
    assert sizes == [], "it is cut off when it has taken nothing since the look before"
    assert http.is_over


async def test_one_that_has_taken_enough_is_looked_at_no_more() -> None:
    transport = Transport()
    http = HttpTransport(transport, 0.01, lambda: True)
    http.pause_writing()
    http.resume_writing()
    await asyncio.sleep(0.05)
    assert not transport.calls


async def test_when_it_is_lost_no_timer_is_left() -> None:
    transport = Transport()
    http = HttpTransport(transport, 0.01, lambda: True)
    http.pause_writing()
    http.close()
    http.write(b"x")
    http.lost()
    await asyncio.sleep(0.05)
    assert (transport.calls, transport.written) == (["close"], [])


async def test_a_peer_that_has_gone_is_no_error() -> None:
    class Gone(Transport):
        def write_eof(self) -> None:
            raise OSError(107, "Transport endpoint is not connected")

    transport = Gone()
    http = HttpTransport(transport, 10.0, lambda: False)
    http.write(b"refused")
    http.close()
    assert (transport.calls, transport.written) == (["abort"], [b"refused"])
