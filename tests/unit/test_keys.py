"""Where keys come from: files that change, and a provider that is slow, ill, gone, or has other keys by now."""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from helpers.tokens import NOW, SECRET, jwk, jwks, pem, private, showing, token
from helpers.wait import until, until_sync, within

from fanwire.auth import JWT, Keys
from fanwire.errors import Refused


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Provider:
    """An endpoint for keys that does as it is told, and counts."""

    def __init__(self) -> None:
        self.text = jwks(jwk("P-256", "a"))
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.elsewhere = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_endless = False
        self.port = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        await self.gate.wait()
        if self.is_endless:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b"[" * 65536)
        return web.Response(body=self.text, status=self.status, headers=self.headers)

    async def other(self, request: web.Request) -> web.Response:
        self.elsewhere += 1
        return web.Response(body=self.text)

    @asynccontextmanager
    async def listens(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Provider]:
        app = web.Application()
        app.router.add_get("/keys", self.answer)
        app.router.add_get("/other", self.other)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=tls).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys"


def door(provider: Provider, clock: Clock, **options: Any) -> JWT:
    keys = Keys.url(provider.url, clock=clock, **options)
    return JWT(keys, algorithms=["ES256"], clock=lambda: NOW)


async def ask(authenticator: JWT, kid: str = "a", number: int = 0) -> str:
    """Who it is, or what is answered instead."""
    shown = token(private("P-256", number), "ES256", {"kid": kid})
    try:
        return (await within(authenticator(showing(shown)))).subject
    except Refused as refused:
        after = "" if refused.retry_after is None else f", after {refused.retry_after}"
        return f"{refused.status.value}: {refused}{after}"


UNKNOWN = "401: no key for kid 'b' and ES256"


# A provider that is well.


async def test_a_set_is_fetched_with_the_first_token_and_used_for_the_next() -> None:
    async with Provider().listens() as provider:
        clock = Clock()
        authenticator = door(provider, clock)
        assert provider.asked == 0
        for _ in range(3):
            assert await ask(authenticator) == "ann"
        clock.now += 299
        assert await ask(authenticator) == "ann"
        assert provider.asked == 1
        clock.now += 1
        for _ in range(3):
            assert await ask(authenticator) == "ann"
        assert provider.asked == 2


async def test_a_thousand_at_once_make_one_fetch() -> None:
    async with Provider().listens() as provider:
        authenticator = door(provider, Clock())
        provider.gate.clear()
        waiting = [asyncio.create_task(ask(authenticator)) for _ in range(1000)]
        await until(lambda: provider.asked)
        # Some give up, the first among them.
        for task in waiting[::3]:
            task.cancel()
        provider.gate.set()
        answers = await within(asyncio.gather(*waiting, return_exceptions=True))
        assert {answer for answer in answers if isinstance(answer, str)} == {"ann"}
        assert sum(answer == "ann" for answer in answers) == 666
        assert provider.asked == 1


async def test_new_keys() -> None:
    async with Provider().listens() as provider:
        clock = Clock()
        authenticator = door(provider, clock)
        assert await ask(authenticator) == "ann"
        provider.text = jwks(jwk("P-256", "b", 1))
        # Not yet: a fetch for each name that somebody makes up would be one for each handshake.
        clock.now += 29
        assert await ask(authenticator, "b", 1) == UNKNOWN
        assert provider.asked == 1
        clock.now += 1
        assert await ask(authenticator, "b", 1) == "ann"
        assert await ask(authenticator, "b", 1) == "ann"
        # The old one is gone with the old set.
        assert await ask(authenticator) == "401: no key for kid 'a' and ES256"
        assert provider.asked == 2


async def test_a_key_that_was_withdrawn_is_good_no_longer_than_the_lifespan() -> None:
    async with Provider().listens() as provider:
        clock = Clock()
        authenticator = door(provider, clock, lifespan=60)
        assert await ask(authenticator) == "ann"
        provider.text = jwks(jwk("P-256", "b", 1))
        clock.now += 59
        assert await ask(authenticator) == "ann"
        clock.now += 3600
        assert await ask(authenticator) == "401: no key for kid 'a' and ES256"


async def test_names_that_nobody_knows_are_asked_for_once_in_a_while() -> None:
    async with Provider().listens() as provider:
        clock = Clock()
        authenticator = door(provider, clock, cooldown=10)
        for _ in range(100):
            await asyncio.gather(*(ask(authenticator, f"made up {number}") for number in range(10)))
            clock.now += 1
        # The first for want of any, then one in ten seconds.
        assert provider.asked == 10


async def test_the_keys_of_one_source_are_not_those_of_another() -> None:
    async with Provider().listens() as one, Provider().listens() as two:
        two.text = jwks(jwk("P-256", "a", 1))
        clock = Clock()
        first, second = door(one, clock), door(two, clock)
        assert await ask(first) == await ask(second, number=1) == "ann"
        assert await ask(first, number=1) == "401: Signature verification failed"
        assert await ask(second) == "401: Signature verification failed"


