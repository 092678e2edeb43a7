"""Where a server listens: all addresses of a host at one port, and nothing that is in use."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest
from helpers.listening import HAS_IPV6, closed, fails, free_port, needs_ipv6, reaches

from fanwire.listening import listeners as module
from fanwire.listening.listeners import Listeners, Tcp


async def test_all_addresses_of_a_host() -> None:
    one = Listeners(Tcp("localhost", 0))
    with closed(one):
        families = {sock.family for sock in await one.bind(100)}
        wanted = {info[0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        assert families == wanted if HAS_IPV6 else families <= wanted
        assert one.url("ws") == f"ws://localhost:{one.port}"
        assert one.url("wss", "/rt") == f"wss://localhost:{one.port}/rt"


async def test_what_is_bound_listens_and_does_not_block() -> None:
    one = Listeners(Tcp(port=0))
    with closed(one):
        (sock,) = await one.bind(100)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert not sock.getblocking()
        assert not sock.get_inheritable()
        assert reaches(socket.AF_INET, ("127.0.0.1", one.port))


@needs_ipv6
@pytest.mark.parametrize("choose", [lambda: 0, free_port], ids=["any", "named"])
async def test_all_addresses_are_those_of_both_families_at_one_port(choose: Callable[[], int]) -> None:
    one = Listeners(Tcp("::", choose()))
    with closed(one):
        sockets = await one.bind(100)
        assert [sock.getsockname()[:2] for sock in sockets] == [("::", one.port), ("0.0.0.0", one.port)]
        assert reaches(socket.AF_INET6, ("::1", one.port))
        # A peer of IPv4 shows an address of IPv4.
        with socket.create_connection(("127.0.0.1", one.port), timeout=20) as peer:
            accepted, address = sockets[1].accept()
            accepted.close()
            assert address == peer.getsockname()


@needs_ipv6
async def test_the_families_do_not_take_each_others_port() -> None:
    one = Listeners(Tcp("0.0.0.0", free_port()))
    with closed(one):
        await one.bind(100)
        other = Listeners(Tcp("::1", one.port))
        with closed(other):
            await other.bind(100)
            assert reaches(socket.AF_INET6, ("::1", one.port))


@needs_ipv6
async def test_a_port_that_is_taken_in_the_other_family_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = socket.create_server(("0.0.0.0", 0))
    whole = Tcp._bind_one
    tried: list[int] = []

    def bind_one(self: Tcp, family: int, address: tuple[object, ...], backlog: int | None) -> socket.socket:
        if family == socket.AF_INET6:
            # The kernel gives that very port, the first time.
            tried.append(taken.getsockname()[1] if not tried else 0)
            address = (address[0], tried[-1], *address[2:])
        return whole(self, family, address, backlog)

    monkeypatch.setattr(Tcp, "_bind_one", bind_one)
    one = Listeners(Tcp("::", 0))
    with closed(one), taken:
        assert {sock.getsockname()[1] for sock in await one.bind(100)} == {one.port}
        assert one.port != tried[0]


async def test_an_address_that_a_name_has_and_the_machine_has_not_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def addresses(self: Tcp) -> list[module._Address]:
        return [
            module._Address(socket.AF_INET, ("192.0.2.1", 0)),
            module._Address(socket.AF_INET, ("127.0.0.1", 0)),
        ]

    monkeypatch.setattr(Tcp, "_addresses", addresses)
    one = Listeners(Tcp("two.example", 0))
    with closed(one):
        (sock,) = await one.bind(100)
        assert sock.getsockname() == ("127.0.0.1", one.port)


async def test_an_address_in_use_is_named_and_what_to_do() -> None:
    one = Listeners(Tcp(port=0))
    with closed(one):
        await one.bind(100)
        said = await fails(Tcp(port=one.port), errno.EADDRINUSE)
        assert f"cannot listen at 127.0.0.1:{one.port}: Address already in use" in said
        assert "stop it, or choose another port (0 takes any free one)" in said


@needs_ipv6
async def test_of_several_addresses_the_one_in_use_is_named_and_the_others_are_closed() -> None:
    one = Listeners(Tcp("0.0.0.0", free_port()))
    with closed(one):
        await one.bind(100)
        assert f"cannot listen at 0.0.0.0:{one.port}: " in await fails(Tcp("::", one.port), errno.EADDRINUSE)
        assert not reaches(socket.AF_INET6, ("::1", one.port))


async def test_an_address_of_another_machine_is_told() -> None:
    said = await fails(Tcp("192.0.2.1", 0), errno.EADDRNOTAVAIL)
    assert "cannot listen at 192.0.2.1:0: " in said
    assert "0.0.0.0 and :: mean all of its addresses" in said


async def test_a_name_without_an_address_is_told() -> None:
    one = Listeners(Tcp("no.such.host.invalid", 80))
    with pytest.raises(socket.gaierror, match=r"cannot listen at no\.such\.host\.invalid:80: .* has no address"):
        await one.bind(100)


async def test_ports_are_shared_only_when_all_say_so() -> None:
    one = Listeners(Tcp("127.0.0.1", 0, reuse_port=True))
    with closed(one):
        await one.bind(100)
        other = Listeners(Tcp("127.0.0.1", one.port, reuse_port=True))
        with closed(other):
            await other.bind(100)
            await fails(Tcp("127.0.0.1", one.port), errno.EADDRINUSE)


async def test_a_port_is_reserved_for_other_processes() -> None:
    one, other = Listeners(Tcp("localhost", 0)), Listeners(Tcp("localhost", 0))
    with closed(one, other):
        sockets = await one.reserve(100)
        assert not reaches(socket.AF_INET, ("127.0.0.1", one.port))
        assert not any(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in sockets)
        await fails(Tcp("localhost", one.port), errno.EADDRINUSE)
        other = Listeners(Tcp("localhost", one.port, reuse_port=True))
        with closed(other):
            await other.bind(100)
            assert reaches(socket.AF_INET, ("127.0.0.1", one.port))


async def test_a_port_is_reserved_right_after_a_server_that_had_connections() -> None:
    first = Listeners(Tcp(port=0))
    with closed(first):
        (sock,) = await first.bind(100)
        with socket.create_connection(("127.0.0.1", first.port), timeout=20) as peer:
            accepted, _ = sock.accept()
            # The one that ends first keeps the address for a minute.
            accepted.close()
            peer.recv(1)
    one = Listeners(Tcp(port=first.port))
    with closed(one):
        await one.reserve(100)


async def test_it_can_be_bound_again() -> None:
    one = Listeners(Tcp(port=0))
    for _ in range(2):
        with closed(one):
            await one.bind(100)
            assert reaches(socket.AF_INET, ("127.0.0.1", one.port))
        assert not reaches(socket.AF_INET, ("127.0.0.1", one.port))
        one.close()
