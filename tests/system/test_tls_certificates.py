"""Which certificate a client gets, which one it shows, and what the application knows of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from helpers.certificates import Authority, Pair, trusting
from helpers.fallback import http
from helpers.serving import Book
from helpers.site import site
from helpers.wait import DEADLINE, until, within
from helpers.wire import Peer, request
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from websockets.asyncio.client import connect

import fanwire


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("servers"), "servers")


@pytest.fixture(scope="module")
def of_clients(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("clients"), "clients")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.sign("localhost", "localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def alice(of_clients: Authority) -> Pair:
    names = ("alice.example", "alice@example.com", "https://example.com/alice", "192.0.2.7")
    return of_clients.sign("alice", *names, is_client=True)


async def dial(server: Book, context: ssl.SSLContext, name: str | None = "localhost") -> Peer:
    """A peer that asks for a server by its name; None: for none."""
    if name is None:
        context.check_hostname = False
    opened = asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname=name or "")
    return Peer(*await within(opened))


def shown_to(peer: Peer) -> set[str]:
    """The DNS names of the certificate that a peer has got."""
    found = peer.writer.get_extra_info("ssl_object").getpeercert()
    return {value for kind, value in found["subjectAltName"] if kind == "DNS"}


# Versions and ciphers.


@pytest.mark.parametrize("is_rsa", [False, True], ids=["ecdsa", "rsa"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions(authority: Authority, version: ssl.TLSVersion, is_rsa: bool) -> None:
    pair = authority.sign("localhost", "localhost", is_rsa=is_rsa, file=f"versions-{is_rsa}")
    context = trusting(authority.file, version=version)
    async with Book(tls=fanwire.TLS(*pair)).listens() as server, await dial(server, context) as peer:
        await peer.upgrade("/a")
        server.publish("a", bytes(100_000))
        assert await peer.message() == bytes(100_000)
        found = server.opened[0].request.tls
        assert found is not None
        spoken = peer.writer.get_extra_info("ssl_object")
        assert found.version == spoken.version()
        bits = spoken.cipher()[2]
        assert str(bits) in found.cipher or "CHACHA20" in found.cipher
        assert (found.server_name, found.is_resumed, found.client_certificate) == ("localhost", False, None)


async def test_a_server_may_want_the_newer_version_alone(authority: Authority, pair: Pair) -> None:
    async with Book(tls=fanwire.TLS(*pair, min_version="1.3")) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await dial(server, trusting(authority.file, version=ssl.TLSVersion.TLSv1_2))
        async with await dial(server, trusting(authority.file, version=ssl.TLSVersion.TLSv1_3)) as peer:
            await peer.upgrade()
        await until(lambda: server.stats()["tls_handshakes"]["failed"] == 1)
        assert server.stats()["tls_handshakes"] == {"full": 1, "resumed": 0, "failed": 1}


@pytest.mark.parametrize(
    ("offered", "chosen"), [([], None), (["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1")], ids=str
)
async def test_http_1_1_is_spoken_alone(
    authority: Authority, pair: Pair, offered: list[str], chosen: str | None
) -> None:
    context = trusting(authority.file)
    if offered:
        context.set_alpn_protocols(offered)
    async with Book(tls=fanwire.TLS(*pair)) as server, await dial(server, context) as peer:
        assert peer.writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
        await peer.upgrade()


async def test_a_client_that_wants_another_protocol_is_refused(authority: Authority, pair: Pair) -> None:
    context = trusting(authority.file)
    context.set_alpn_protocols(["h2"])
    async with Book(tls=fanwire.TLS(*pair)) as server:
        # RFC 7301 section 3.2: no_application_protocol.
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await dial(server, context)


# Several certificates.


async def test_each_name_has_its_certificate(authority: Authority, pair: Pair) -> None:
    one = authority.sign("one", "one.example", "uno.example")
    wild = authority.sign("wild", "*.wild.example")
    tls = fanwire.TLS(*pair, others=[one, wild])
    asked = {
        "localhost": "localhost", "one.example": "one.example", "uno.example": "one.example",
        "ONE.example": "one.example", "a.wild.example": "*.wild.example", "b.wild.example": "*.wild.example",
    }  # fmt: skip
    async with Book(tls=tls) as server:
        for name, expected in asked.items():
            async with await dial(server, trusting(authority.file), name) as peer:
                assert expected in shown_to(peer), name
                await peer.upgrade("/", {"Host": name})
                found = server.opened[-1].request.tls
                assert found is not None
                assert (found.server_name or "").lower() == name.lower()


@pytest.mark.parametrize("name", [None, "nobody.example", "wild.example", "a.b.wild.example", "127.0.0.1"])
async def test_a_name_that_no_certificate_has_gets_the_first(
    authority: Authority, pair: Pair, name: str | None
) -> None:
    wild = authority.sign("wild", "*.wild.example")
    context = trusting(authority.file)
    context.check_hostname = False
    async with Book(tls=fanwire.TLS(*pair, others=[wild])) as server, await dial(server, context, name) as peer:
        assert shown_to(peer) == {"localhost"}
        await peer.upgrade()
        found = server.opened[0].request.tls
        assert found is not None
        # A name is no address (RFC 6066 section 3).
        assert found.server_name == (name if name != "127.0.0.1" else None)


async def test_intermediate_certificates_are_sent(authority: Authority, tmp_path: Path) -> None:
    chain, key = authority.sign("localhost", "localhost", file="chained")
    both = tmp_path / "chain.pem"
    both.write_bytes(chain.read_bytes() + authority.file.read_bytes())
    async with Book(tls=fanwire.TLS(both, key)) as server, await dial(server, trusting(authority.file)) as peer:
        await peer.upgrade()


# Certificates of clients.


def requiring(pair: Pair, of_clients: Authority, **options: Any) -> fanwire.TLS:
    return fanwire.TLS(*pair, client_ca=of_clients.file, **options)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_an_authenticator_knows_the_names_of_a_certificate(
    authority: Authority, of_clients: Authority, pair: Pair, alice: Pair, version: ssl.TLSVersion
) -> None:
    seen: list[fanwire.ClientCertificate] = []

    def authenticate(request: fanwire.Request) -> fanwire.Identity:
        certificate = request.tls and request.tls.client_certificate
        assert certificate
        seen.append(certificate)
        return fanwire.Identity(subject=certificate.names[0], expires=certificate.expires)

    tls = requiring(pair, of_clients)
    context = trusting(authority.file, shown=alice, version=version)
    async with Book(tls=tls, authenticate=authenticate) as server, server.client("/a", ssl=context) as client:
        await until(lambda: server.opened)
        assert server.opened[0].identity.subject == "alice.example"
        server.publish("a", "hello")
        assert await within(client.recv()) == "hello"
    (shown,) = seen
    assert shown.subject == "CN=alice"
    assert set(shown.names) == {"alice.example", "alice@example.com", "https://example.com/alice", "192.0.2.7"}
    der = ssl.PEM_cert_to_DER_cert(alice[0].read_text())
    assert shown.fingerprint == sha256(der).hexdigest()
    assert int(shown.serial, 16) > 0
    assert 29 * 86400 < shown.expires - time.time() < 31 * 86400


Shows = Callable[[Authority, Path], Pair | None]
"""Makes what a client shows."""


def none(of_clients: Authority, folder: Path) -> Pair | None:
    return None


def expired(of_clients: Authority, folder: Path) -> Pair | None:
    return of_clients.sign("late", "late.example", lasts=timedelta(days=-1), is_client=True)


def of_another_authority(of_clients: Authority, folder: Path) -> Pair | None:
    return Authority(folder, "strangers").sign("alice", "alice.example", is_client=True)


def of_a_server(of_clients: Authority, folder: Path) -> Pair | None:
    return of_clients.sign("server", "server.example")


async def is_let_in(server: Book, context: ssl.SSLContext) -> bool:
    """Whether a client gets through the handshake. In TLS 1.3 it learns only afterwards that it does not."""
    try:
        async with await dial(server, context) as peer:
            await peer.upgrade()
            return True
    except (OSError, asyncio.IncompleteReadError):
        return False


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("mode", ["required", "optional"])
@pytest.mark.parametrize("shows", [none, expired, of_another_authority, of_a_server], ids=lambda shows: shows.__name__)
async def test_who_shows_no_valid_certificate(
    authority: Authority, of_clients: Authority, pair: Pair, shows: Shows, mode: Any, version: ssl.TLSVersion,
    tmp_path: Path,
) -> None:  # fmt: skip
    context = trusting(authority.file, shown=shows(of_clients, tmp_path), version=version)
    async with Book(tls=requiring(pair, of_clients, client_certificates=mode)) as server:
        if shows is none and mode == "optional":
            assert await is_let_in(server, context)
            found = server.opened[0].request.tls
            assert found is not None
            assert found.client_certificate is None
        else:
            assert not await is_let_in(server, context)
            assert not server.opened
            await until(lambda: server.stats()["tls_handshakes"]["failed"] == 1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("transports", [("websocket", "sse", "long-poll"), ("websocket",), ("sse",), ("long-poll",)])
@pytest.mark.parametrize("shows", [none, expired, of_another_authority, of_a_server], ids=lambda shows: shows.__name__)
async def test_a_client_whose_certificate_is_refused_tries_once(
    authority: Authority, of_clients: Authority, pair: Pair, shows: Shows, transports: tuple[str, ...],
    version: ssl.TLSVersion, tmp_path: Path,
) -> None:  # fmt: skip
    context = trusting(authority.file, shown=shows(of_clients, tmp_path), version=version)
    async with Book(tls=requiring(pair, of_clients)) as server:
        wss = f"wss://localhost:{server.port}"
        with pytest.raises(fanwire.ConnectionFailed, match="client certificate") as failed:
            await within(fanwire.connect(wss, ssl=context, transports=transports).__aenter__())
        assert ("context.load_cert_chain(...)" in str(failed.value)) is (shows is none)
        await until(lambda: server.stats()["tls_handshakes"]["failed"])
        assert server.stats()["tls_handshakes"] == {"full": 0, "resumed": 0, "failed": 1}


async def test_publishing_by_http_needs_the_certificate_as_well(
    authority: Authority, of_clients: Authority, pair: Pair, alice: Pair
) -> None:
    async def get_who(asking: HttpRequest) -> JSONResponse:
        found = asking.scope["extensions"]["fanwire.tls"]
        return JSONResponse([found.version, found.client_certificate.names[0], asking.url.scheme])

    key = "a-key-that-is-long-enough"
    server = Book(tls=requiring(pair, of_clients), api_keys=[key], app=site(get_who=get_who), mount="")
    async with server, await dial(server, trusting(authority.file, shown=alice)) as peer:
        await peer.send(http("POST", "/rooms/a", b"1", Authorization=f"Bearer {key}", Content_Type="application/json"))
        assert (await peer.response()).status == 200
        await peer.send(http("GET", "/who"))
        assert (await peer.response()).body == b'["TLSv1.3","alice.example","https"]'
        assert not await is_let_in(server, trusting(authority.file))


async def test_a_websocket_of_the_application_knows_the_certificate(
    authority: Authority, of_clients: Authority, pair: Pair, alice: Pair
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            raise NotImplementedError
        await receive()
        await send({"type": "websocket.accept"})
        shown = scope["extensions"]["fanwire.tls"].client_certificate
        await send({"type": "websocket.send", "text": f"{scope['scheme']} {shown.names[0]} {scope['server']}"})
        await receive()

    context = trusting(authority.file, shown=alice)
    async with Book(tls=requiring(pair, of_clients), app=app) as server:
        url = f"wss://localhost:{server.port}/mine"
        async with connect(url, ssl=context, proxy=None, compression=None) as client:
            assert await within(client.recv()) == "wss alice.example None"


# Tickets.


def upgraded(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
    """Whether a connection has resumed a session, and its own session."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    with context.wrap_socket(sock, server_hostname="localhost", session=session) as wrapped:
        wrapped.sendall(request("/a"))
        # Tickets of TLS 1.3 come with the first bytes.
        assert wrapped.recv(4096).startswith(b"HTTP/1.1 101")
        return bool(wrapped.session_reused), wrapped.session