async def test_keys_that_do_not_fit_are_left_out() -> None:
    async with Provider().listens() as provider:
        entries = [
            jwk("RSA", "a"),
            jwk("oct", "a"),
            jwk("P-256", "a", use="enc"),
            jwk("P-384", "a"),
            jwk("P-256", "a", 1),
        ]
        provider.text = jwks(*entries)
        authenticator = door(provider, Clock())
        assert await ask(authenticator, number=1) == "ann"
        assert await ask(authenticator) == "401: Signature verification failed"


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
        authenticator = door(provider, clock)
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
        authenticator = door(provider, clock, lifespan=60, max_stale=600)
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
async def test_nobody_waits_for_a_provider_that_is_known_to_be_slow() -> None:
    async with Provider().listens() as provider:
        clock = Clock()
        authenticator = door(provider, clock, timeout=0.2)
        while await ask(authenticator) != "ann":
            # It was this machine that was slow.
            clock.now += 5
        provider.gate.clear()
        clock.now += 300
        assert await ask(authenticator) == "ann"
        asked = provider.asked
        clock.now += 5
        # One is under way now, and these do not wait for it.
        for _ in range(100):
            answer = authenticator(showing(token(private("P-256"), "ES256", {"kid": "a"})))
            with pytest.raises(StopIteration):
                answer.send(None)
        await until(lambda: provider.asked == asked + 1)
        provider.gate.set()


@pytest.mark.logs_errors
async def test_a_slow_provider_that_was_never_quick() -> None:
    async with Provider().listens() as provider:
        provider.gate.clear()
        authenticator = door(provider, Clock(), timeout=0.05)
        answer = await ask(authenticator)
        assert answer == f"503: no keys from {provider.url}: it took too long, after 5"
        provider.gate.set()


@pytest.mark.logs_errors
async def test_a_provider_that_is_not_there() -> None:
    provider = Provider()
    async with provider.listens():
        pass
    clock = Clock()
    authenticator = door(provider, clock)
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
            authenticators.append(door(provider, clock))
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
            authenticator = JWT(Keys.url(url, ssl=context), algorithms=["ES256"], clock=lambda: NOW)
            answer = await ask(authenticator)
            assert (answer == "ann") == is_trusted
            assert ("certificate" in answer) != is_trusted


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keys.json",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://login.example.com/keys",
        "http://login.example.com/keys",
        "http://127.0.0.1.example.com/keys",
        "http://localhost.example.com/keys",
        "http://192.0.2.1/keys",
        "http://0.0.0.0/keys",
        "http://[2001:db8::1]/keys",
        "http://127.0.0.1@login.example.com/keys",
        "http://127.0.0.1:80@login.example.com/keys",
        "http://login.example.com\\@127.0.0.1/keys",
        "http://2130706433/keys",
        "https://user:secret@login.example.com/keys",
        "https://user@login.example.com/keys",
        "https:///keys",
        "https://:443/keys",
        "//login.example.com/keys",
        "javascript:alert(1)",
    ],
)
def test_urls_that_keys_do_not_come_from(url: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        Keys.url(url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.com/keys?version=1",
        "HTTPS://login.example.com",
        "http://127.0.0.1:1/keys",
        "http://127.1.2.3/keys",
        "http://localhost/keys",
        "http://LOCALHOST/keys",
        "http://[::1]:8080/keys",
    ],
)
def test_urls_that_keys_may_come_from(url: str) -> None:
    assert Keys.url(url).find("a", "ES256") is None


@pytest.mark.parametrize("options", [{"lifespan": 0}, {"cooldown": 0}, {"timeout": 0}, {"max_stale": 299}])
def test_times_that_cannot_be_right(options: dict[str, float]) -> None:
    with pytest.raises(
        ValueError, match=r"(lifespan|cooldown|timeout) must be more than 0, got 0|max_stale must be at"
    ):
        Keys.url("https://login.example.com", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["lifespan", "cooldown", "timeout", "max_stale"])
@pytest.mark.parametrize("value", ["300", None, True, float("nan"), float("inf"), -1])
def test_times_are_numbers(name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"{name} must be "):
        Keys.url("https://login.example.com", **{name: value})


@pytest.mark.parametrize("value", [None, 7, "", b"", ["x"]])
def test_secrets_and_keys_are_texts_or_bytes(value: Any) -> None:
    for make in (Keys.secret, Keys.pem):
        with pytest.raises((TypeError, ValueError), match=r"(secret|text) must "):
            make(value)


def test_secrets_do_not_come_from_a_url() -> None:
    with pytest.raises(ValueError, match="secrets do not come"):
        JWT(Keys.url("https://login.example.com"), algorithms=["HS256"])


@pytest.mark.logs_errors
async def test_a_key_in_the_url_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with Provider().listens() as provider:
        provider.status = 500
        keys = Keys.url(provider.url + "?key=hidden#hidden")
        answer = await ask(JWT(keys, algorithms=["ES256"]))
        assert answer.startswith("503")
        assert "hidden" not in answer + caplog.text


