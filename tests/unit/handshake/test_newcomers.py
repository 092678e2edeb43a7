"""The border of what comes in: listeners, newcomers and the answers to them."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.engines import started
from helpers.wait import until_sync

from fanwire.errors import Closed

UPGRADE = (
    b"GET /a?b HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class House:
    """An engine that listens, and what it has told."""

    def __init__(self, **settings: Any) -> None:
        self.engine = started(**settings)
        self.events: list[tuple[str, int, Any]] = []
        with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
            self.address = listener.getsockname()
            self.engine.listen(listener.fileno())

    def dial(self, data: bytes = UPGRADE) -> socket.socket:
        peer = socket.create_connection(self.address, timeout=10)
        peer.sendall(data)
        return peer

    def next(self, kind: str) -> tuple[int, Any]:
        """The first event of a kind that was not asked for yet."""
        found: list[tuple[str, int, Any]] = []

        def is_there() -> bool:
            self.events += self.engine.events()
            found.extend([event for event in self.events if event[0] == kind][:1])
            return bool(found)

        until_sync(is_there)
        self.events.remove(found[0])
        return found[0][1:]


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    assert house.engine.shutdown(10)


def head(peer: socket.socket) -> bytes:
    """The head of an answer."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        byte = peer.recv(1)
        assert byte, data
        data += byte
    return data


def test_what_is_said_of_a_request(house: House) -> None:
    with house.dial() as peer:
        request, detail = house.next("request")
        headers = UPGRADE.partition(b"\r\n")[2][:-2]
        assert detail == (b"/a?b", headers, "127.0.0.1", False, False, None, "websocket", None, False)
        assert house.engine.waiting == 1
        conn = house.engine.accept(request, "json", b"{}", 2.0)
        assert conn is not None
        assert head(peer).startswith(b"HTTP/1.1 101 ")
        assert peer.recv(10) == b"\x81\x02{}"
        assert house.engine.accept(request) is None
        assert house.engine.waiting == 0


@pytest.mark.parametrize("status", [400, 401, 418, 503])
def test_a_refusal(house: House, status: int) -> None:
    with house.dial() as peer:
        request, _ = house.next("request")
        house.engine.refuse(request, status, ["X: 1", "Y: 2\r\nZ: 3"], "no\nreason")
        answer = head(peer)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"\r\nX: 1\r\n" in answer
        # Nothing makes two headers of one.
        assert b"Z" not in answer
        assert house.next("turned_away") == (0, ("127.0.0.1", status, "no\nreason", 0, "", ""))
        assert house.engine.stats()["handshakes"] == {status: 1}
    house.engine.refuse(request, 401)


def test_a_socket_of_the_hosts(house: House) -> None:
    with house.dial(b"GET / HTTP/1.1\r\n\r\nabc") as peer:
        request, (fd, data, address, is_secure, tls) = house.next("http")
        assert (data, address, is_secure, tls) == (b"GET / HTTP/1.1\r\n\r\nabc", "127.0.0.1", False, None)
        assert not os.get_blocking(fd)
        with socket.socket(fileno=fd) as ours:
            ours.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            assert head(peer).startswith(b"HTTP/1.1 204 ")
            # It asks for something else now.
            peer.sendall(UPGRADE)
            ours.settimeout(10)
            house.engine.take_back(request, ours.fileno(), ours.recv(10))
        assert house.next("request")[0] == request
        assert house.engine.accept(request) is not None
        assert head(peer).startswith(b"HTTP/1.1 101 ")
    house.engine.left(request)


def test_only_a_few_are_told_of_at_once(house: House) -> None:
    peers = [house.dial() for _ in range(10)]
    until_sync(lambda: house.engine.waiting == len(peers))
    counts: list[int] = []

    def are_all_told() -> bool:
        counts.append(len(house.engine.events()))
        return sum(counts) == len(peers)

    until_sync(are_all_told)
    assert max(counts) <= 4
    for peer in peers:
        peer.close()