Ask = Callable[[ssl.SSLSession | None], Awaitable[tuple[bool, ssl.SSLSession | None]]]


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    found: ssl.TLSVersion = request.param
    return found


async def test_a_ticket_resumes(authority: Authority, pair: Pair, version: ssl.TLSVersion) -> None:
    context = trusting(authority.file, version=version)
    async with Book(tls=fanwire.TLS(*pair)) as server:

        def ask(session: ssl.SSLSession | None) -> Awaitable[tuple[bool, ssl.SSLSession | None]]:
            return within(asyncio.to_thread(upgraded, context, server.port or 0, session))

        is_resumed, session = await ask(None)
        assert not is_resumed
        for _ in range(3):
            is_resumed, session = await ask(session)
            assert is_resumed
        assert server.stats()["tls_handshakes"] == {"full": 1, "resumed": 3, "failed": 0}
        infos = [conn.request.tls for conn in server.opened]
        assert [info.is_resumed for info in infos if info] == [False, True, True, True]
        # New keys for tickets.
        server.reload_tls()
        is_resumed, _ = await ask(session)
        assert not is_resumed


async def test_a_ticket_keeps_the_certificate_of_its_client(
    authority: Authority, of_clients: Authority, pair: Pair, alice: Pair, version: ssl.TLSVersion
) -> None:
    context = trusting(authority.file, shown=alice, version=version)
    async with Book(tls=requiring(pair, of_clients)) as server:
        session: ssl.SSLSession | None = None
        for _ in range(2):
            _, session = await within(asyncio.to_thread(upgraded, context, server.port or 0, session))
        found = [conn.request.tls for conn in server.opened]
        shown = [info.client_certificate for info in found if info]
        assert shown[0] is not None
        assert shown == [shown[0]] * 2


async def test_a_ticket_of_another_server_is_worth_nothing(
    authority: Authority, pair: Pair, version: ssl.TLSVersion
) -> None:
    context = trusting(authority.file, version=version)
    async with Book(tls=fanwire.TLS(*pair)) as one, Book(tls=fanwire.TLS(*pair)) as two:
        _, session = await within(asyncio.to_thread(upgraded, context, one.port or 0, None))
        is_resumed, _ = await within(asyncio.to_thread(upgraded, context, two.port or 0, session))
        assert not is_resumed


# Metrics.


async def test_metrics_tell_handshakes_and_expiries(authority: Authority, pair: Pair) -> None:
    async with Book(tls=fanwire.TLS(*pair)) as server, await dial(server, trusting(authority.file)) as peer:
        await peer.upgrade()
        value = server.metrics.get_sample_value
        assert value("fanwire_tls_handshakes_total", {"result": "full"}) == 1
        expiry = value("fanwire_tls_certificate_expiry_timestamp_seconds", {"certificate": str(pair[0])})
        assert expiry is not None
        assert 29 * 86400 < expiry - time.time() < 31 * 86400