# Files.


class File:
    """A file with keys, replaced as a whole or written over, and its authenticator."""

    def __init__(self, path: Path, text: bytes, algorithm: str) -> None:
        self.path = path
        self.path.write_bytes(text)
        self.clock = Clock()
        self.algorithm = algorithm
        self.authenticator = JWT(Keys.file(path, clock=self.clock), algorithms=[algorithm], clock=lambda: NOW)

    def replace(self, text: bytes) -> None:
        new = self.path.with_suffix(".new")
        new.write_bytes(text)
        new.replace(self.path)

    async def ask(self, key: Any, **header: Any) -> bool:
        try:
            await self.authenticator(showing(token(key, self.algorithm, header)))
        except Refused:
            return False
        return True


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = File(tmp_path / "key.pem", pem("P-256"), "ES256")
    old, new = private("P-256"), private("P-256", 1)
    assert await file.ask(old)
    file.replace(pem("P-256", 1))
    # It is looked at once in a second.
    file.clock.now += 0.9
    assert await file.ask(old)
    file.clock.now += 0.1
    assert await file.ask(new)
    assert not await file.ask(old)
    file.clock.now += 1
    assert await file.ask(new)
    # Both at once, by name, in another form.
    file.replace(jwks(jwk("P-256", "a"), jwk("P-256", "b", 1)))
    file.clock.now += 1
    assert await file.ask(old, kid="a")
    assert await file.ask(new, kid="b")
    assert not await file.ask(new, kid="a")


async def test_a_file_that_is_written_over_within_the_same_moment(tmp_path: Path) -> None:
    file = File(tmp_path / "secret", SECRET.encode(), "HS256")
    status = file.path.stat()
    file.path.write_bytes(SECRET.encode() + b" and more\n")
    os.utime(file.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    file.clock.now += 1
    assert await file.ask(SECRET + " and more")


@pytest.mark.logs_errors
@pytest.mark.parametrize("how", ["gone", "a folder", "empty", "half", "private", "other family", "secret", "huge"])
async def test_a_file_that_makes_no_sense_any_more(how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    file = File(tmp_path / "key.pem", pem("P-256"), "ES256")
    texts = {
        "empty": b"",
        "half": pem("P-256", 1)[:-70],
        "private": b"-----BEGIN PRIVATE KEY-----",
        "other family": pem("RSA"),
        "secret": SECRET.encode(),
        "huge": pem("P-256", 1) + b"\n" * (256 << 10),
    }
    if how in texts:
        file.replace(texts[how])
    else:
        file.path.unlink()
        if how == "a folder":
            file.path.mkdir()
    for _ in range(5):
        file.clock.now += 1
        assert await file.ask(private("P-256"))
    lines = [record for record in caplog.records if record.name == "fanwire.auth"]
    assert [line.levelno for line in lines] == [logging.ERROR]
    assert "going on with the keys it had" in lines[0].getMessage()
    if how == "a folder":
        file.path.rmdir()
    file.replace(pem("P-256", 1))
    file.clock.now += 1
    assert await file.ask(private("P-256", 1))
    assert not await file.ask(private("P-256"))
    assert len([record for record in caplog.records if record.name == "fanwire.auth"]) == 2


@pytest.mark.logs_errors
async def test_half_a_set_is_not_a_secret(tmp_path: Path) -> None:
    text = jwks(jwk("oct", "a"))
    file = File(tmp_path / "keys.json", text, "HS256")
    file.replace(text[:-2])
    file.clock.now += 1
    assert await file.ask(SECRET, kid="a")
    assert not await file.ask(text[:-2], kid="a")


def test_files_that_cannot_be_keys(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Keys.file(tmp_path / "none")
    with pytest.raises(OSError, match="directory"):
        Keys.file(tmp_path)
    for text in (b"", b"\n", b"{", b"{}", b"-----BEGIN PUBLIC KEY-----", b"x" * (257 << 10)):
        (tmp_path / "key").write_bytes(text)
        with pytest.raises(ValueError):  # noqa: PT011
            Keys.file(str(tmp_path / "key"))


async def test_secrets_and_keys_that_are_given_as_they_are() -> None:
    for secret in (SECRET, SECRET.encode()):
        authenticator = JWT(Keys.secret(secret), algorithms=["HS512"], clock=lambda: NOW)
        assert (await authenticator(showing(token(SECRET, "HS512")))).subject == "ann"
    for text in (pem("Ed25519"), pem("Ed25519").decode()):
        authenticator = JWT(Keys.pem(text), algorithms=["EdDSA"], clock=lambda: NOW)
        assert (await authenticator(showing(token(private("Ed25519"), "EdDSA")))).subject == "ann"


def self_signed(folder: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody knows, with its key."""
    path = folder / "provider.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", "/CN=provider", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    done = subprocess.run([*make, "-keyout", "-", "-out", "-"], check=True, capture_output=True, timeout=60)
    path.write_bytes(done.stdout)
    return path