def test_limits_are_counted_by_name() -> None:
    house = House(max_connections=1, max_head=1024)
    with house.dial(b"GET / HTTP/1.1\r\nX: ") as large, house.dial() as second:
        assert head(second).startswith(b"HTTP/1.1 503 ")
        large.sendall(b"x" * 1024)
        assert head(large).startswith(b"HTTP/1.1 431 ")
    limits = house.engine.stats()["limits"]
    assert (limits["max_connections"], limits["max_head"]) == (1, 1)
    assert house.engine.shutdown(10)


def test_a_full_server_is_asked_how_it_is() -> None:
    house = House(max_connections=1, prefix="/rt")
    with house.dial():
        house.next("request")
        for is_ready, status in ((False, 503), (True, 200)):
            house.engine.set_ready(is_ready)
            with house.dial(b"GET /rt/readyz HTTP/1.1\r\n\r\n") as peer:
                assert head(peer).startswith(f"HTTP/1.1 {status} ".encode())
    assert house.engine.shutdown(10)


def test_it_listens_no_more(house: House) -> None:
    house.engine.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        house.dial()
    house.engine.stop_listening()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies are addresses or networks"),
        ({"trusted_proxies": ["proxy"]}, "trusted_proxies are addresses or networks"),
        ({"prefix": "rt"}, 'prefix must be "" or a path such as "/rt"'),
        ({"mount": "/a b"}, 'mount must be "" or a path such as "/rt"'),
        ({"handshake_timeout": -1}, "a duration must be"),
        ({"shards": 1024}, "shards must be 1 to 1023"),
    ],
)
def test_what_it_cannot_be_started_with(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        started(**settings)


def test_where_it_cannot_listen(house: House) -> None:
    with pytest.raises(ValueError, match="fd must be"):
        house.engine.listen(-1)
    with socket.socket() as silent, pytest.raises(ValueError, match="does not listen"):
        house.engine.listen(silent.fileno())
    with Path(os.devnull).open("rb") as file, pytest.raises(OSError, match="Socket operation on non-socket"):
        house.engine.listen(file.fileno())


def test_there_are_three_codecs(house: House) -> None:
    with house.dial() as peer:
        request, _ = house.next("request")
        with pytest.raises(ValueError, match="xml"):
            house.engine.accept(request, "xml")
        with pytest.raises(ValueError, match="no reply for the reason"):
            house.engine.resume(1, request, "json", 0, 0, b"", {}, (1000, ""))
        # It waits still.
        assert house.engine.accept(request) is not None
        assert head(peer).startswith(b"HTTP/1.1 101 ")


def test_after_the_end() -> None:
    house = House()
    with house.dial() as peer:
        request, _ = house.next("request")
        assert house.engine.shutdown(10)
        assert not peer.recv(1)
    calls: list[Callable[[], object]] = [
        lambda: house.engine.accept(request),
        lambda: house.engine.refuse(request, 401),
        house.engine.stop_listening,
        lambda: house.engine.take_back(request, 0, b""),
    ]
    for call in calls:
        with pytest.raises(Closed):
            call()
    house.engine.left(request)
    house.engine.set_ready(True)
    assert house.engine.waiting == 0


def test_a_fork_has_no_part_in_it(house: House) -> None:
    with house.dial() as peer:
        request, _ = house.next("request")
        child = os.fork()
        if not child:
            try:
                house.engine.accept(request)
            except Closed:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert house.engine.accept(request) is not None
        assert head(peer).startswith(b"HTTP/1.1 101 ")


def test_every_descriptor_is_given_back(house: House) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def wave() -> None:
        peers = [house.dial(data) for data in (UPGRADE, b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /") * 5]
        for _ in range(5):
            house.engine.accept(house.next("request")[0])
            request, (fd, *_) = house.next("http")
            os.close(fd)
            house.engine.left(request)
        for peer in peers:
            peer.close()
        until_sync(lambda: not house.engine.waiting)

    # What other tests have left behind may be closed at any time.
    gc.collect()
    before = descriptors()
    for _ in range(3):
        wave()
    until_sync(lambda: descriptors() <= before)
