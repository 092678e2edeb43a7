"""Where keys come from: a provider that is slow, ill or gone."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from helpers.key_provider import UNKNOWN, Clock, Provider, ask, jwt_of
from helpers.tokens import NOW, jwk, jwks, private, showing, token
from helpers.wait import DEADLINE, PROCESS, until, until_sync

from fanwire.auth import JWT, Keys

# A provider that is not.


def spoil(provider: Provider, how: str) -> None:
    texts = {"empty": b"", "a page": b"<html>", "no keys": jwks(), "deep": b"[" * 200_000, "secrets": b'{"keys":[{}]}'}
    if how in texts:
        provider.text = texts[how]
    elif how == "endless":
        provider.is_endless = True
    elif how == "huge":
        provider.text = jwks(jwk("P-256", "a")) + b" " * (256 << 10)
    elif how == "packed":
        provider.text = gzip.compress(jwks(jwk("P-256", "a")))
        provider.headers = {"Content-Encoding": "gzip"}
    elif how == "elsewhere":
        provider.status, provider.headers = 302, {"Location": "/other"}
    else:
        provider.status = int(how)


ILLS = ["empty", "a page", "no keys", "deep", "secrets", "endless", "huge", "packed", "elsewhere", "204", "404", "500"]


@pytest.mark.logs_errors
@pytest.mark.parametrize("how", ILLS)
async def test_an_ill_provider_that_was_never_well(how: str, caplog: pytest.LogCaptureFixture) -> None:
    async with Provider().listens() as provider:
        clock = Clock()
        authenticator = jwt_of(provider, clock)
        spoil(provider, how)
        for _ in range(10):
            answers = await asyncio.gather(*(ask(authenticator) for _ in range(100)))
            for answer in answers:
                assert answer.startswith(f"503: no keys from {provider.url}: ")
                assert answer.endswith(", after 5")
                assert len(answer) < 300
            clock.now += 1
        # A thousand handshakes in ten seconds are two requests, and one line in the log.
        assert provider.asked == 2
        assert provider.elsewhere == 0
        assert len([record for record in caplog.records if record.name == "fanwire.auth"]) == 1


@pytest.mark.logs_errors
@pytest.mark.parametrize("how", ILLS)
async def test_an_ill_provider_that_was_well(how: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Provider().listens() as provider:
        clock = Clock()
        authenticator = jwt_of(provider, clock, lifespan=60, max_stale=600)
        assert await ask(authenticator) == "ann"
        good = provider.text
        spoil(provider, how)
        clock.now += 60
        for _ in range(20):
            assert await ask(authenticator) == "ann"
            assert await ask(authenticator, "b", 1) == UNKNOWN
            clock.now += 1
        assert 3 <= provider.asked <= 5
        provider.text, provider.status, provider.headers, provider.is_endless = good, 200, {}, False
        clock.now += 5
        await ask(authenticator, "b", 1)
        asked = provider.asked
        clock.now += 59
        assert await ask(authenticator) == "ann"
        assert provider.asked == asked
        lines = [record.levelno for record in caplog.records if record.name == "fanwire.auth"]
        assert lines == [logging.ERROR, logging.INFO]
        # And once more, for too long.
        spoil(provider, how)
        clock.now += 1
        assert await ask(authenticator) == "ann"
        clock.now += 539
        assert await ask(authenticator) == "ann"
        clock.now += 1
        assert (await ask(authenticator)).startswith("503")


@pytest.mark.logs_errors
async def test_nobody_waits_for_a_provider_that_is_known_to_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Provider().listens() as provider:
        clock = Clock()
        authenticator = jwt_of(provider, clock)
        assert await ask(authenticator) == "ann"
        provider.gate.clear()
        clock.now += 300
        with monkeypatch.context() as short:
            short.setattr(authenticator._keys, "_timeout", 0.05)
            assert await ask(authenticator) == "ann"
        asked = provider.asked
        clock.now += 5
        # One is under way now, and these do not wait for it.
        for _ in range(100):
            answer = authenticator(showing(token(private("P-256"), "ES256", {"kid": "a"})))
            with pytest.raises(StopIteration):
                answer.send(None)
        await until(lambda: provider.asked > asked)
        provider.gate.set()


@pytest.mark.logs_errors
async def test_a_slow_provider_that_was_never_quick() -> None:
    async with Provider().listens() as provider:
        provider.gate.clear()
        authenticator = jwt_of(provider, Clock(), timeout=0.05)
        answer = await ask(authenticator)
        assert answer == f"503: no keys from {provider.url}: it took too long, after 5"
        provider.gate.set()


@pytest.mark.logs_errors
async def test_a_provider_that_is_not_there() -> None:
    provider = Provider()
    async with provider.listens():
        pass
    clock = Clock()
    authenticator = jwt_of(provider, clock)
    assert (await ask(authenticator)).startswith(f"503: no keys from {provider.url}: Cannot connect")
    async with provider.listens():
        assert (await ask(authenticator)).startswith("503")
        clock.now += 5
        assert await ask(authenticator) == "ann"


def test_a_fetch_of_another_loop_is_not_waited_for() -> None:
    clock = Clock()
    provider = Provider()
    authenticators: list[JWT] = []
    is_done = threading.Event()

    async def first() -> None:
        async with provider.listens():
            authenticators.append(jwt_of(provider, clock))
            provider.gate.clear()
            waiting = asyncio.create_task(ask(authenticators[0]))
            await until(is_done.is_set)
            provider.gate.set()
            assert await waiting == "ann"

    async def second() -> None:
        other = Provider()
        async with other.listens():
            # The same keys, from a loop of its own: the first is still being answered.
            waiting = asyncio.create_task(ask(authenticators[0]))
            await until(lambda: provider.asked == 2)
            is_done.set()
            assert await waiting == "ann"

    thread = threading.Thread(target=lambda: asyncio.run(first()))
    thread.start()
    try:
        until_sync(lambda: provider.asked == 1)
        asyncio.run(second())
    finally:
        is_done.set()
        thread.join()


@pytest.mark.logs_errors
async def test_tls(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate)
    async with Provider().listens(serving) as provider:
        url = provider.url.replace("http:", "https:")
        for context, is_trusted in ((ssl.create_default_context(cafile=str(certificate)), True), (None, False)):
            authenticator = JWT(Keys.url(url, ssl=context, timeout=DEADLINE), algorithms=["ES256"], clock=lambda: NOW)
            answer = await ask(authenticator)
            assert (answer == "ann") == is_trusted
            assert ("certificate" in answer) != is_trusted


def self_signed(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody knows, with its key."""
    path = folder / "provider.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", "/CN=provider", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    done = subprocess.run([*make, "-keyout", "-", "-out", "-"], check=True, capture_output=True, timeout=PROCESS)
    path.write_bytes(done.stdout)
    return path
